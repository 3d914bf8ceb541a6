#pragma once

// What the suite's cases have in common: expectations that name themselves and their line, and the
// steps that most cases begin or end with. Of the suite only.

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "env/env.h"
#include "env/process.h"
#include "env/scope.h"
#include "env/task.h"
#include "node/vm/driver.h"
#include "node/vm/driver_suite.h"

namespace blixard::vm::suite {

std::span<const SuiteCase> start_cases();
std::span<const SuiteCase> prepare_cases();
std::span<const SuiteCase> stop_cases();
std::span<const SuiteCase> adopt_cases();
std::span<const SuiteCase> template_cases();
std::span<const SuiteCase> unusable_template_cases();
std::span<const SuiteCase> standby_cases();
std::span<const SuiteCase> save_cases();

inline constexpr Duration kBootMax = 60s;  // of a guest in software emulation on a busy host
inline constexpr Duration kStartMax = 20s;
inline constexpr Duration kMakeMax = kStartMax + kBootMax + 20s;  // a boot, and what is saved
inline constexpr StopLadder kShortLadder{.agent = 700ms, .button = 700ms, .quit = 5s};
inline constexpr StopLadder kPatientLadder{.agent = 20s, .button = 5s, .quit = 5s};

std::unexpected<Error> broken(const char* file, int line, const char* expectation,
                              std::string seen = {});

#define BLX_EXPECT(expectation)                                             \
  do {                                                                      \
    if (!(expectation)) co_return broken(__FILE__, __LINE__, #expectation); \
  } while (false)

// Of a call that must fail: with this code and reason.
#define BLX_EXPECT_REFUSED(call, wanted_code, wanted_reason)                       \
  do {                                                                             \
    const auto refused_call = (call);                                              \
    if (refused_call) co_return broken(__FILE__, __LINE__, #call " fails");        \
    if (refused_call.error().code() != (wanted_code) ||                            \
        refused_call.error().reason() != (wanted_reason))                          \
      co_return broken(__FILE__, __LINE__, #call " fails with " wanted_reason,     \
                       std::string(code_name(refused_call.error().code())) + " " + \
                           refused_call.error().message());                        \
  } while (false)

#define BLX_EXPECT_SHOWS(text, part)                                                 \
  do {                                                                               \
    if ((text).find(part) == (text).npos)                                            \
      co_return broken(__FILE__, __LINE__, #text " shows " part, std::string(text)); \
  } while (false)

#define BLX_EXPECT_STATUS(status, wanted_phase, wanted_end)                               \
  do {                                                                                    \
    if ((status).phase != (wanted_phase) || (status).end != (wanted_end))                 \
      co_return broken(__FILE__, __LINE__, #status " is " #wanted_phase ", " #wanted_end, \
                       describe(status));                                                 \
  } while (false)

std::string describe(const Status& status);
Instant after(SuiteHost& host, Duration duration);

struct Started {
  GuestSpec spec;
  Record record;
};

// Prepares and starts it.
env::Task<Result<Started>> start_spec(SuiteHost& host, GuestSpec spec);
env::Task<Result<Started>> start_guest(SuiteHost& host, std::string cmdline);
env::Task<Result<Started>> start_ready(SuiteHost& host, std::string cmdline);

env::Task<bool> is_alive(SuiteHost& host, env::ProcessId process);
env::Task<Result<void>> kill_from_outside(SuiteHost& host, env::ProcessId process);
env::Task<Result<void>> wait_for_console(SuiteHost& host, Record record, std::string_view text);

// release(), twice, and nothing of the VM is there any more.
env::Task<Result<void>> release_all(SuiteHost& host, Record record);

// A template for such a guest, in a folder of its own.
env::Task<Result<Template>> make_template(SuiteHost& host, GuestSpec spec);
// A new VM that is to be a clone of it.
GuestSpec clone_spec(SuiteHost& host, const Template& made);
env::Task<Result<Started>> clone_ready(SuiteHost& host, Template made);
env::Task<Result<void>> remove_template(SuiteHost& host, Template made);

}  // namespace blixard::vm::suite

#pragma once

// What every driver must do, written once: cases that the simulated driver passes in virtual time
// and the real ones with real guests, in tests and wherever a user wants to know whether a
// hypervisor of theirs works.
//
// A case ends with an error that names the broken expectation and its line. It needs the tiny
// guest, whose faults are ordered on its kernel's command line ("blx.test=panic").
//
// A case that needs what its host cannot do ends with kUnimplemented "not_possible_here": it was
// not run, and whoever runs the suite says so.

#include <cstdint>
#include <span>
#include <string>

#include "base/result.h"
#include "base/units.h"
#include "env/env.h"
#include "env/task.h"
#include "node/vm/driver.h"

namespace blixard::vm {

enum class HypervisorFault : std::uint8_t {
  kNone,
  kMissing,
  kExitsAtStart,
  kHangsAtStart,
  kLoadFails,        // of a clone: the process ends while it reads the template
  kStaleClones,      // what answers in a clone is another guest than the template's
  kIdentityRefused,  // by the agent of a clone
};

// What a guest is, seen from inside.
struct GuestInside {
  std::string name;        // of the host
  std::string machine_id;  // 32 hex digits
  std::string boot;        // another one after each boot; a clone has its template's
  std::string mac;         // of its network card, "02:00:5e:10:00:01"
  std::string random;      // 32 bytes of its random generator that nobody else was given, in hex
  WallTime clock;
};

// What a case needs of its surroundings.
class SuiteHost {
 public:
  virtual ~SuiteHost() = default;
  virtual env::Env env() = 0;
  virtual Driver& driver() = 0;
  // Closes the driver and makes another one, as a restart of the daemon does; its hypervisor has
  // this fault from now on. Errors: kUnimplemented "not_possible_here", nothing was done.
  virtual env::Task<Result<void>> restart_driver(HypervisorFault fault) = 0;
  // A new VM whose files exist, with their digests.
  virtual GuestSpec guest(std::string cmdline) = 0;
  // The guest turns itself off, unasked by the driver.
  virtual env::Task<Result<void>> power_off_inside(Record record) = 0;
  // Asked of a guest that is ready.
  virtual env::Task<Result<GuestInside>> look_inside(Record record) = 0;
  // The path of a new folder, empty, fit for a template's files.
  virtual env::Task<Result<std::string>> empty_folder() = 0;
  // The process of such a clone as a daemon leaves it that was killed between starting it and
  // letting it run; another driver came since. Errors: kUnimplemented "not_possible_here".
  virtual env::Task<Result<Record>> unfinished_clone(GuestSpec spec) = 0;
};

struct SuiteCase {
  const char* name;
  env::Task<Result<void>> (*run)(SuiteHost& host);
};
std::span<const SuiteCase> driver_suite();

// Releases whatever cases left behind.
env::Task<Result<void>> clean_up(SuiteHost& host);

}  // namespace blixard::vm

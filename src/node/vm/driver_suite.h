#pragma once

// What every driver must do, written once: cases that the simulated driver passes in virtual time
// and the real ones with real guests, in tests and wherever a user wants to know whether a
// hypervisor of theirs works.
//
// A case ends with an error that names the broken expectation and its line. It needs the tiny
// guest, whose faults are ordered on its kernel's command line ("blx.test=panic").

#include <cstdint>
#include <span>
#include <string>

#include "base/result.h"
#include "env/env.h"
#include "env/task.h"
#include "node/vm/driver.h"

namespace blixard::vm {

enum class HypervisorFault : std::uint8_t { kNone, kMissing, kExitsAtStart, kHangsAtStart };

// What a case needs of its surroundings.
class SuiteHost {
 public:
  virtual ~SuiteHost() = default;
  virtual env::Env env() = 0;
  virtual Driver& driver() = 0;
  // Closes the driver and makes another one, as a restart of the daemon does; its hypervisor has
  // this fault from now on.
  virtual env::Task<Result<void>> restart_driver(HypervisorFault fault) = 0;
  // A new VM whose files exist.
  virtual GuestSpec guest(std::string cmdline) = 0;
  // The guest turns itself off, unasked by the driver.
  virtual env::Task<Result<void>> power_off_inside(Record record) = 0;
};

struct SuiteCase {
  const char* name;
  env::Task<Result<void>> (*run)(SuiteHost& host);
};
std::span<const SuiteCase> driver_suite();

// Releases whatever cases left behind.
env::Task<Result<void>> clean_up(SuiteHost& host);

}  // namespace blixard::vm

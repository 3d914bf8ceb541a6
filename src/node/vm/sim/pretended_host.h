#pragma once

// A host whose guests are pretended: for load tests of a real daemon, and for trying a cluster on a
// machine that has room for three daemons and not for three hundred guests.
//
// Everything above the driver is the product: the agent, its records on disk, reports, placement.
// Below it stand SimDriver and SimHypervisor, and instead of programs a table of processes in
// memory. So guests end with the daemon, also when it is killed: the next one finds their records
// and nothing that runs, as after a power failure of the host, and starts them again.
//
// Invariants: a ProcessId of an earlier daemon fits none of this one; close() is awaited before
// the host goes away.

#include <map>
#include <memory>
#include <set>
#include <string>

#include "env/env.h"
#include "env/scope.h"
#include "env/sync.h"
#include "node/vm/sim/sim_driver.h"
#include "node/vm/sim/sim_hypervisor.h"

namespace blixard::vm_sim {

// Of guests' processes only: no program of the real machine is started or signalled.
class PretendedProcesses final : public env::Process {
 public:
  PretendedProcesses(env::Env env, SimHypervisor& hypervisor);
  ~PretendedProcesses() override;

  env::Task<Result<std::unique_ptr<env::Child>>> spawn(env::SpawnSpec spec) override;
  env::Task<Result<std::unique_ptr<env::Child>>> adopt(env::ProcessId id) override;
  env::Task<Result<env::RunResult>> run(env::SpawnSpec spec, Instant deadline,
                                        std::size_t output_max) override;
  env::Task<Result<std::string>> find_program(std::string name) override;
  [[nodiscard]] GroupSupport group_support() const override { return GroupSupport::kNone; }
  env::Task<Result<void>> make_group(std::string name, env::GroupLimits limits) override;
  env::Task<Result<std::vector<std::string>>> groups() override;
  env::Task<Result<void>> kill_group(std::string name) override;
  env::Task<Result<void>> remove_group(std::string name) override;

  // What it was made with, and these processes instead of the machine's.
  [[nodiscard]] env::Env env();
  [[nodiscard]] std::size_t running() const { return processes_.size(); }
  env::Task<void> close();

 private:
  class Guest;
  struct Running;

  env::Task<void> run_guest(std::shared_ptr<Running> process, env::SpawnSpec spec);

  env::Env env_;
  SimHypervisor& hypervisor_;
  std::uint64_t life_;  // the start time of all: no earlier daemon had it
  std::int64_t next_pid_ = 1;
  env::Scope scope_;
  std::map<std::int64_t, std::shared_ptr<Running>> processes_;
  std::map<std::string, std::set<std::int64_t>> groups_;
};

class PretendedHost {
 public:
  PretendedHost(env::Env env, std::string directory, SimTimes times);

  vm::Driver& driver() { return driver_; }
  // Ends every guest.
  env::Task<void> close();

 private:
  SimHypervisor hypervisor_;
  PretendedProcesses processes_;
  SimDriver driver_;
};

}  // namespace blixard::vm_sim

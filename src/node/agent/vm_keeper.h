#pragma once

// Keeps one VM of this node as the cluster wants it: one task, one loop.
//
// Each turn compares what is desired (the applied state) with what is here (a record and the
// driver's word) and does the one next thing, or waits for either to change. Nothing else starts,
// stops or releases this VM on this node, so there is no locking and at most one process.
//
// The keeper never decides by the state it reported earlier as the cluster shows it (that lags
// behind its own reports), but by `reported_`. A new generation is a new assignment: what ran
// under the old one is put away first.

#include <memory>
#include <optional>
#include <string>

#include "core/cluster/model.h"
#include "env/env.h"
#include "env/scope.h"
#include "env/sync.h"
#include "node/agent/records.h"
#include "node/agent/reports.h"
#include "node/image/store.h"
#include "node/replica/replica.h"
#include "node/vm/driver.h"

namespace blixard::agent {

// What the keepers of one node share.
struct Services {
  env::Env env;
  replica::Replica& replica;
  vm::Driver& driver;
  image::Store& images;
  Records& records;
  Reports& reports;
  NodeId self;
};

class VmKeeper {
 public:
  VmKeeper(Services& services, VmId id, std::optional<vm::Record> record);

  // Until the VM is not this node's any more (then nothing of it is left here), or until
  // cancelled (then its guest runs on), or until leave() has been done.
  env::Task<void> run();

  // The applied state may have changed.
  void wake() { changed_.notify_all(); }

  // Stops the guest because the node goes away; the next daemon starts it again.
  void leave();

  [[nodiscard]] const std::optional<vm::Record>& record() const { return record_; }

 private:
  // The VM, if it is assigned to this node; valid until the next suspension.
  [[nodiscard]] const cluster::Vm* assigned() const;
  [[nodiscard]] bool still_wanted(Generation generation) const;

  env::Task<Result<void>> turn(cluster::Vm vm);
  env::Task<Result<void>> begin_generation(const cluster::Vm& vm);
  env::Task<Result<void>> keep_running(const cluster::Vm& vm);
  env::Task<Result<void>> keep_stopped(const cluster::Vm& vm);
  env::Task<Result<void>> settle_end(const cluster::Vm& vm);
  env::Task<Result<void>> wait_to_restart();
  env::Task<Result<void>> wait_for_news(const cluster::Vm& seen);

  env::Task<Result<void>> adopt();
  env::Task<Result<void>> start(const cluster::Vm& vm);
  env::Task<Result<void>> boot(cluster::Vm vm);
  env::Task<Result<void>> boot_while_wanted(const cluster::Vm& vm);
  env::Task<void> cancel_when_unwanted(Generation generation, env::Cancellation& boot);
  env::Task<Result<void>> stop_guest(const cluster::Vm& vm);
  env::Task<Result<void>> put_away();

  env::Task<void> begin_watching();
  env::Task<void> stop_watching();
  env::Task<void> watch(vm::Record record);

  [[nodiscard]] bool restarts_after(cluster::VmState ended, cluster::RestartPolicy policy) const;
  void report(cluster::VmState state, std::string reason, bool released = false);

  Services& services_;
  VmId id_;
  std::optional<vm::Record> record_;
  env::Signal changed_;
  std::unique_ptr<env::Scope> watching_;  // while the guest is known to run
  std::optional<vm::Status> ended_;       // how it ended, until that is reported
  Generation generation_;
  cluster::VmState reported_ = cluster::VmState::kPending;
  std::uint32_t restarts_ = 0;
  std::uint32_t failures_in_row_ = 0;
  Instant running_since_;
  Instant restart_at_;
  bool leaving_ = false;
};

}  // namespace blixard::agent

#pragma once

// Keeps one VM of this node as the cluster wants it: one task, one loop.
//
// Each turn compares what is desired (the applied state) with what is here (a record and the
// driver's word) and does the one next thing, or waits for either to change. Nothing else starts,
// stops or releases this VM on this node, so there is no locking and at most one process. What
// lies here of a VM that is not this node's has a keeper too, which clears it away.
//
// The keeper never decides by the state it reported earlier as the cluster shows it (that lags
// behind its own reports), but by `reported_`. A new generation is a new assignment: what ran
// under the old one is put away first.
//
// A guest is only ended when that is wanted, or when the driver knows that it is over. A driver
// that cannot tell is asked again.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/cluster/model.h"
#include "env/env.h"
#include "env/scope.h"
#include "env/sync.h"
#include "node/agent/records.h"
#include "node/agent/reports.h"
#include "node/image/store.h"
#include "node/replica/replica.h"
#include "node/saved/store.h"
#include "node/telemetry/telemetry.h"
#include "node/template/store.h"
#include "node/trace/tracer.h"
#include "node/vm/driver.h"

namespace blixard::agent {

// Asks the node that holds a saved guest for the bytes of its file from `offset` on.
using AskHolder = std::function<env::Task<Result<std::string>>(NodeId holder, image::Digest digest,
                                                               std::uint64_t offset)>;

// Of a start that waits for its saved guest.
inline constexpr char kSavedGuestWaits[] = "saved_guest_waits";

// For a guest's state on its way to the disk or from it.
Duration transfer_patience(Bytes memory);

// Who asked for the work of this task does not want it any more.
inline bool is_requested(const env::Cancellation* cancellation) {
  return cancellation != nullptr && cancellation->requested();
}

// What the keepers of one node share.
struct Services {
  env::Env env;
  replica::Replica& replica;
  vm::Driver& driver;
  image::Store& images;
  Records& records;
  Reports& reports;
  NodeId self;
  telemetry::Telemetry& telemetry;
  trace::Tracer* tracer = nullptr;
  templates::Store* templates = nullptr;  // none: every guest boots
  saved::Store* saved = nullptr;          // none: no guest is saved, nor goes on from where it was
  AskHolder ask_holder = {};
};

class VmKeeper {
 public:
  VmKeeper(Services& services, VmId id, std::optional<vm::Record> record);

  // Until the VM is not this node's any more (then nothing of it is left here), or until
  // cancelled (then its guest runs on), or until leave() has been done.
  env::Task<void> run();

  // The applied state may have changed.
  void wake() { changed_.notify_all(); }

  // Stops the guest because the node goes away; the next daemon starts it again. What cannot be
  // stopped is left to that one too.
  void leave();

  [[nodiscard]] const std::optional<vm::Record>& record() const { return record_; }
  [[nodiscard]] bool is_starting() const { return is_starting_; }
  // A saved guest that the cluster may not have heard of yet.
  [[nodiscard]] bool holds(const image::Digest& digest) const;

 private:
  enum class Begin : std::uint8_t { kBoot, kAdopted };

  // The VM, if it is assigned to this node; valid until the next suspension.
  [[nodiscard]] const cluster::Vm* assigned() const;
  [[nodiscard]] bool still_wanted(Generation generation) const;
  void begin_assignment(const cluster::Vm& vm);

  // `vm` is a copy: the state moves on while a turn waits.
  env::Task<Result<void>> turn();
  env::Task<Result<void>> keep_running(cluster::Vm vm);
  env::Task<Result<void>> start_if_due(cluster::Vm vm);
  env::Task<Result<void>> keep_up(cluster::Vm vm);
  env::Task<Result<void>> settle_end(cluster::RestartPolicy policy);
  env::Task<Result<void>> wait_to_restart();
  env::Task<Result<void>> wait_for_news(cluster::Vm seen);
  env::Task<void> pause_after(Error error);

  // Guests that are paused and saved (vm_keeper_saves.cc).
  [[nodiscard]] bool is_suspending(const cluster::Vm& vm);
  env::Task<Result<void>> keep_suspended(cluster::Vm vm);
  env::Task<Result<void>> hand_over(cluster::Vm vm);
  env::Task<Result<void>> give_up_saved(cluster::Vm vm);
  env::Task<Result<void>> suspend(cluster::Vm vm);
  env::Task<Result<void>> pause_guest();
  env::Task<Result<void>> resume_guest();
  env::Task<Result<void>> settle_failure(Error error);
  env::Task<Result<void>> take_snapshot(cluster::Vm vm);
  env::Task<Result<cluster::SavedGuest>> save_guest(cluster::Vm vm, std::uint64_t snapshot);
  void let_go_of_known(const cluster::Saves& saves);
  env::Task<Result<saved::Saved>> save_into(std::shared_ptr<saved::Writer> writer, Bytes memory);
  env::Task<Result<void>> wake_or_boot(vm::GuestSpec spec, std::string image,
                                       cluster::SavedGuest from, bool is_used);
  env::Task<Result<void>> load_saved(vm::GuestSpec spec, cluster::SavedGuest from);
  env::Task<Result<std::shared_ptr<vm::StateSource>>> open_saved(const vm::GuestSpec& spec,
                                                                 cluster::SavedGuest from);
  env::Task<Result<std::shared_ptr<vm::StateSource>>> read_saved(const vm::GuestSpec& spec,
                                                                 image::Digest digest);
  env::Task<Result<void>> claim_saved();
  void forget_saved();

  // How one is started (vm_keeper_start.cc).
  env::Task<Result<void>> start(cluster::Vm vm, Begin begin);
  env::Task<Result<void>> bring_up(cluster::Vm vm);
  env::Task<Result<vm::GuestSpec>> guest_of(cluster::Vm vm);
  env::Task<Result<void>> clone_or_boot(vm::GuestSpec spec, std::string image);
  env::Task<Result<void>> begin(vm::GuestSpec spec);
  env::Task<Result<void>> start_process(vm::GuestSpec spec);
  env::Task<Result<void>> wait_ready(Duration patience);
  env::Task<Result<void>> while_wanted(Generation generation, env::Task<Result<void>> work);
  env::Task<void> cancel_when_unwanted(Generation generation, env::Cancellation& work);

  // And ended (vm_keeper_stop.cc).
  env::Task<Result<void>> keep_stopped(cluster::Vm vm);
  env::Task<Result<void>> give_back(cluster::Vm vm);
  env::Task<Result<void>> go_away(cluster::Vm vm);
  env::Task<Result<void>> stop_guest(std::uint32_t grace_seconds);
  env::Task<Result<vm::EndReason>> stop_by(vm::StopLadder ladder);
  env::Task<Result<void>> put_away();
  [[nodiscard]] std::uint32_t grace_seconds(const cluster::Vm& vm) const;

  // And taken over from another daemon, and watched (vm_keeper_watch.cc).
  env::Task<Result<void>> adopt(cluster::Vm vm);
  env::Task<Result<vm::Status>> ask_whether_it_runs();
  env::Task<void> begin_watching();
  env::Task<void> stop_watching();
  env::Task<void> watch(vm::Record record);
  env::Task<void> name_again(vm::Record record);

  // Part of the trace of the request that this VM is changed for, if there is one.
  [[nodiscard]] trace::ActiveSpan begin_span(const char* name) const;

  // Of work that was begun then; not when it was broken off.
  template <class T>
  void record(telemetry::VmOperation operation, const Result<T>& done, Instant begun) const {
    if (!done && done.error().code() == Code::kCancelled) return;
    services_.telemetry.record_vm_operation(operation, telemetry::outcome_of(done),
                                            services_.env.clock.monotonic() - begun);
  }

  void report(cluster::VmState state, std::string reason);
  void report_running(Instant begun);
  void report_on_the_way(cluster::VmState state);
  void send_report(cluster::VmState state, std::string reason, bool released,
                   const cluster::VmStart* start = nullptr);
  // To which what it is about is added before it is sent.
  [[nodiscard]] v1::VmReport report_of(cluster::VmState state, std::string reason) const;
  void send(v1::VmReport report);

  Services& services_;
  VmId id_;
  std::optional<vm::Record> record_;
  env::Signal changed_;
  std::unique_ptr<env::Scope> watching_;  // while the guest is known to run
  std::optional<vm::Status> ended_;       // how it ended, until that is reported
  bool is_known_ = false;                 // what became of the process of `record_`
  bool is_clean_ = false;                 // nothing of the VM is on this host
  bool is_released_ = false;              // and that was reported, for the last time
  bool finished_ = false;
  bool leaving_ = false;

  trace::TraceContext starting_;  // while it is started
  bool is_starting_ = false;
  cluster::VmStart started_;  // how the start went that is under way, or the last
  Generation generation_;
  cluster::VmState reported_ = cluster::VmState::kPending;
  bool stopped_by_wish_ = false;  // Stopped because that was desired, not by itself
  bool is_reason_told_ = false;   // why turns fail, and no report since
  std::uint64_t snapshots_ = 0;  // those asked of this VM of which was reported what became of them
  struct Held {
    image::Digest digest;
    std::uint64_t snapshot = 0;  // its number; 0: it was suspended
    static bool is_suspended(const Held& held) { return held.snapshot == 0; }
  };
  std::vector<Held> held_;  // saved, and not known to the cluster yet
  // What the guest that is or was here goes on from: that was reported, and it does not run again.
  std::optional<cluster::SavedGuest> saved_;
  // It was started or stopped since: a save before that, of which the log hears late, is void.
  bool has_moved_on_ = false;
  std::uint32_t restarts_ = 0;
  std::uint32_t failures_in_row_ = 0;  // of the guest
  std::uint32_t failed_turns_ = 0;     // in a row, of ours
  Instant leave_by_;
  Instant running_since_;
  Instant restart_at_;
};

}  // namespace blixard::agent

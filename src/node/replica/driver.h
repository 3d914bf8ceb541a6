#pragma once

// Turns the wheel of consensus: feeds the core what happened and carries out what it decides.
//
// Whatever happens (a message, a tick, a proposal, a write that became durable) is given to the
// core at once, which costs little, and wakes the pump. The pump runs after everything else that
// was ready, so what happened together is answered together: one output has the messages, the
// append and the committed entries of all of it. Messages leave first and the disk is written
// beside them, as the core's contract has it (core/raft/core.h).
//
// Appends are handed to the log in the core's order and without waiting for one another: the log
// writes as one what it has. Nothing is handed over behind one that the log refused: a vote would
// be on disk before the term it follows, a commit index before its entries. What was refused stays
// first in line, with all that follows it, and is tried again with the next tick; only a failure of
// the log ends the driver.
//
// A change of members that was committed is known durably as such before this node applies it,
// tells others or answers for it. Else a node that removes the other of two and crashes would, when
// it is started again, wait for the vote of a node that is gone.
//
// Which entries a slow follower or a start needs from disk, the view notes; they are read beside
// everything else, and those that cannot be read again with the next tick.

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "core/raft/core.h"
#include "env/env.h"
#include "env/scope.h"
#include "env/sync.h"
#include "node/log/log.h"
#include "node/peer/peers.h"
#include "node/replica/log_view.h"

namespace blixard::replica {

class Driver {
 public:
  // What is done with the core's decisions. Called by the pump, one at a time.
  class Owner {
   public:
    virtual ~Owner() = default;
    // Puts in what waits (proposals, reads), before the output is taken.
    virtual void feed(raft::Core& core) = 0;
    // In order; the owner tells the core which are applied.
    virtual void on_committed(const std::vector<raft::Entry>& entries) = 0;
    virtual void on_read(const raft::ReadState& read) = 0;
    virtual void on_role(const raft::SoftState& state) = 0;
    virtual void on_tick() = 0;
    // The content of the log's snapshot is to go to message.to.
    virtual void send_snapshot(raft::Message message) = 0;
    // Whether the core installs the snapshot it was given last.
    virtual void snapshot_decided(bool installs) = 0;
    // Makes it the log's and the state's. Every append before it is done, none behind it is begun.
    virtual env::Task<Result<void>> install(const raft::SnapshotMeta& meta) = 0;
    // Nothing can be made durable any more.
    virtual void on_log_failed(const Error& error) = 0;
  };

  Driver(env::Env env, Duration tick, log::Log& log, peer::Peers& peers, Owner& owner);

  // Errors: raft::Core::make()'s.
  Result<void> start(const raft::Config& config, const raft::Initial& initial);
  // Lets the append that is being written end, and writes down the commit index. Nothing is
  // stepped from here on.
  env::Task<void> stop();
  // The same without waiting: what is under way ends by itself.
  void halt();

  [[nodiscard]] LogView& view() { return view_; }
  [[nodiscard]] raft::Core& core() { return *core_; }
  [[nodiscard]] const raft::Core& core() const { return *core_; }
  [[nodiscard]] bool running() const { return core_ && !halted_; }
  // Of the last append: the disk takes no more until something is freed.
  [[nodiscard]] bool disk_full() const { return disk_full_; }

  // Appends that are not durable.
  [[nodiscard]] std::size_t appends_waiting() const { return appends_.size(); }

  // A message from a peer.
  void step(raft::Message message);
  // The core was given something by other means.
  void wake();
  // Returns when the committed entry at `index`, which is of `term`, is durable here or covered by
  // a snapshot that is, and so is all before it. Errors: kUnavailable "stopped".
  env::Task<Result<void>> durable(LogIndex index, Term term);

 private:
  struct Writing {
    raft::Append append;
    bool handed_over = false;           // to the log, which has not answered yet
    env::Task<Result<void>> written{};  // its answer
  };

  env::Task<void> pump();
  raft::Output take_output();
  env::Task<void> tick();
  [[nodiscard]] bool waits_for_own_vote() const;
  env::Task<void> carry_out(raft::Output output);
  void carry_on(raft::Output output);
  [[nodiscard]] bool holds_back(raft::Output& output);
  void send(std::vector<raft::Message> messages);
  void post(std::vector<raft::Message> messages);
  static void meet_failpoints(std::vector<raft::Message>& messages);
  [[nodiscard]] std::vector<raft::Message> claim_to_lead() const;
  void put_off(std::vector<raft::Message>& messages);
  void enqueue(raft::Append append);
  void submit();
  void hand_over(Writing& next);
  env::Task<void> write();
  env::Task<Result<void>> write_first();
  void drop_written(std::vector<raft::Entry>& entries) const;
  env::Task<void> withdraw();
  void finish(raft::Append append);
  void load_missing();
  env::Task<void> load(LogView::Missing missing);
  [[nodiscard]] env::Task<bool> outlast(const Error& error);

  env::Env env_;
  Duration tick_;
  log::Log& log_;
  peer::Peers& peers_;
  Owner& owner_;
  LogView view_;
  std::unique_ptr<raft::Core> core_;
  bool halted_ = false;
  bool awake_ = false;
  env::Parked<bool>* sleeper_ = nullptr;

  std::deque<Writing> appends_;  // that are not durable, oldest first; the first are handed over
  std::uint64_t refusals_ = 0;   // of the log, up to what is handed over now
  std::optional<raft::HardState> lazy_hard_state_;  // goes with the next append
  LogIndex durable_commit_;                         // of the last hard state that was written
  std::optional<raft::Output> held_;                // until the commit of its change is durable
  LogIndex held_for_;
  LogIndex handed_out_;                 // by the core, to be applied
  std::vector<raft::Message> put_off_;  // appends without entries, one for each follower at most
  bool may_put_off_ = true;
  bool writing_ = false;
  bool disk_full_ = false;
  bool loading_ = false;
  env::Signal ticked_;
  env::Signal wrote_;
  env::Scope scope_;  // no caller's cancellation reaches it
};

}  // namespace blixard::replica

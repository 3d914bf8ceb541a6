#pragma once

// The replica of a cluster with one voter: what is durable here is committed.
//
// One writing task runs while proposals wait. It takes those that wait, in order, appends them to
// the log as one, and when that is durable applies and answers them one by one. So state() never
// shows what is not on disk, and a proposal is answered only after state() shows it.
//
// A snapshot is encoded in one go, during which nothing else runs on this node (some milliseconds
// for a model of thousands of VMs), and written while proposals go on.

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "blixard/v1/cluster.pb.h"
#include "env/env.h"
#include "env/scope.h"
#include "env/sync.h"
#include "node/replica/change_ring.h"
#include "node/replica/replica.h"

namespace blixard::replica {

class SoloReplica final : public Replica {
 public:
  SoloReplica(env::Env env, NodeId self, Options options, std::unique_ptr<log::Log> log);

  // Brings the state up to the log's end and takes the lead. Before anything else.
  env::Task<Result<void>> start();

  env::Task<Result<cluster::Outcome>> propose(v1::Command command) override;
  env::Task<Result<void>> read_barrier() override;
  [[nodiscard]] const cluster::State& state() const override { return state_; }
  [[nodiscard]] Status status() const override;
  [[nodiscard]] bool is_leader() const override { return !end_; }
  [[nodiscard]] env::Signal& applied() override { return applied_signal_; }
  [[nodiscard]] Result<std::vector<cluster::Change>> changes(std::uint64_t since) const override {
    return changes_.after(since);
  }
  env::Task<Result<void>> failed() override;
  env::Task<void> stop() override;

 private:
  // One command, on the frame of the coroutine that waits for its answer.
  struct Proposal {
    explicit Proposal(env::Executor& executor) : done(executor) {}
    v1::Command command;
    std::string bytes;
    env::Parked<Result<cluster::Outcome>> done;
  };

  env::Task<Result<void>> load_snapshot();
  env::Task<Result<void>> replay();
  env::Task<Result<void>> take_lead();
  Result<void> replay_entry(const log::Entry& entry);

  env::Task<void> write_pending();
  std::vector<Proposal*> take_batch();
  void apply_batch(const std::vector<Proposal*>& batch);
  void refuse(const std::vector<Proposal*>& batch, const Error& error);
  void end(const char* reason, std::string detail);
  Result<cluster::Outcome> apply(LogIndex index, const v1::Command& command,
                                 std::size_t command_bytes);
  void snapshot_if_due();
  env::Task<void> save_snapshot(log::SnapshotMeta meta, std::string content);

  env::Env env_;
  NodeId self_;
  Options options_;
  std::unique_ptr<log::Log> log_;
  cluster::State state_;
  ChangeRing changes_;
  Term term_;
  LogIndex applied_;
  Term applied_term_;

  std::deque<Proposal*> pending_;
  std::size_t in_flight_ = 0;
  std::size_t in_flight_bytes_ = 0;
  bool writing_ = false;
  std::optional<Error> end_;  // why nothing is taken any more

  std::uint64_t entries_since_snapshot_ = 0;
  std::uint64_t bytes_since_snapshot_ = 0;
  bool snapshotting_ = false;

  env::Signal applied_signal_;
  env::Signal ended_;
  env::Scope scope_;  // of the writing and snapshot tasks; no caller's cancellation reaches it
};

}  // namespace blixard::replica

#pragma once

// The Log over a directory: group commit, reads, snapshots.
//
// One writing task runs while anything is pending. It takes what is pending, in order, encodes it
// as one batch, writes and syncs it, and answers every append that was in it; what arrives
// meanwhile is the next batch. Only what is durable is in the index.

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "env/env.h"
#include "env/scope.h"
#include "env/sync.h"
#include "node/log/format.h"
#include "node/log/log.h"
#include "node/log/recovery.h"
#include "node/log/snapshot_files.h"

namespace blixard::log {

class DurableLog final : public Log {
 public:
  DurableLog(env::Env env, std::string directory, Options options,
             std::unique_ptr<env::DirectoryLock> lock, Contents contents);

  // Writes down what recovery decided. Before anything else.
  env::Task<Result<void>> start();

  [[nodiscard]] const Recovered& recovered() const override { return recovered_; }
  env::Task<Result<void>> append(std::vector<Entry> entries,
                                 std::optional<HardState> hard_state) override;
  env::Task<Result<std::vector<Entry>>> read(LogIndex from, LogIndex to,
                                             std::size_t bytes_max) override;
  env::Task<Result<void>> save_snapshot(SnapshotMeta meta, std::string content) override;
  env::Task<Result<std::string>> load_snapshot() override;
  [[nodiscard]] LogIndex first() const override { return contents_.entries.base().next(); }
  [[nodiscard]] LogIndex last() const override { return contents_.entries.last(); }
  [[nodiscard]] std::optional<SnapshotMeta> snapshot() const override { return contents_.snapshot; }
  [[nodiscard]] bool failed() const override { return failure_.has_value(); }
  env::Task<void> close() override;

 private:
  // One append, on the frame of the coroutine that waits for it.
  struct Request {
    explicit Request(env::Executor& executor) : done(executor) {}
    std::vector<Entry> entries;
    std::optional<HardState> hard_state;
    std::optional<SnapshotMeta> reset;
    std::size_t bytes = 0;
    env::Parked<Result<void>> done;
  };
  // A stretch of one segment's file that holds consecutive entries.
  struct Run {
    std::shared_ptr<env::File> file;
    std::string path;
    std::vector<Place> places;
    LogIndex first;
    [[nodiscard]] std::uint64_t begin() const { return places.front().offset; }
    [[nodiscard]] std::uint64_t end() const { return places.back().offset + places.back().bytes; }
  };

  [[nodiscard]] Result<void> refusal() const;
  [[nodiscard]] Result<void> check(const std::vector<Entry>& entries, std::size_t bytes) const;
  env::Task<Result<void>> commit(Request& request);
  env::Task<void> write_pending();
  std::vector<Request*> take_batch();
  env::Task<Result<void>> write_batch(const std::vector<Request*>& batch);
  env::Task<Result<void>> roll();
  std::vector<Place> encode(const std::vector<Request*>& batch);
  void take_effect(const std::vector<Request*>& batch, const std::vector<Place>& places);
  void remember(Entry entry);
  Error fail_log(const Error& cause);

  [[nodiscard]] const Segment& active() const { return contents_.segments.back(); }
  void add_to_runs(std::vector<Run>& runs, LogIndex index, const Place& place) const;
  env::Task<Result<void>> read_run(const Run& run, std::vector<Entry>& out);

  [[nodiscard]] bool holds(const SnapshotMeta& meta) const;
  env::Task<Result<void>> store_snapshot(SnapshotMeta meta, std::string content);
  env::Task<Result<void>> drop_segments();

  env::Env env_;
  std::string directory_;
  Options options_;
  std::unique_ptr<env::DirectoryLock> lock_;
  Contents contents_;
  Recovered recovered_;
  SnapshotFiles snapshots_;

  BatchEncoder encoder_;
  std::deque<Request*> pending_;
  std::size_t pending_bytes_ = 0;
  LogIndex accepted_;  // last index, with what is pending
  bool writing_ = false;
  bool closed_ = false;
  bool snapshotting_ = false;
  std::optional<Error> failure_;
  env::Signal wrote_;

  std::deque<Entry> recent_;  // the last entries of the index
  std::size_t recent_bytes_ = 0;

  env::Scope scope_;  // of the writing task; no caller's cancellation reaches it
};

}  // namespace blixard::log

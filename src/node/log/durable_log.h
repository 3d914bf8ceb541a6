#pragma once

// The Log over a directory: group commit, reads, snapshots.
//
// One writing task runs while anything is queued. It takes what is queued, in order, encodes it as
// one batch, writes and syncs it, and answers every append that was in it; what arrives meanwhile
// is the next batch. The installation of a snapshot stands in the same queue and begins a batch.
// Only what is durable is in the index; what is queued is known by its requests alone.
//
// Beside it run, each once at most: the preparation of the next segment, and the removal of what a
// snapshot made superfluous.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/ring.h"
#include "env/env.h"
#include "env/scope.h"
#include "env/sync.h"
#include "node/log/format.h"
#include "node/log/log.h"
#include "node/log/recovery.h"
#include "node/log/snapshot_files.h"
#include "node/log/vote_guard.h"

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
  [[nodiscard]] std::uint64_t refusals() const override { return refusals_; }
  [[nodiscard]] std::optional<Term> term(LogIndex index) const override {
    return contents_.entries.term(index);
  }
  bool cached(LogIndex from, LogIndex to, std::size_t bytes_max,
              std::vector<Entry>& out) const override;
  env::Task<Result<std::vector<Entry>>> read(LogIndex from, LogIndex to,
                                             std::size_t bytes_max) override;
  env::Task<Result<void>> save_snapshot(SnapshotMeta meta, std::string content,
                                        LogIndex keep_from) override;
  env::Task<Result<std::string>> load_snapshot() override;
  env::Task<Result<std::unique_ptr<SnapshotReader>>> open_snapshot() override;
  env::Task<Result<std::unique_ptr<SnapshotWriter>>> begin_snapshot(SnapshotMeta meta,
                                                                    std::uint64_t bytes) override;
  [[nodiscard]] LogIndex first() const override { return contents_.entries.base().next(); }
  [[nodiscard]] LogIndex last() const override { return contents_.entries.last(); }
  [[nodiscard]] std::optional<SnapshotMeta> snapshot() const override { return contents_.snapshot; }
  [[nodiscard]] bool failed() const override { return failure_.has_value(); }
  env::Task<void> close() override;

 private:
  class IncomingSnapshot;
  class OutgoingSnapshot;

  struct Install {
    SnapshotMeta meta;
    std::string unfinished_path;  // empty: the file is in its place
    bool reset = false;           // the log does not hold what it covers
  };
  // What stands in the queue; shared with the coroutine that waits for it, if one does.
  struct Request {
    explicit Request(env::Executor& executor) : done(executor) {}
    std::vector<Entry> entries;
    std::optional<HardState> hard_state;
    std::optional<Install> install;
    std::size_t bytes = 0;
    Result<void> outcome;  // of this one, when its batch was written
    env::Parked<Result<void>> done;
  };
  using RequestPtr = std::shared_ptr<Request>;
  using Batch = std::vector<RequestPtr>;
  // A stretch of one segment's file that holds consecutive entries.
  struct Run {
    std::shared_ptr<env::File> file;
    std::string path;
    std::vector<Place> places;
    std::vector<Term> terms;
    LogIndex first;
    [[nodiscard]] std::uint64_t begin() const { return places.front().offset; }
    [[nodiscard]] std::uint64_t end() const {
      return std::uint64_t{places.back().offset} + places.back().bytes;
    }
  };

  // The queue.
  [[nodiscard]] Result<void> refusal() const;
  [[nodiscard]] Result<void> check(const std::vector<Entry>& entries,
                                   const std::optional<HardState>& hard_state,
                                   std::size_t bytes) const;
  [[nodiscard]] std::size_t batch_bytes_max() const;
  void enqueue(RequestPtr request);
  RequestPtr enqueue_parts(std::vector<Entry> entries, const std::optional<HardState>& hard_state);
  static env::Task<Result<void>> wait_for(RequestPtr request);
  [[nodiscard]] std::optional<Term> queued_term(LogIndex index) const;
  [[nodiscard]] bool will_hold(const SnapshotMeta& meta) const;

  // Writing.
  env::Task<void> write_queued();
  Batch take_batch();
  env::Task<Result<void>> write_batch(const Batch& batch);
  env::Task<Result<void>> place_snapshot(Request& request);
  env::Task<Result<void>> clear_refused();
  env::Task<Result<void>> write_records(const Batch& batch);
  env::Task<Result<void>> roll(std::uint64_t batch_bytes);
  void count_write(Instant begun, std::size_t bytes) const;
  [[nodiscard]] HardState hard_state_after(const Batch& batch) const;
  void encode(const Batch& batch);
  void take_effect(const Batch& batch);
  void remember(Entry entry);
  void prepare_spare_if_due();
  env::Task<void> prepare_spare();
  std::unexpected<Error> refuse_or_fail(const Error& cause);
  Error fail_log(const Error& cause);

  // Reading.
  [[nodiscard]] const Segment& active() const { return contents_.segments.back(); }
  void add_to_runs(std::vector<Run>& runs, LogIndex index, const Place& place) const;
  static env::Task<Result<void>> read_run(const Run& run, std::vector<Entry>& out);

  // Snapshots.
  env::Task<Result<void>> store_snapshot(SnapshotMeta meta, std::string content,
                                         LogIndex keep_from);
  static env::Task<Result<void>> write_content(UnfinishedSnapshot& file, std::string content);
  void recount_accepted_snapshot();
  RequestPtr queue_install(SnapshotMeta meta, std::string unfinished_path);
  env::Task<Result<std::unique_ptr<OpenSnapshot>>> open_newest();
  void discard(std::string unfinished_path);
  env::Task<void> remove_discarded(std::string path);
  void clean_up_later();
  env::Task<void> clean_up();
  env::Task<Result<void>> drop_segments();

  env::Env env_;
  std::string directory_;
  Options options_;
  std::unique_ptr<env::DirectoryLock> lock_;
  Contents contents_;
  Recovered recovered_;
  SnapshotFiles snapshots_;
  VoteFile vote_;

  BatchEncoder encoder_;
  std::vector<Place> places_;  // of the entries that it has
  Ring<RequestPtr> queue_;
  Batch batch_;  // being written
  std::size_t queued_bytes_ = 0;
  std::uint64_t refusals_ = 0;
  LogIndex accepted_;              // last index, with what is queued
  LogIndex accepted_snapshot_;     // index of the newest snapshot, with what is queued
  std::uint64_t refused_end_ = 0;  // where what a refused write left may end, in the last segment
  bool writing_ = false;
  bool closed_ = false;
  std::optional<Error> failure_;
  env::Signal wrote_;

  std::optional<Spare> spare_;
  std::uint64_t spare_tried_at_ = 0;  // sequence of the segment then in use

  bool snapshotting_ = false;
  std::size_t incoming_ = 0;
  LogIndex keep_from_;
  bool cleaning_ = false;
  bool clean_again_ = false;

  Ring<Entry> recent_;  // the last entries of the index
  std::size_t recent_bytes_ = 0;

  env::Scope scope_;       // of the writing task; no caller's cancellation reaches it
  env::Scope background_;  // of what may be given up
};

}  // namespace blixard::log

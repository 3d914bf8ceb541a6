#pragma once

// The durable log: entries of the replicated log, and the node's term and vote, on disk.
//
// A directory of segments (wal-<sequence>.seg). A segment is a header and batches. Appends that
// arrive together become one batch: one write, one sync, one checksum, chained to the batch before
// it. One sync is in flight at a time and everything pending joins the next batch. Segments are
// preallocated, so a full disk is met when a segment is made, before anything is written.
//
// After a crash the last batch may be torn: it was never acknowledged and is cut off, durably,
// before anything is appended. A damaged batch with a sound one behind it is something else,
// corruption: open() refuses with kDataLoss, because cutting acknowledged entries off a voter
// breaks Raft. (format.h says why the batch is the unit of that decision.) A failed sync is fatal
// for the same reason: nothing may be acknowledged any more, append() answers kDataLoss
// "log_failed" for ever and failed() tells the node to stop.
//
// Entries are read back from disk through an index in memory; the latest ones are cached.
//
// Snapshots are files beside the segments (snapshot-<index>), written under another name, synced
// and renamed; then the log behind them is dropped.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "env/env.h"
#include "env/task.h"

namespace blixard::log {

struct Entry {
  Term term;
  LogIndex index;
  std::uint8_t kind = 0;  // the replica's: command, configuration, no-op
  std::string payload;
};

// Term and vote (Raft paper, figure 2: persistent state), kept in the same log.
struct HardState {
  Term term;
  NodeId vote;
  LogIndex commit;
  friend bool operator==(const HardState&, const HardState&) = default;
};

struct SnapshotMeta {
  LogIndex index;  // of the last entry it covers
  Term term;
};

struct Options {
  std::uint64_t segment_bytes = std::uint64_t{64} << 20;  // at least room for one largest entry
  std::size_t entry_bytes_max = std::size_t{1} << 20;
  std::size_t cache_bytes = std::size_t{4} << 20;  // of the latest entries
};

// What was found on disk.
struct Recovered {
  Uuid log_id;  // random, made with the log: a wiped directory is another log
  HardState hard_state;
  std::optional<SnapshotMeta> snapshot;
  LogIndex first;  // 0 when the log is empty
  LogIndex last;
  std::uint64_t torn_bytes_cut = 0;
};

class Log {
 public:
  virtual ~Log() = default;

  // Opens or makes the log in `directory` and holds its lock. Errors: kDataLoss "log_corrupt" with
  // file, offset and what to do; kFailedPrecondition "log_too_new", "directory_in_use";
  // kInvalidArgument "segment_too_small"; disk errors.
  static env::Task<Result<std::unique_ptr<Log>>> open(env::Env env, std::string directory,
                                                      Options options);

  [[nodiscard]] virtual const Recovered& recovered() const = 0;

  // Returns when the entries and the hard state (if given) are durable: all of them or none. Not
  // cut short by cancellation. Entries must continue the log or overwrite its tail: an entry at
  // index i drops what was at i and behind it. Concurrent calls take effect in call order. Errors:
  // kResourceExhausted "entry_too_large" (also: all of them together, for a segment),
  // "log_queue_full", "disk_full" (nothing written, the log stays usable; appends that waited
  // behind it are refused with it), kFailedPrecondition "log_gap", "compacted", "log_closed";
  // kDataLoss "log_failed".
  virtual env::Task<Result<void>> append(std::vector<Entry> entries,
                                         std::optional<HardState> hard_state) = 0;

  // Durable entries [from, to], bounded by bytes_max but at least one. Errors: kFailedPrecondition
  // "compacted"; kNotFound "beyond_last"; kDataLoss "entry_damaged".
  virtual env::Task<Result<std::vector<Entry>>> read(LogIndex from, LogIndex to,
                                                     std::size_t bytes_max) = 0;

  // Writes a snapshot durably, then drops segments that only hold entries at or below
  // meta.index. Appends go on meanwhile. When the log does not hold meta's entry (a snapshot from
  // the leader), the log is emptied and goes on behind meta.index. Errors: kFailedPrecondition
  // "snapshot_stale", "log_closed"; kUnavailable "snapshot_in_progress"; kResourceExhausted
  // "snapshot_too_large", "disk_full"; kDataLoss "log_failed".
  virtual env::Task<Result<void>> save_snapshot(SnapshotMeta meta, std::string content) = 0;
  virtual env::Task<Result<std::string>> load_snapshot() = 0;  // errors: kNotFound, kDataLoss

  [[nodiscard]] virtual LogIndex first() const = 0;  // readable; last() + 1 when there is none
  [[nodiscard]] virtual LogIndex last() const = 0;   // durable
  [[nodiscard]] virtual std::optional<SnapshotMeta> snapshot() const = 0;
  [[nodiscard]] virtual bool failed() const = 0;

  // Waits for the appends in flight, then refuses. Callers end their other calls themselves.
  virtual env::Task<void> close() = 0;
};

}  // namespace blixard::log

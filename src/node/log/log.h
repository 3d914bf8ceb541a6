#pragma once

// The durable log: entries of the replicated log, and the node's term and vote, on disk.
//
// A directory of segments (wal-<sequence>.seg). A segment is a header and batches. Appends that
// arrive together become one batch: one write, one sync, one checksum, chained to the batch before
// it. One sync is in flight at a time and everything pending joins the next batch. A segment's
// space is written with zeros before it is used, so a full disk is met when a segment is made,
// before anything is written, and a sync has only data to write.
//
// After a crash the last batch may be torn: it was never acknowledged and is cut off, durably,
// before anything is appended. A damaged batch with a sound one behind it is something else,
// corruption: open() refuses with kDataLoss, because cutting acknowledged entries off a voter
// breaks Raft. (format.h says why the batch is the unit of that decision.) A failed sync is fatal
// for the same reason: nothing may be acknowledged any more, append() answers kDataLoss
// "log_failed" for ever and failed() tells the node to stop.
//
// Damage to the very last batch is corruption too, unless it may be torn after all (recovery.h). A
// vote that vanishes with it is a second vote in the same term: so each change of term or vote is
// also in a file of its own, and what that file knows the log must know (vote_guard.h).
//
// Entries are read back from disk through an index in memory, which knows each one's term; the
// latest entries are cached.
//
// Snapshots are files beside the segments (snapshot-<index>), written under another name, synced
// and renamed; then the log behind them is dropped, but for the entries a caller wants to keep.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/limits.h"
#include "base/payload.h"
#include "base/result.h"
#include "core/raft/types.h"
#include "env/env.h"
#include "env/task.h"
#include "node/log/instruments.h"

namespace blixard::log {

using raft::Entry;
using raft::HardState;

// What the log must know of a snapshot. The configuration is part of its content.
struct SnapshotMeta {
  LogIndex index;  // of the last entry it covers
  Term term;
  friend bool operator==(const SnapshotMeta&, const SnapshotMeta&) = default;
};

struct Options {
  std::uint64_t segment_bytes = std::uint64_t{64} << 20;  // at least room for one largest entry
  std::size_t entry_bytes_max = std::size_t{1} << 20;
  std::size_t cache_bytes = std::size_t{4} << 20;  // of the latest entries
  // Of one write and sync. A single entry always fits: 1 makes each a write of its own.
  std::size_t batch_bytes = limits::kLogBatchBytes;
  Instruments instruments{};
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

// A snapshot that comes from elsewhere, in pieces, on its way to the disk. Destroyed before
// install() it leaves nothing behind. Ends before its log does.
class SnapshotWriter {
 public:
  virtual ~SnapshotWriter() = default;
  // One after the other. Errors: kResourceExhausted "snapshot_too_large" (more than was
  // announced), "disk_full"; disk errors.
  virtual env::Task<Result<void>> write(Payload chunk) = 0;
  // Checks that all bytes came and, when it is given, that the checksum (SnapshotReader::checksum
  // at the sender) is theirs; then syncs. Nothing has changed for the log yet. Errors: kDataLoss
  // "snapshot_damaged"; disk errors.
  virtual env::Task<Result<void>> finish(std::optional<std::uint64_t> checksum) = 0;
  // Puts the snapshot into its place and, when the log does not hold the entry it covers last,
  // resets the log behind it: the next entry is meta.index + 1. It has its turn in the order of
  // appends from the moment of the call, not of the await: entries that continue behind it may be
  // appended at once. A crash leaves the log as it was or as the snapshot made it. Once.
  // Precondition: finish() succeeded. Errors: kFailedPrecondition "snapshot_stale", "log_closed";
  // kDataLoss "log_failed"; those of an append it waited behind.
  virtual env::Task<Result<void>> install() = 0;
};

// A snapshot being read, in pieces. Stays readable when a newer one replaces it.
class SnapshotReader {
 public:
  virtual ~SnapshotReader() = default;
  [[nodiscard]] virtual SnapshotMeta meta() const = 0;
  [[nodiscard]] virtual std::uint64_t bytes() const = 0;
  [[nodiscard]] virtual std::uint64_t checksum() const = 0;  // of its content
  // The next piece, of at most limits::kSnapshotChunkBytes; an empty one is the end. Errors:
  // kDataLoss "snapshot_damaged" (at the last piece); disk errors.
  virtual env::Task<Result<Payload>> read() = 0;
};

class Log {
 public:
  virtual ~Log() = default;

  // Opens or makes the log in `directory` and holds its lock. Errors: kDataLoss "log_corrupt",
  // "vote_damaged", "snapshot_damaged" with file, place and what to do; kFailedPrecondition
  // "log_too_new", "directory_in_use"; kInvalidArgument "segment_too_small"; disk errors.
  static env::Task<Result<std::unique_ptr<Log>>> open(env::Env env, std::string directory,
                                                      Options options);

  [[nodiscard]] virtual const Recovered& recovered() const = 0;

  // Takes effect in the order of calls (not of awaits: the call itself queues it, and need not be
  // awaited before the next one); completes in that order when the entries and the hard state (if
  // given) are durable. All of them or none, if they fit one batch (limits::kLogBatchBytes, and a
  // segment). What does not is written as several, so a crash or a refusal may leave its first
  // entries, with as much of the hard state as they bear out. Not cut short by cancellation.
  // Entries must continue the log, with what is queued, or overwrite its tail: an entry at index i
  // drops what was at i and behind it. The hard state's commit is in the log, with what is queued
  // and these entries. Errors: kResourceExhausted "entry_too_large", "log_queue_full" (while
  // something is queued), "disk_full" (the log stays usable; appends that waited behind it are
  // refused with it), kFailedPrecondition "log_gap", "commit_beyond_log", "compacted",
  // "log_closed"; kDataLoss "log_failed".
  virtual env::Task<Result<void>> append(std::vector<Entry> entries,
                                         std::optional<HardState> hard_state) = 0;
  // Grows when appends are refused: at the call, or later but before they are answered. Who appends
  // without waiting for the answers appends nothing more while this has grown and it does not know
  // why: it would come before what was refused and is appended once more.
  [[nodiscard]] virtual std::uint64_t refusals() const = 0;

  // Of a durable entry in [first() - 1, last()]; none elsewhere. From memory.
  [[nodiscard]] virtual std::optional<Term> term(LogIndex index) const = 0;
  // Appends the durable entries [from, to] to `out`, as many as bytes_max allows
  // (raft::entry_bytes) but at least one. False, and nothing appended: they are not in memory.
  // Precondition: from <= to <= last().
  virtual bool cached(LogIndex from, LogIndex to, std::size_t bytes_max,
                      std::vector<Entry>& out) const = 0;
  // The same from disk where needed; `to` may be beyond last(). Errors: kFailedPrecondition
  // "compacted"; kNotFound "beyond_last"; kDataLoss "entry_damaged".
  virtual env::Task<Result<std::vector<Entry>>> read(LogIndex from, LogIndex to,
                                                     std::size_t bytes_max) = 0;

  // Writes a snapshot of our own durably, then drops the segments whose entries are all at or
  // below meta.index and below `keep_from`. Appends go on meanwhile. When the log does not hold
  // meta's entry, it is reset behind meta.index as SnapshotWriter::install() does it. Errors:
  // kFailedPrecondition "snapshot_stale" (also: a newer one was installed meanwhile),
  // "log_closed"; kUnavailable "snapshot_in_progress"; kResourceExhausted "snapshot_too_large",
  // "disk_full"; kDataLoss "log_failed".
  virtual env::Task<Result<void>> save_snapshot(SnapshotMeta meta, std::string content,
                                                LogIndex keep_from) = 0;
  // All of it at once. Errors: kNotFound "no_snapshot", kDataLoss "snapshot_damaged".
  virtual env::Task<Result<std::string>> load_snapshot() = 0;
  // The newest one, in pieces. Errors: as load_snapshot().
  virtual env::Task<Result<std::unique_ptr<SnapshotReader>>> open_snapshot() = 0;
  // Begins to take one of `bytes` bytes. Errors: kFailedPrecondition "snapshot_stale",
  // "log_closed"; kUnavailable "snapshot_in_progress" (limits::kSnapshotsIncoming);
  // kResourceExhausted "snapshot_too_large", "disk_full"; kDataLoss "log_failed".
  virtual env::Task<Result<std::unique_ptr<SnapshotWriter>>> begin_snapshot(
      SnapshotMeta meta, std::uint64_t bytes) = 0;

  [[nodiscard]] virtual LogIndex first() const = 0;  // readable; last() + 1 when there is none
  [[nodiscard]] virtual LogIndex last() const = 0;   // durable
  [[nodiscard]] virtual std::optional<SnapshotMeta> snapshot() const = 0;
  [[nodiscard]] virtual bool failed() const = 0;

  // Waits for what is queued, then refuses. Callers end their other calls themselves.
  virtual env::Task<void> close() = 0;
};

}  // namespace blixard::log

#pragma once

// The durable log: entries of the replicated log, and the node's term and vote, on disk.
//
// A directory of segments (wal-<first index>.seg). A segment is a header and records; each record
// carries its length, a checksum, and the checksum of the record before it, so that records which
// are missing or come from elsewhere are seen. Appends that arrive together share one sync: one
// sync is in flight at a time and everything pending joins the next. Segments are preallocated.
//
// After a crash the last record may be torn: it was never acknowledged and is cut off. A damaged
// record with sound ones behind it is something else, corruption: open() refuses with
// kDataLoss, because cutting acknowledged records off a voter breaks Raft. A failed sync is fatal
// for the same reason: nothing may be acknowledged any more, append() answers kDataLoss
// "log_failed" for ever and failed() tells the node to stop.
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
  std::uint64_t segment_bytes = std::uint64_t{64} << 20;
  std::size_t entry_bytes_max = std::size_t{1} << 20;
};

// What was found on disk.
struct Recovered {
  HardState hard_state;
  std::optional<SnapshotMeta> snapshot;
  LogIndex first;  // 0 when the log is empty
  LogIndex last;
  std::uint64_t torn_bytes_cut = 0;
};

class Log {
 public:
  virtual ~Log() = default;

  // Opens or makes the log in `directory`. Errors: kDataLoss "log_corrupt" with file, offset and
  // what to do; kFailedPrecondition "log_too_new"; disk errors.
  static env::Task<Result<std::unique_ptr<Log>>> open(env::Env env, std::string directory,
                                                      Options options);

  [[nodiscard]] virtual const Recovered& recovered() const = 0;

  // Returns when the entries and the hard state (if given) are durable. Entries must continue the
  // log or overwrite its tail: an entry at index i drops what was at i and behind it. Concurrent
  // calls take effect in call order. Errors: kResourceExhausted "entry_too_large", "disk_full"
  // (nothing written, the log stays usable), kDataLoss "log_failed".
  virtual env::Task<Result<void>> append(std::vector<Entry> entries,
                                         std::optional<HardState> hard_state) = 0;

  // Entries [from, to], bounded by bytes_max but at least one. Errors: kOutOfRange "compacted".
  virtual env::Task<Result<std::vector<Entry>>> read(LogIndex from, LogIndex to,
                                                     std::size_t bytes_max) = 0;

  // Writes a snapshot durably, then drops segments that only hold entries at or below
  // meta.index. Appends go on meanwhile.
  virtual env::Task<Result<void>> save_snapshot(SnapshotMeta meta, std::string content) = 0;
  virtual env::Task<Result<std::string>> load_snapshot() = 0;  // errors: kNotFound, kDataLoss

  [[nodiscard]] virtual LogIndex last() const = 0;
  [[nodiscard]] virtual bool failed() const = 0;

  // Waits for what is in flight.
  virtual env::Task<void> close() = 0;
};

}  // namespace blixard::log

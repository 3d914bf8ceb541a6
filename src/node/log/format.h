#pragma once

// The bytes of the log's files: pure encoding, and decoding that trusts nothing it reads.
// docs/formats/log.md is the same for people.
//
// A segment is a header and batches. A batch is everything that one write and one sync made
// durable, and the unit of every check: its records have no checksum of their own. The reason is
// what a power loss may do to an unsynced write: any of its sectors may be missing, the first as
// well as the last. With a checksum for each record, a sound record behind a torn one could be
// the innocent rest of the same write. With one for the batch, and batch n+1 written only after
// the sync of batch n returned, a sound batch behind a damaged one proves that the damaged one had
// been durable: corruption, not a torn tail.
//
// Each batch names the log it belongs to, its number and the checksum of the batch before it, so
// one that is missing, repeated or from another log is seen. Numbers are little-endian.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "node/log/log.h"

namespace blixard::log {

inline constexpr std::uint32_t kFormatVersion = 1;
inline constexpr std::size_t kSegmentHeaderBytes = 128;
inline constexpr std::size_t kBatchHeaderBytes = 48;
inline constexpr std::size_t kRecordHeaderBytes = 24;
inline constexpr std::size_t kSnapshotHeaderBytes = 64;
inline constexpr std::size_t kVoteBytes = 64;
inline constexpr std::size_t kAlignment = 8;  // of batches and records

// Begins every segment. Carries what earlier segments said and may be dropped with them.
struct SegmentHeader {
  Uuid log_id;                      // random, made with the log's first segment
  std::uint64_t sequence = 0;       // of the segment, from 1
  LogIndex last;                    // of the log when the segment was made
  std::uint64_t first_batch = 0;    // number of the batch that comes first in it
  std::uint64_t chain = 0;          // checksum of the batch before that
  std::uint64_t segment_bytes = 0;  // size of the file
  HardState hard_state;
};

std::string encode_segment_header(const SegmentHeader& header);
// Errors: kDataLoss "header_damaged", kFailedPrecondition "log_too_new".
Result<SegmentHeader> decode_segment_header(std::string_view bytes);

// A batch that passed its check. Views into the bytes it was read from.
struct Batch {
  std::uint64_t number = 0;
  std::uint64_t previous = 0;  // checksum of the batch before it
  std::uint64_t checksum = 0;
  std::uint32_t records = 0;
  std::string_view body;
  [[nodiscard]] std::size_t bytes() const { return kBatchHeaderBytes + body.size(); }
};

// How many bytes the batch has that seems to begin here: what follows kBatchHeaderBytes is not
// looked at. None: no batch of log `log_id` does.
std::optional<std::uint64_t> batch_bytes(std::string_view header, const Uuid& log_id);
// The batch at the beginning of `bytes`, if a whole and undamaged one of log `log_id` is there.
std::optional<Batch> decode_batch(std::string_view bytes, const Uuid& log_id);
// Offset, from `from` on, of the first place where one seems to begin (batch_bytes()).
std::optional<std::size_t> find_batch(std::string_view bytes, std::size_t from, const Uuid& log_id);

enum class RecordKind : std::uint8_t {
  kEntry = 1,
  kHardState = 2,
  kReset = 3,  // a snapshot took the place of everything before
};

struct Record {
  RecordKind kind = RecordKind::kEntry;
  std::uint8_t entry_kind = 0;
  Term term;
  LogIndex index;            // of an entry, or the snapshot's of a reset
  std::string_view payload;  // of an entry
  std::size_t offset = 0;    // of the payload from the batch's beginning
  HardState hard_state;
};

// Calls `each` for the batch's records in order; the first error ends it and is passed on.
// Errors: kDataLoss "record_invalid".
Result<void> each_record(const Batch& batch, const std::function<Result<void>(Record)>& each);

// Builds one batch in a buffer that is used again.
class BatchEncoder {
 public:
  void begin(const Uuid& log_id, std::uint64_t number, std::uint64_t previous);
  std::size_t add(const Entry& entry);  // offset of its payload from the batch's beginning
  void add(const HardState& hard_state);
  void add_reset(const SnapshotMeta& snapshot);
  std::uint64_t finish();  // the batch's checksum

  [[nodiscard]] bool empty() const { return records_ == 0; }
  [[nodiscard]] std::string_view bytes() const { return bytes_; }

  // Of an entry's record with a payload of so many bytes.
  static std::size_t record_bytes(std::size_t payload_bytes);

 private:
  void put_record(RecordKind kind, std::uint8_t entry_kind, std::uint64_t first,
                  std::uint64_t second, std::string_view payload);

  Uuid log_id_;
  std::uint32_t records_ = 0;
  std::string bytes_;
};

// A snapshot file is this header and its content.
struct SnapshotHeader {
  SnapshotMeta meta;
  std::uint64_t content_bytes = 0;
  std::uint64_t content_checksum = 0;  // XXH3-64 (core/wire/checksum.h, RunningChecksum)
};

std::string encode_snapshot_header(const SnapshotHeader& header);
// Errors: kDataLoss "header_damaged", kFailedPrecondition "log_too_new".
Result<SnapshotHeader> decode_snapshot_header(std::string_view bytes);

// The file beside the log that repeats term and vote (vote_guard.h).
struct Vote {
  Uuid log_id;
  Term term;
  NodeId vote;
  std::uint64_t batch = 0;  // number of the batch that said so
};

std::string encode_vote(const Vote& vote);
// Errors: kDataLoss "header_damaged", kFailedPrecondition "log_too_new".
Result<Vote> decode_vote(std::string_view bytes);

// Ends every header, and covers all of it before.
std::uint64_t header_checksum(std::string_view bytes);
// Of an entry's payload, in memory only.
std::uint64_t payload_checksum(std::string_view payload);

}  // namespace blixard::log

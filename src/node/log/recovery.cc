#include "node/log/recovery.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/limits.h"
#include "node/log/advice.h"
#include "node/log/format.h"
#include "node/log/segment_reader.h"
#include "node/log/snapshot_files.h"
#include "node/log/vote_guard.h"

namespace blixard::log {
namespace {

constexpr std::uint64_t kSectorBytes = 512;  // the least that a disk writes whole or not at all
constexpr std::uint64_t kZerosAtOnce = std::uint64_t{1} << 20;

std::unexpected<Error> corrupt(const std::string& path, std::uint64_t offset, const char* what) {
  return fail(
      Code::kDataLoss, "log_corrupt",
      fmt::format("{}, offset {}: {}; acknowledged entries may be lost. In a cluster, remove "
                  "the node on another one with {}",
                  path, offset, what, kEnterAgain));
}

class Recovery {
 public:
  Recovery(env::Env env, std::string directory, const Options& options)
      : env_(env), directory_(std::move(directory)), options_(options) {}

  env::Task<Result<Contents>> run();

 private:
  env::Task<Result<std::vector<std::uint64_t>>> list_segments();
  env::Task<Result<void>> make_first_segment();
  env::Task<Result<void>> open_segment(std::uint64_t sequence);
  env::Task<Result<void>> read_segment(std::size_t number);
  env::Task<Result<void>> look_at_tail(const Segment& segment, SegmentReader& reader,
                                       std::uint64_t last_batch, std::uint64_t position);
  env::Task<Result<bool>> is_torn(SegmentReader& reader, std::uint64_t position, std::uint64_t end);
  env::Task<Result<void>> secure_tail();
  Result<void> take_records(const Segment& segment, const Batch& batch, std::uint64_t position);
  env::Task<Result<void>> compare_vote();
  Result<void> choose_snapshot(const SnapshotFiles::Found& found);
  void settle_base();

  env::Env env_;
  std::string directory_;
  Options options_;
  std::vector<SegmentHeader> headers_;
  std::string last_batch_;      // as it was read
  std::uint64_t torn_end_ = 0;  // in the last segment, of what is not zeros
  Contents contents_;
};

env::Task<Result<Contents>> Recovery::run() {
  BLX_CO_TRY(const auto sequences, co_await list_segments());
  SnapshotFiles snapshots(env_.disk, directory_);
  BLX_CO_TRY(const auto found, co_await snapshots.scan());
  if (sequences.empty()) {
    if (found.damage || !found.sound.empty()) {
      co_return corrupt(directory_, 0, "there is a snapshot but no segment, so votes are missing");
    }
    VoteFile vote(env_.disk, directory_);
    BLX_CO_TRY(const auto known, co_await vote.read());
    if (known) co_return corrupt(vote.path(), 0, "there is a vote but no segment");
    BLX_CO_TRY(co_await make_first_segment());
    co_return std::move(contents_);
  }

  for (const std::uint64_t sequence : sequences)
    BLX_CO_TRY(co_await open_segment(sequence));
  const SegmentHeader& oldest = headers_.front();
  contents_.log_id = oldest.log_id;
  contents_.next_batch = oldest.first_batch;
  contents_.chain = oldest.chain;
  contents_.hard_state = oldest.hard_state;
  contents_.hard_state_before_last_batch = oldest.hard_state;
  if (oldest.last) contents_.entries.reset(oldest.last, std::nullopt);
  for (std::size_t i = 0; i < headers_.size(); ++i)
    BLX_CO_TRY(co_await read_segment(i));
  BLX_CO_TRY(co_await compare_vote());
  BLX_CO_TRY(choose_snapshot(found));
  settle_base();
  // Only now: a log that is refused stays as it was found.
  BLX_CO_TRY(co_await secure_tail());
  co_return std::move(contents_);
}

env::Task<Result<std::vector<std::uint64_t>>> Recovery::list_segments() {
  BLX_CO_TRY(const auto files, co_await env_.disk.list(directory_));
  std::vector<std::uint64_t> sequences;
  for (const auto& file : files) {
    if (file.name.ends_with(kUnfinished)) {
      BLX_CO_TRY(co_await env_.disk.remove(env::join_path(directory_, file.name)));
    } else if (const auto sequence = parse_segment_name(file.name)) {
      sequences.push_back(*sequence);
    }
  }
  std::ranges::sort(sequences);
  for (std::size_t i = 1; i < sequences.size(); ++i) {
    if (sequences[i] != sequences[i - 1] + 1) {
      co_return corrupt(env::join_path(directory_, segment_name(sequences[i - 1] + 1)), 0,
                        "the segment is missing");
    }
  }
  co_return sequences;
}

env::Task<Result<void>> Recovery::make_first_segment() {
  // The directory itself may be new, and so may those above it.
  for (std::string path = directory_; path != "/" && path != ".";) {
    path = std::string(env::parent_path(path));
    const auto synced = co_await env_.disk.sync_directory(path);
    // One that may not even be read was not made by us.
    if (!synced && synced.error().code() == Code::kPermissionDenied) break;
    BLX_CO_TRY(synced);
  }
  contents_.log_id = env_.random.uuid();
  const SegmentHeader header{.log_id = contents_.log_id,
                             .sequence = 1,
                             .first_batch = contents_.next_batch,
                             .segment_bytes = small_segment_bytes(options_.segment_bytes, 0)};
  BLX_CO_TRY(auto segment, co_await make_segment(env_.disk, directory_, header));
  contents_.segments.push_back(std::move(segment));
  contents_.position = kSegmentHeaderBytes;
  co_return Result<void>();
}

env::Task<Result<void>> Recovery::open_segment(std::uint64_t sequence) {
  Segment segment{.sequence = sequence, .path = env::join_path(directory_, segment_name(sequence))};
  BLX_CO_TRY(segment.file, co_await env_.disk.open(segment.path, env::OpenMode::kReadWrite));
  BLX_CO_TRY(segment.bytes, co_await segment.file->size());
  std::string bytes(kSegmentHeaderBytes, '\0');
  BLX_CO_TRY(const std::size_t count, co_await segment.file->read_at(0, bytes));
  bytes.resize(count);
  const auto header = decode_segment_header(bytes);
  if (!header) {
    if (header.error().code() == Code::kDataLoss) {
      co_return corrupt(segment.path, 0, "the segment's header is damaged");
    }
    co_return fail(header.error().code(), "log_too_new",
                   segment.path + ": " + std::string(header.error().detail()));
  }
  if (header->sequence != sequence ||
      (!headers_.empty() && header->log_id != headers_.front().log_id)) {
    co_return corrupt(segment.path, 0, "the segment belongs to another log or another place");
  }
  if (segment.bytes != header->segment_bytes || segment.bytes > limits::kLogSegmentBytes) {
    co_return corrupt(segment.path, segment.bytes,
                      "the file has another size than its header says");
  }
  headers_.push_back(*header);
  contents_.segments.push_back(std::move(segment));
  co_return Result<void>();
}

env::Task<Result<void>> Recovery::read_segment(std::size_t number) {
  const Segment& segment = contents_.segments[number];
  const SegmentHeader* next = number + 1 < headers_.size() ? &headers_[number + 1] : nullptr;
  SegmentReader reader(segment.file, segment.bytes, contents_.log_id);
  std::uint64_t position = kSegmentHeaderBytes;
  std::uint64_t last_batch = position;
  while (position < segment.bytes &&
         (next == nullptr || contents_.next_batch < next->first_batch)) {
    BLX_CO_TRY(const auto batch, co_await reader.batch_at(position));
    if (!batch) break;
    if (batch->number != contents_.next_batch || batch->previous != contents_.chain) {
      co_return corrupt(segment.path, position, "the batch does not follow the one before it");
    }
    contents_.hard_state_before_last_batch = contents_.hard_state;
    BLX_CO_TRY(take_records(segment, *batch, position));
    contents_.next_batch = batch->number + 1;
    contents_.chain = batch->checksum;
    last_batch = position;
    position += batch->bytes();
  }
  if (next == nullptr) co_return co_await look_at_tail(segment, reader, last_batch, position);
  if (contents_.next_batch != next->first_batch || contents_.chain != next->chain) {
    co_return corrupt(segment.path, position, "a batch before the next segment is damaged");
  }
  co_return Result<void>();
}

Result<void> Recovery::take_records(const Segment& segment, const Batch& batch,
                                    std::uint64_t position) {
  const auto taken = each_record(batch, [&](const Record& record) -> Result<void> {
    switch (record.kind) {
      case RecordKind::kHardState:
        contents_.hard_state = record.hard_state;
        break;
      case RecordKind::kReset:
        contents_.entries.reset(record.index, record.term);
        break;
      case RecordKind::kEntry: {
        const Place place{.segment = segment.sequence,
                          .checksum = payload_checksum(record.payload),
                          .offset = static_cast<std::uint32_t>(position + record.offset),
                          .bytes = static_cast<std::uint32_t>(record.payload.size()),
                          .kind = record.entry_kind};
        if (!contents_.entries.put(record.index, record.term, place)) {
          return corrupt(segment.path, position, "entries before this batch's are missing");
        }
      }
    }
    return {};
  });
  if (!taken && taken.error().reason() == "record_invalid") {
    return corrupt(segment.path, position, "a record makes no sense");
  }
  return taken;
}

env::Task<Result<void>> Recovery::look_at_tail(const Segment& segment, SegmentReader& reader,
                                               std::uint64_t last_batch, std::uint64_t position) {
  BLX_CO_TRY(const auto rest, co_await reader.look_behind(position, contents_.next_batch));
  if (rest.has_batch) {
    co_return corrupt(segment.path, position, "a damaged batch with sound ones behind it");
  }
  if (rest.end > position) {
    BLX_CO_TRY(const bool torn, co_await is_torn(reader, position, rest.end));
    if (!torn) co_return corrupt(segment.path, position, "the last batch is damaged, not torn");
  }
  BLX_CO_TRY(last_batch_, co_await reader.view(last_batch, position - last_batch));
  torn_end_ = rest.end;
  contents_.position = position;
  co_return Result<void>();
}

// Whether an interrupted write can have left this, of which `end` is the last byte that is not
// zero: it wrote some sectors whole and others not at all, which are zeros still.
env::Task<Result<bool>> Recovery::is_torn(SegmentReader& reader, std::uint64_t position,
                                          std::uint64_t end) {
  BLX_CO_TRY(const std::string_view header, co_await reader.view(position, kBatchHeaderBytes));
  const auto size = batch_bytes(header, contents_.log_id);
  const std::uint64_t until = position + size.value_or(kBatchHeaderBytes);
  // Nothing lies behind a batch that is being written, and it has room in its segment.
  if ((size && end > until) || until > reader.bytes()) co_return false;
  for (std::uint64_t at = position; at < until;) {
    const std::uint64_t next = std::min(until, (at / kSectorBytes + 1) * kSectorBytes);
    BLX_CO_TRY(const std::string_view sector, co_await reader.view(at, next - at));
    if (sector.find_first_not_of('\0') == std::string_view::npos) co_return true;
    at = next;
  }
  co_return false;
}

env::Task<Result<void>> Recovery::secure_tail() {
  const Segment& segment = contents_.segments.back();
  const std::uint64_t position = contents_.position;
  if (!last_batch_.empty()) {
    const std::array<std::string_view, 1> parts{last_batch_};
    BLX_CO_TRY(co_await segment.file->write_at(position - last_batch_.size(), parts));
  }
  const std::string zeros(std::min<std::uint64_t>(torn_end_ - position, kZerosAtOnce), '\0');
  for (std::uint64_t at = position; at < torn_end_; at += zeros.size()) {
    const std::array<std::string_view, 1> parts{std::string_view(zeros).substr(0, torn_end_ - at)};
    BLX_CO_TRY(co_await segment.file->write_at(at, parts));
  }
  if (!last_batch_.empty() || !zeros.empty()) BLX_CO_TRY(co_await segment.file->sync());
  BLX_CO_TRY(co_await env_.disk.sync_directory(directory_));
  contents_.torn_bytes_cut = torn_end_ - position;
  if (!zeros.empty()) {
    BLX_LOG(env_.log, kWarn, "log: cut {} bytes of a torn write off {} at offset {}",
            torn_end_ - position, segment.path, position);
  }
  co_return Result<void>();
}

env::Task<Result<void>> Recovery::compare_vote() {
  VoteFile file(env_.disk, directory_);
  BLX_CO_TRY(const auto known, co_await file.read());
  BLX_CO_TRY(contents_.vote_pending,
             check_vote(file.path(), known,
                        {.log_id = contents_.log_id,
                         .next_batch = contents_.next_batch,
                         .now = contents_.hard_state,
                         .before_last_batch = contents_.hard_state_before_last_batch}));
  co_return Result<void>();
}

Result<void> Recovery::choose_snapshot(const SnapshotFiles::Found& found) {
  const LogIndex base = contents_.entries.base();
  for (const SnapshotMeta& meta : found.sound) {
    if (meta.index < base) break;
    contents_.snapshot = meta;
    break;
  }
  if (base && !contents_.snapshot) {
    if (found.damage) return std::unexpected(*found.damage);
    return corrupt(contents_.segments.front().path, 0,
                   "entries before this segment are missing and no snapshot holds them");
  }
  if (found.damage) {
    BLX_LOG(env_.log, kWarn, "log: {}; everything is still in the log, going on without it",
            found.damage->message());
  }
  if (!contents_.snapshot) return {};
  const SnapshotMeta snapshot = *contents_.snapshot;
  const auto covered = contents_.entries.term(snapshot.index);
  if (contents_.entries.last() < snapshot.index || (covered && *covered != snapshot.term)) {
    contents_.entries.reset(snapshot.index, snapshot.term);
    contents_.reset_pending = true;
  }
  return {};
}

// The term of the entry before the first one must be known. Where it went with its segment, and
// the snapshot does not have it, the first entry takes that place; the snapshot covers it.
void Recovery::settle_base() {
  EntryIndex& entries = contents_.entries;
  if (entries.term(entries.base())) return;
  if (contents_.snapshot && contents_.snapshot->index == entries.base()) {
    entries.set_base_term(contents_.snapshot->term);
  } else {
    entries.drop_first();
  }
}

}  // namespace

env::Task<Result<Contents>> recover(env::Env env, std::string directory, const Options& options) {
  Recovery recovery(env, std::move(directory), options);
  co_return co_await recovery.run();
}

}  // namespace blixard::log

#include "node/log/format.h"

#include <algorithm>
#include <array>

#include "base/assert.h"
#include "core/wire/checksum.h"

namespace blixard::log {
namespace {

constexpr std::string_view kSegmentMagic = "BLXWALS\n";
constexpr std::string_view kBatchMagic = "BLXBATCH";
constexpr std::string_view kSnapshotMagic = "BLXSNAP\n";
constexpr std::string_view kVoteMagic = "BLXVOTE\n";
constexpr std::uint64_t kHeaderSeed = 0x6865616465720001;  // keeps headers and payloads apart
constexpr std::uint64_t kPayloadSeed = 0x7061796c6f616401;

constexpr std::size_t padded(std::size_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

template <class T>
void put(std::string& out, T value) {
  std::array<char, sizeof value> raw{};
  for (std::size_t i = 0; i < raw.size(); ++i)
    raw[i] = static_cast<char>(static_cast<unsigned char>(value >> (8 * i)));
  out.append(raw.data(), raw.size());
}

template <class T>
T get(std::string_view bytes, std::size_t offset) {
  T value = 0;
  for (std::size_t i = 0; i < sizeof value; ++i)
    value |=
        static_cast<T>(static_cast<T>(static_cast<unsigned char>(bytes[offset + i])) << (8 * i));
  return value;
}

std::uint64_t get64(std::string_view bytes, std::size_t offset) {
  return get<std::uint64_t>(bytes, offset);
}

std::string_view text_of(const Uuid& id) {
  return {reinterpret_cast<const char*>(id.bytes.data()), id.bytes.size()};
}

// Headers of files have one form in all versions: magic, version, anything, checksum of all that.
std::string begin_header(std::string_view magic) {
  std::string out(magic);
  put<std::uint32_t>(out, kFormatVersion);
  put<std::uint32_t>(out, 0);
  return out;
}

std::string end_header(std::string out, std::size_t bytes) {
  BLX_ASSERT(out.size() + 8 <= bytes);
  out.resize(bytes - 8, '\0');
  put<std::uint64_t>(out, header_checksum(out));
  return out;
}

Result<void> check_header(std::string_view bytes, std::string_view magic, std::size_t size) {
  if (bytes.size() < size || !bytes.starts_with(magic) ||
      get64(bytes, size - 8) != header_checksum(bytes.substr(0, size - 8))) {
    return fail(Code::kDataLoss, "header_damaged");
  }
  const auto version = get<std::uint32_t>(bytes, 8);
  if (version > kFormatVersion) {
    return fail(Code::kFailedPrecondition, "log_too_new",
                "format " + std::to_string(version) + ", this program reads up to " +
                    std::to_string(kFormatVersion) + ": start the newer program again");
  }
  return {};
}

// Everything of the batch but the checksum itself, which ends its header.
std::uint64_t batch_checksum(std::string_view header, std::string_view body) {
  return wire::checksum(body, header_checksum(header.substr(0, kBatchHeaderBytes - 8)));
}

Uuid get_uuid(std::string_view bytes, std::size_t offset) {
  Uuid id;
  for (std::size_t i = 0; i < id.bytes.size(); ++i)
    id.bytes[i] = static_cast<std::uint8_t>(bytes[offset + i]);
  return id;
}

// Tells a batch of this log from one of another.
std::uint64_t log_tag(const Uuid& id) { return header_checksum(text_of(id)); }

}  // namespace

std::string encode_segment_header(const SegmentHeader& header) {
  std::string out = begin_header(kSegmentMagic);
  out += text_of(header.log_id);
  put<std::uint64_t>(out, header.sequence);
  put<std::uint64_t>(out, header.last.value);
  put<std::uint64_t>(out, header.first_batch);
  put<std::uint64_t>(out, header.chain);
  put<std::uint64_t>(out, header.segment_bytes);
  put<std::uint64_t>(out, header.hard_state.term.value);
  put<std::uint64_t>(out, header.hard_state.vote.value);
  put<std::uint64_t>(out, header.hard_state.commit.value);
  return end_header(std::move(out), kSegmentHeaderBytes);
}

Result<SegmentHeader> decode_segment_header(std::string_view bytes) {
  BLX_TRY(check_header(bytes, kSegmentMagic, kSegmentHeaderBytes));
  SegmentHeader header;
  header.log_id = get_uuid(bytes, 16);
  header.sequence = get64(bytes, 32);
  header.last = LogIndex(get64(bytes, 40));
  header.first_batch = get64(bytes, 48);
  header.chain = get64(bytes, 56);
  header.segment_bytes = get64(bytes, 64);
  header.hard_state = {.term = Term(get64(bytes, 72)),
                       .vote = NodeId(get64(bytes, 80)),
                       .commit = LogIndex(get64(bytes, 88))};
  return header;
}

std::optional<std::uint64_t> batch_bytes(std::string_view header, const Uuid& log_id) {
  if (header.size() < kBatchHeaderBytes || !header.starts_with(kBatchMagic)) return std::nullopt;
  const std::uint64_t body_bytes = get<std::uint32_t>(header, 8);
  if (get64(header, 24) != log_tag(log_id) || body_bytes % kAlignment != 0) return std::nullopt;
  return kBatchHeaderBytes + body_bytes;
}

std::optional<Batch> decode_batch(std::string_view bytes, const Uuid& log_id) {
  const auto size = batch_bytes(bytes, log_id);
  if (!size || *size > bytes.size()) return std::nullopt;
  Batch batch{.number = get64(bytes, 16),
              .previous = get64(bytes, 32),
              .checksum = get64(bytes, 40),
              .records = get<std::uint32_t>(bytes, 12),
              .body = bytes.substr(kBatchHeaderBytes, *size - kBatchHeaderBytes)};
  if (batch.checksum != batch_checksum(bytes.substr(0, kBatchHeaderBytes), batch.body)) {
    return std::nullopt;
  }
  return batch;
}

std::optional<std::size_t> find_batch(std::string_view bytes, std::size_t from,
                                      const Uuid& log_id) {
  for (std::size_t at = bytes.find(kBatchMagic, from); at != std::string_view::npos;
       at = bytes.find(kBatchMagic, at + 1)) {
    if (batch_bytes(bytes.substr(at), log_id)) return at;
  }
  return std::nullopt;
}

Result<void> each_record(const Batch& batch, const std::function<Result<void>(Record)>& each) {
  std::string_view rest = batch.body;
  for (std::uint32_t i = 0; i < batch.records; ++i) {
    if (rest.size() < kRecordHeaderBytes) return fail(Code::kDataLoss, "record_invalid");
    Record record;
    const auto kind = static_cast<std::uint8_t>(rest[0]);
    record.entry_kind = static_cast<std::uint8_t>(rest[1]);
    const std::size_t payload_bytes = get<std::uint32_t>(rest, 4);
    const std::uint64_t first = get64(rest, 8);
    const std::uint64_t second = get64(rest, 16);
    record.offset = kBatchHeaderBytes + (batch.body.size() - rest.size()) + kRecordHeaderBytes;
    rest.remove_prefix(kRecordHeaderBytes);
    if (payload_bytes > rest.size() || padded(payload_bytes) > rest.size()) {
      return fail(Code::kDataLoss, "record_invalid");
    }
    record.payload = rest.substr(0, payload_bytes);
    rest.remove_prefix(padded(payload_bytes));
    record.kind = static_cast<RecordKind>(kind);
    switch (record.kind) {
      case RecordKind::kEntry:
      case RecordKind::kReset:
        record.term = Term(first);
        record.index = LogIndex(second);
        if (!record.index) return fail(Code::kDataLoss, "record_invalid");
        break;
      case RecordKind::kHardState:
        if (payload_bytes != 8) return fail(Code::kDataLoss, "record_invalid");
        record.hard_state = {.term = Term(first),
                             .vote = NodeId(second),
                             .commit = LogIndex(get64(record.payload, 0))};
        break;
      default:
        return fail(Code::kDataLoss, "record_invalid");
    }
    BLX_TRY(each(record));
  }
  if (!rest.empty()) return fail(Code::kDataLoss, "record_invalid");
  return {};
}

void BatchEncoder::begin(const Uuid& log_id, std::uint64_t number, std::uint64_t previous) {
  records_ = 0;
  bytes_.assign(kBatchMagic);
  put<std::uint32_t>(bytes_, 0);  // body bytes, filled in by finish()
  put<std::uint32_t>(bytes_, 0);  // records
  put<std::uint64_t>(bytes_, number);
  put<std::uint64_t>(bytes_, log_tag(log_id));
  put<std::uint64_t>(bytes_, previous);
  put<std::uint64_t>(bytes_, 0);  // checksum
}

void BatchEncoder::put_record(RecordKind kind, std::uint8_t entry_kind, std::uint64_t first,
                              std::uint64_t second, std::string_view payload) {
  ++records_;
  bytes_ += static_cast<char>(kind);
  bytes_ += static_cast<char>(entry_kind);
  bytes_.append(2, '\0');
  put<std::uint32_t>(bytes_, static_cast<std::uint32_t>(payload.size()));
  put<std::uint64_t>(bytes_, first);
  put<std::uint64_t>(bytes_, second);
  bytes_ += payload;
  bytes_.resize(padded(bytes_.size()), '\0');
}

std::size_t BatchEncoder::add(const Entry& entry) {
  const std::size_t offset = bytes_.size() + kRecordHeaderBytes;
  put_record(RecordKind::kEntry, static_cast<std::uint8_t>(entry.kind), entry.term.value,
             entry.index.value, entry.payload.view());
  return offset;
}

void BatchEncoder::add(const HardState& hard_state) {
  std::string commit;
  put<std::uint64_t>(commit, hard_state.commit.value);
  put_record(RecordKind::kHardState, 0, hard_state.term.value, hard_state.vote.value, commit);
}

void BatchEncoder::add_reset(const SnapshotMeta& snapshot) {
  put_record(RecordKind::kReset, 0, snapshot.term.value, snapshot.index.value, {});
}

std::uint64_t BatchEncoder::finish() {
  std::string sizes;
  put<std::uint32_t>(sizes, static_cast<std::uint32_t>(bytes_.size() - kBatchHeaderBytes));
  put<std::uint32_t>(sizes, records_);
  std::ranges::copy(sizes, bytes_.begin() + 8);
  const std::string_view all = bytes_;
  const std::uint64_t sum =
      batch_checksum(all.substr(0, kBatchHeaderBytes), all.substr(kBatchHeaderBytes));
  std::string check;
  put<std::uint64_t>(check, sum);
  std::ranges::copy(check, bytes_.begin() + kBatchHeaderBytes - 8);
  return sum;
}

std::size_t BatchEncoder::record_bytes(std::size_t payload_bytes) {
  return kRecordHeaderBytes + padded(payload_bytes);
}

std::string encode_snapshot_header(const SnapshotHeader& header) {
  std::string out = begin_header(kSnapshotMagic);
  put<std::uint64_t>(out, header.meta.index.value);
  put<std::uint64_t>(out, header.meta.term.value);
  put<std::uint64_t>(out, header.content_bytes);
  put<std::uint64_t>(out, header.content_checksum);
  return end_header(std::move(out), kSnapshotHeaderBytes);
}

Result<SnapshotHeader> decode_snapshot_header(std::string_view bytes) {
  BLX_TRY(check_header(bytes, kSnapshotMagic, kSnapshotHeaderBytes));
  return SnapshotHeader{
      .meta = {.index = LogIndex(get64(bytes, 16)), .term = Term(get64(bytes, 24))},
      .content_bytes = get64(bytes, 32),
      .content_checksum = get64(bytes, 40)};
}

std::string encode_vote(const Vote& vote) {
  std::string out = begin_header(kVoteMagic);
  out += text_of(vote.log_id);
  put<std::uint64_t>(out, vote.term.value);
  put<std::uint64_t>(out, vote.vote.value);
  put<std::uint64_t>(out, vote.batch);
  return end_header(std::move(out), kVoteBytes);
}

Result<Vote> decode_vote(std::string_view bytes) {
  BLX_TRY(check_header(bytes, kVoteMagic, kVoteBytes));
  return Vote{.log_id = get_uuid(bytes, 16),
              .term = Term(get64(bytes, 32)),
              .vote = NodeId(get64(bytes, 40)),
              .batch = get64(bytes, 48)};
}

std::uint64_t header_checksum(std::string_view bytes) { return wire::checksum(bytes, kHeaderSeed); }

std::uint64_t payload_checksum(std::string_view payload) {
  return wire::checksum(payload, kPayloadSeed);
}

}  // namespace blixard::log

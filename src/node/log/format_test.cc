#include "node/log/format.h"

#include "node/log/entry_index.h"
#include "node/log/segment.h"

namespace blixard::log {
namespace {

const Uuid kLog = Uuid::from_random(1, 2);
const Uuid kOther = Uuid::from_random(3, 4);

std::string batch(std::uint64_t number, std::uint64_t previous = 0, const Uuid& log = kLog) {
  BatchEncoder encoder;
  encoder.begin(log, number, previous);
  encoder.add({.term = Term(5), .index = LogIndex(6), .kind = 7, .payload = "payload"});
  encoder.add(HardState{.term = Term(8), .vote = NodeId(9), .commit = LogIndex(10)});
  encoder.add_reset({.index = LogIndex(11), .term = Term(12)});
  encoder.finish();
  return std::string(encoder.bytes());
}

TEST(Format, SegmentHeaderIsReadAsWritten) {
  const SegmentHeader header{
      .log_id = kLog,
      .sequence = 1,
      .last = LogIndex(2),
      .first_batch = 3,
      .chain = 4,
      .segment_bytes = 5,
      .hard_state = {.term = Term(6), .vote = NodeId(7), .commit = LogIndex(8)}};
  const std::string bytes = encode_segment_header(header);
  ASSERT_EQ(bytes.size(), kSegmentHeaderBytes);
  const auto read = decode_segment_header(bytes);
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_EQ(read->log_id, header.log_id);
  EXPECT_EQ(read->sequence, 1u);
  EXPECT_EQ(read->last, LogIndex(2));
  EXPECT_EQ(read->first_batch, 3u);
  EXPECT_EQ(read->chain, 4u);
  EXPECT_EQ(read->segment_bytes, 5u);
  EXPECT_EQ(read->hard_state, header.hard_state);
  EXPECT_EQ(encode_segment_header(*read), bytes);
}

TEST(Format, HeadersWithAnyBitFlippedAreRefused) {
  const std::string segment = encode_segment_header({.log_id = kLog, .sequence = 1});
  const std::string snapshot = encode_snapshot_header({.meta = {LogIndex(1), Term(2)}});
  for (std::size_t bit = 0; bit < 8 * kSegmentHeaderBytes; ++bit) {
    std::string bytes = segment;
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << bit % 8));
    EXPECT_EQ(decode_segment_header(bytes).error().reason(), "header_damaged") << bit;
    if (bit >= 8 * kSnapshotHeaderBytes) continue;
    bytes = snapshot;
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << bit % 8));
    EXPECT_EQ(decode_snapshot_header(bytes).error().reason(), "header_damaged") << bit;
  }
  EXPECT_FALSE(decode_segment_header(""));
  EXPECT_FALSE(decode_segment_header(segment.substr(1)));
  EXPECT_FALSE(decode_snapshot_header(segment));
}

TEST(Format, BatchIsReadAsWritten) {
  const std::string bytes = batch(42, 43) + "what follows";
  const auto read = decode_batch(bytes, kLog);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->number, 42u);
  EXPECT_EQ(read->previous, 43u);
  EXPECT_EQ(read->bytes(), bytes.size() - 12);
  EXPECT_EQ(read->bytes() % kAlignment, 0u);
  std::vector<Record> records;
  ASSERT_TRUE(each_record(*read, [&](const Record& record) -> Result<void> {
    records.push_back(record);
    return {};
  }));
  ASSERT_EQ(records.size(), 3u);
  EXPECT_EQ(records[0].kind, RecordKind::kEntry);
  EXPECT_EQ(records[0].entry_kind, 7);
  EXPECT_EQ(records[0].term, Term(5));
  EXPECT_EQ(records[0].index, LogIndex(6));
  EXPECT_EQ(records[0].payload, "payload");
  EXPECT_EQ(bytes.substr(records[0].offset, 7), "payload");
  EXPECT_EQ(records[1].kind, RecordKind::kHardState);
  EXPECT_EQ(records[1].hard_state,
            (HardState{.term = Term(8), .vote = NodeId(9), .commit = LogIndex(10)}));
  EXPECT_EQ(records[2].kind, RecordKind::kReset);
  EXPECT_EQ(records[2].index, LogIndex(11));
  EXPECT_EQ(records[2].term, Term(12));
}

TEST(Format, BatchWithAnyBitFlippedOrCutIsNone) {
  const std::string sound = batch(1);
  for (std::size_t bit = 0; bit < 8 * sound.size(); ++bit) {
    std::string bytes = sound;
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << bit % 8));
    EXPECT_FALSE(decode_batch(bytes, kLog)) << bit;
  }
  for (std::size_t size = 0; size < sound.size(); ++size)
    EXPECT_FALSE(decode_batch(std::string_view(sound).substr(0, size), kLog)) << size;
  EXPECT_FALSE(decode_batch(sound, kOther));
}

TEST(Format, FindsSoundBatchesOfThisLogOnly) {
  const std::string early = batch(3);
  std::string bytes = "BLXBATCH BLXBATC" + batch(9, 0, kOther) + early;
  EXPECT_EQ(find_batch(bytes, 0, kLog, 3), bytes.size() - early.size());
  EXPECT_FALSE(find_batch(bytes, 0, kLog, 4));
  bytes.back() = static_cast<char>(bytes.back() + 1);
  EXPECT_FALSE(find_batch(bytes, 0, kLog, 3));
}

// Records are checked even in a batch whose checksum is right.
TEST(Format, RecordsThatMakeNoSenseAreRefused) {
  const auto reason = [](std::string body, std::uint32_t records) {
    const auto result = each_record({.records = records, .body = body},
                                    [](const Record&) -> Result<void> { return {}; });
    return std::string(result ? "" : result.error().reason());
  };
  const std::string sound = batch(1).substr(kBatchHeaderBytes);
  EXPECT_EQ(reason(sound, 3), "");
  EXPECT_EQ(reason(sound, 2), "record_invalid");
  EXPECT_EQ(reason(sound, 4), "record_invalid");
  EXPECT_EQ(reason(sound.substr(0, 20), 1), "record_invalid");
  for (const auto& [at, value] : std::vector<std::pair<std::size_t, char>>{
           {0, 0}, {0, 9}, {4, 127}, {7, 127}, {16, 0} /* index 0 */, {36, 7}}) {
    std::string body = sound;
    body[at] = value;
    EXPECT_EQ(reason(body, 3), "record_invalid") << at;
  }
}

TEST(SegmentNames, AreReadStrictly) {
  EXPECT_EQ(segment_name(17), "wal-00000000000000000017.seg");
  EXPECT_EQ(parse_segment_name(segment_name(17)), 17u);
  EXPECT_EQ(parse_segment_name(segment_name(UINT64_MAX)), UINT64_MAX);
  for (const char* name : {"wal-17.seg", "wal-00000000000000000000.seg", "wal-.seg", "seg",
                           "wal-0000000000000000001x.seg", "wal-99999999999999999999.seg",
                           "wal-00000000000000000017.seg.new", "wal--0000000000000000017.seg"})
    EXPECT_FALSE(parse_segment_name(name)) << name;
  EXPECT_EQ(parse_snapshot_name(snapshot_name(LogIndex(5))), LogIndex(5));
  EXPECT_FALSE(parse_snapshot_name("snapshot-00000000000000000005.new"));
}

TEST(EntryIndexTest, KeepsConsecutivePlaces) {
  EntryIndex index;
  index.reset(LogIndex(10));
  EXPECT_FALSE(index.put(LogIndex(12), {}));
  EXPECT_FALSE(index.put(LogIndex(0), {}));
  EXPECT_TRUE(index.put(LogIndex(11), {.segment = 1}));
  EXPECT_TRUE(index.put(LogIndex(12), {.segment = 1}));
  EXPECT_TRUE(index.put(LogIndex(13), {.segment = 2}));
  EXPECT_TRUE(index.put(LogIndex(12), {.segment = 3}));
  EXPECT_EQ(index.last(), LogIndex(12));
  EXPECT_EQ(index.find(LogIndex(12))->segment, 3u);
  EXPECT_EQ(index.find(LogIndex(13)), nullptr);
  EXPECT_EQ(index.find(LogIndex(10)), nullptr);
  index.drop_before(2);
  EXPECT_EQ(index.base(), LogIndex(11));
  EXPECT_TRUE(index.put(LogIndex(5), {.segment = 4}));  // below everything it knows
  EXPECT_EQ(index.base(), LogIndex(4));
  EXPECT_EQ(index.last(), LogIndex(5));
}

}  // namespace
}  // namespace blixard::log

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
  encoder.add({.term = Term(5),
               .index = LogIndex(6),
               .kind = static_cast<raft::EntryKind>(7),
               .payload = Payload("payload")});
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

TEST(Format, FindsWhereBatchesOfThisLogSeemToBegin) {
  const std::string early = batch(3);
  std::string bytes = "BLXBATCH BLXBATC" + batch(9, 0, kOther) + early;
  const std::size_t at = bytes.size() - early.size();
  EXPECT_EQ(find_batch(bytes, 0, kLog), at);
  EXPECT_EQ(batch_bytes(std::string_view(bytes).substr(at, kBatchHeaderBytes), kLog), early.size());
  EXPECT_FALSE(find_batch(bytes, at + 1, kLog));
  bytes[at + 24] = static_cast<char>(bytes[at + 24] + 1);  // of another log
  EXPECT_FALSE(find_batch(bytes, 0, kLog));
  EXPECT_FALSE(batch_bytes(std::string_view(early).substr(0, kBatchHeaderBytes - 1), kLog));
}

TEST(Format, VoteIsReadAsWrittenAndNotOtherwise) {
  const Vote vote{.log_id = kLog, .term = Term(1), .vote = NodeId(2), .batch = 3};
  const std::string bytes = encode_vote(vote);
  ASSERT_EQ(bytes.size(), kVoteBytes);
  const auto read = decode_vote(bytes);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->log_id, kLog);
  EXPECT_EQ(read->term, Term(1));
  EXPECT_EQ(read->vote, NodeId(2));
  EXPECT_EQ(read->batch, 3u);
  for (std::size_t bit = 0; bit < 8 * kVoteBytes; ++bit) {
    std::string changed = bytes;
    changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ (1 << bit % 8));
    EXPECT_EQ(decode_vote(changed).error().reason(), "header_damaged") << bit;
  }
  EXPECT_FALSE(decode_vote(bytes.substr(0, kVoteBytes - 1)));
  EXPECT_FALSE(decode_vote(encode_snapshot_header({})));
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
  index.reset(LogIndex(10), Term(1));
  EXPECT_FALSE(index.put(LogIndex(12), Term(1), {}));
  EXPECT_FALSE(index.put(LogIndex(0), Term(1), {}));
  EXPECT_TRUE(index.put(LogIndex(11), Term(1), {.segment = 1}));
  EXPECT_TRUE(index.put(LogIndex(12), Term(1), {.segment = 1}));
  EXPECT_TRUE(index.put(LogIndex(13), Term(1), {.segment = 2}));
  EXPECT_TRUE(index.put(LogIndex(12), Term(1), {.segment = 3}));
  EXPECT_EQ(index.last(), LogIndex(12));
  EXPECT_EQ(index.find(LogIndex(12))->segment, 3u);
  EXPECT_EQ(index.find(LogIndex(13)), nullptr);
  EXPECT_EQ(index.find(LogIndex(10)), nullptr);
  index.drop_before(2);
  EXPECT_EQ(index.base(), LogIndex(11));
  EXPECT_TRUE(index.put(LogIndex(5), Term(1), {.segment = 4}));  // below everything it knows
  EXPECT_EQ(index.base(), LogIndex(4));
  EXPECT_EQ(index.last(), LogIndex(5));
}

// Terms against a plain list, through random appends, overwriting and dropping.
TEST(EntryIndexTest, KnowsEachTermAndTheOneBefore) {
  std::uint64_t state = 1;
  const auto below = [&state](std::uint64_t bound) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (state >> 33) % bound;
  };
  EntryIndex index;
  std::map<std::uint64_t, std::uint64_t> terms{{0, 0}};  // the first is the base's
  std::uint64_t term = 1;
  for (int step = 0; step < 20'000; ++step) {
    const std::uint64_t base = terms.begin()->first;
    const std::uint64_t last = terms.rbegin()->first;
    const std::uint64_t choice = below(10);
    if (choice < 7) {
      const std::uint64_t at = below(8) == 0 ? base + 1 + below(last - base + 1) : last + 1;
      if (at <= last || below(6) == 0) ++term;
      ASSERT_TRUE(index.put(LogIndex(at), Term(term), {.segment = at / 10}));
      terms.erase(terms.lower_bound(at), terms.end());
      terms[at] = term;
    } else if (choice < 9 && last > base) {
      index.drop_first();
      terms.erase(terms.begin());
    } else if (below(200) == 0) {
      index.reset(LogIndex(last + 3), Term(term));
      terms = {{last + 3, term}};
    }
    ASSERT_EQ(index.base().value, terms.begin()->first);
    ASSERT_EQ(index.last().value, terms.rbegin()->first);
    for (const auto& [at, expected] : terms)
      ASSERT_EQ(index.term(LogIndex(at)), Term(expected)) << at;
    ASSERT_FALSE(index.term(LogIndex(terms.rbegin()->first + 1)));
    if (terms.begin()->first > 0) ASSERT_FALSE(index.term(LogIndex(terms.begin()->first - 1)));
  }
}

}  // namespace
}  // namespace blixard::log

// Asynchronous storage: what may leave before the disk is done, and what its completions mean.

#include <gtest/gtest.h>

#include "core/raft/core.h"
#include "core/raft/raft_log.h"
#include "core/raft/test_cluster.h"

namespace blixard::raft {
namespace {

Message append(std::uint64_t from, std::uint64_t term, std::uint64_t prev, std::uint64_t prev_term,
               std::vector<std::uint64_t> terms) {
  Message message{.type = MessageType::kAppend, .from = NodeId(from), .to = NodeId(1)};
  message.term = Term(term);
  message.index = LogIndex(prev);
  message.log_term = Term(prev_term);
  for (const std::uint64_t entry_term : terms)
    message.entries.push_back({Term(entry_term), LogIndex(++prev)});
  return message;
}

Output output_of(TestCluster& cluster, const Message& message) {
  EXPECT_TRUE(cluster.core(1).step(message));
  return cluster.core(1).take_output();
}

TEST(Storage, AcknowledgementsWaitForIt) {
  TestCluster cluster(voters({1, 2, 3}));
  const Output out = output_of(cluster, append(2, 1, 0, 0, {1, 1}));
  EXPECT_TRUE(out.messages.empty());
  ASSERT_TRUE(out.append);
  EXPECT_EQ(out.append->entries.size(), 2u);
  ASSERT_EQ(out.append->responses.size(), 1u);
  EXPECT_EQ(out.append->responses[0].index, LogIndex(2));
  EXPECT_EQ(out.append->mark,
            (AppendMark{Term(1), Term(1), LogIndex(2), LogIndex(), out.append->mark.generation}));
  EXPECT_EQ(out.append->hard_state, out.hard_state);
  EXPECT_FALSE(cluster.core(1).has_output());
}

TEST(Storage, NothingToWriteIsNoAppend) {
  TestCluster cluster(voters({1, 2, 3}));
  EXPECT_FALSE(cluster.core(1).has_output());
  Output out = output_of(cluster, append(2, 1, 0, 0, {1}));
  cluster[1].storage.write(*out.append);
  cluster.core(1).appended(out.append->mark);
  Message heartbeat{.type = MessageType::kHeartbeat, .from = NodeId(2), .to = NodeId(1)};
  heartbeat.term = Term(1);
  out = output_of(cluster, heartbeat);
  EXPECT_FALSE(out.append);
  EXPECT_EQ(out.messages.size(), 1u);
  heartbeat.commit = LogIndex(1);
  out = output_of(cluster, heartbeat);
  ASSERT_TRUE(out.append);
  EXPECT_FALSE(out.append->must_sync);
  EXPECT_EQ(out.committed.size(), 1u);
}

// A tail is written, overwritten by another leader's and then by the first's again, all under way:
// the completion of the first write must not be taken for one of the third.
TEST(Storage, AnOldCompletionSaysNothingAboutWhatTookItsPlace) {
  TestCluster cluster(voters({1, 2, 3}));
  MemoryStorage& storage = cluster[1].storage;
  const Output first = output_of(cluster, append(2, 1, 0, 0, {1}));
  const Output second = output_of(cluster, append(3, 2, 0, 0, {2}));
  const Output third = output_of(cluster, append(2, 3, 0, 0, {1}));
  EXPECT_NE(first.append->mark.generation, third.append->mark.generation);
  storage.write(*first.append);
  cluster.core(1).appended(first.append->mark);
  storage.write(*second.append);
  cluster.core(1).appended(second.append->mark);
  EXPECT_EQ(cluster[1].events.count(EventKind::kStaleAppendIgnored), 2u);
  // Storage now has the entry of term 2; the core must still show the other.
  EXPECT_EQ(storage.term(LogIndex(1)), Term(2));
  const Output probe = output_of(cluster, append(2, 3, 1, 1, {3}));
  EXPECT_FALSE(probe.append->responses.at(0).reject);
  storage.write(*third.append);
  cluster.core(1).appended(third.append->mark);
  EXPECT_EQ(storage.term(LogIndex(1)), Term(1));
}

TEST(Storage, ALaterMarkMakesUpForOneOfAnEarlierTerm) {
  TestCluster cluster(voters({1, 2, 3}));
  const Output first = output_of(cluster, append(2, 1, 0, 0, {1}));
  Message heartbeat{.type = MessageType::kHeartbeat, .from = NodeId(3), .to = NodeId(1)};
  heartbeat.term = Term(2);
  const Output second = output_of(cluster, heartbeat);
  ASSERT_TRUE(second.append);
  EXPECT_TRUE(second.append->entries.empty());
  EXPECT_EQ(second.append->mark.last, LogIndex(1));
  EXPECT_EQ(second.append->mark.term, Term(2));
}

TEST(Storage, ACompletionOfADroppedTailIsIgnored) {
  Unstable unstable(LogIndex(1), nullptr);
  std::vector<Entry> entries = {{Term(1), LogIndex(1)}, {Term(1), LogIndex(2)}};
  unstable.append(entries);
  unstable.handed_out();
  const std::uint64_t generation = unstable.generation();
  entries = {{Term(2), LogIndex(2)}};
  unstable.append(entries);
  entries = {{Term(1), LogIndex(2)}};
  unstable.append(entries);
  unstable.stable_to(LogIndex(2), Term(1), generation);
  EXPECT_EQ(unstable.size(), 2u);
  EXPECT_EQ(unstable.next_entries().size(), 1u);
  unstable.stable_to(LogIndex(2), Term(1), unstable.generation());
  EXPECT_TRUE(unstable.empty());
}

TEST(Storage, UnstableKeepsCountOfItsBytes) {
  Unstable unstable(LogIndex(5), nullptr);
  std::vector<Entry> entries;
  for (std::uint64_t index = 5; index < 105; ++index)
    entries.push_back(
        {Term(1), LogIndex(index), EntryKind::kNormal, Payload(std::string(10, 'x'))});
  unstable.append(entries);
  EXPECT_EQ(unstable.bytes(), 100 * (kEntryOverheadBytes + 10));
  unstable.stable_to(LogIndex(64), Term(1), unstable.generation());
  EXPECT_EQ(unstable.bytes(), 40 * (kEntryOverheadBytes + 10));
  EXPECT_EQ(unstable.term(LogIndex(65)), Term(1));
  EXPECT_EQ(unstable.term(LogIndex(64)), std::nullopt);
  entries = {{Term(2), LogIndex(70)}};
  unstable.append(entries);
  EXPECT_EQ(unstable.bytes(), 5 * (kEntryOverheadBytes + 10) + kEntryOverheadBytes);
  unstable.restore({LogIndex(200), Term(3), {}});
  EXPECT_EQ(unstable.bytes(), 0u);
  EXPECT_EQ(unstable.last(), LogIndex(200));
  EXPECT_EQ(unstable.term(LogIndex(200)), Term(3));
}

TEST(Storage, ASlowDiskLimitsWhatAFollowerTakes) {
  TestCluster cluster(voters({1, 2, 3}), [](Config& config) { config.unstable_bytes_max = 100; });
  Message message = append(2, 1, 0, 0, {1});
  message.entries[0].payload = Payload(std::string(200, 'x'));
  output_of(cluster, message);
  const Output out = output_of(cluster, append(2, 1, 1, 1, {1}));
  EXPECT_FALSE(out.append);
  EXPECT_EQ(cluster[1].events.count(EventKind::kLogFull), 1u);
  EXPECT_EQ(cluster.core(1).last_index(), LogIndex(1));
}

TEST(Start, RefusesWhatCannotBe) {
  MemoryStorage storage;
  Config config;
  const auto reason_of = [&](const Initial& initial) {
    const auto made = Core::make(config, storage, initial, nullptr);
    return made ? std::string("made") : std::string(made.error().reason());
  };
  EXPECT_EQ(reason_of({}), "raft_config_invalid");
  config.id = NodeId(1);
  EXPECT_EQ(reason_of({.configuration = voters({1})}), "made");
  EXPECT_EQ(reason_of({.configuration = voters({2, 1})}), "raft_state_invalid");
  EXPECT_EQ(reason_of({.hard_state = {Term(1), NodeId(), LogIndex(1)}}), "raft_state_invalid");
  EXPECT_EQ(reason_of({.applied = LogIndex(1)}), "raft_state_invalid");
  storage.write({.entries = {{Term(2), LogIndex(1)}}});
  EXPECT_EQ(reason_of({.hard_state = {Term(1), NodeId(), LogIndex()}}), "raft_state_invalid");
  EXPECT_EQ(reason_of({.hard_state = {Term(2), NodeId(), LogIndex()}, .applied = LogIndex(1)}),
            "made");
  config.heartbeat_ticks = 10;
  EXPECT_EQ(reason_of({}), "raft_config_invalid");
}

TEST(Log, MeetingPointIsTheLargestOfAtMostThatTerm) {
  MemoryStorage storage;
  const std::vector<std::uint64_t> terms = {1, 1, 2, 2, 2, 5, 5, 7};
  Append written;
  for (std::size_t at = 0; at < terms.size(); ++at)
    written.entries.push_back({Term(terms[at]), LogIndex(at + 1)});
  storage.write(written);
  for (const std::uint64_t compacted : {0u, 4u}) {
    if (compacted > 0) storage.compact(LogIndex(compacted), {});
    const RaftLog log(storage, 1000, nullptr);
    for (std::uint64_t index = compacted; index <= 10; ++index) {
      for (std::uint64_t term = 0; term <= 8; ++term) {
        // As one would look for it by hand, step by step.
        std::uint64_t expected = index;
        while (expected > 0 && expected <= 8 && expected >= compacted && terms[expected - 1] > term)
          --expected;
        const EntryRef found = log.meeting_point(LogIndex(index), Term(term));
        EXPECT_EQ(found.index, LogIndex(expected)) << index << " " << term;
        const bool known = expected <= 8 && expected >= compacted && expected > 0;
        EXPECT_EQ(found.term, known ? Term(terms[expected - 1]) : Term()) << index << " " << term;
      }
    }
  }
}

}  // namespace
}  // namespace blixard::raft

// The simulation itself is judged: its models against trivial specifications, its checker against
// made-up violations, and the whole of it against a core that is right.

#include "test/conformance/raft/core_sim.h"

#include <algorithm>
#include <map>
#include <set>

#include <gtest/gtest.h>

#include "test/conformance/raft/core_sim_scripts.h"

namespace blixard::core_sim {
namespace {

using raft::Message;
using raft::MessageType;

raft::Entry entry(std::uint64_t index, std::uint64_t term, std::string bytes = "x") {
  return {.term = Term(term), .index = LogIndex(index), .payload = Payload(std::move(bytes))};
}

raft::ConfState three() {
  raft::ConfState conf;
  for (const std::uint64_t id : {1, 2, 3})
    conf.voters.emplace_back(id);
  return conf;
}

std::string checker_of(const Checker& checker) {
  return checker.violation() ? checker.violation()->checker : "";
}

TEST(SimNetwork, DeliversOnceAndInTimeWithoutFaults) {
  Network network;
  network.set_weather({.delay_min = 3, .delay_max = 9, .straggler_max = 9});
  Chance chance(1);
  std::set<Time> seen;
  for (int at = 0; at < 1000; ++at) {
    const Network::Fate fate = network.fate(chance, 1, 2);
    ASSERT_EQ(fate.copies, 1U);
    ASSERT_GE(fate.delay[0], 3U);
    ASSERT_LE(fate.delay[0], 9U);
    seen.insert(fate.delay[0]);
  }
  EXPECT_EQ(seen.size(), 7U);  // and so messages overtake each other
}

TEST(SimNetwork, LosesRepeatsAndDelaysAsOftenAsItIsTold) {
  Network network;
  network.set_weather({.loss = 200,
                       .duplicate = 300,
                       .straggler = 100,
                       .delay_min = 1,
                       .delay_max = 4,
                       .straggler_max = 100});
  Chance chance(2);
  std::map<std::size_t, int> copies;
  int late = 0;
  for (int at = 0; at < 10'000; ++at) {
    const Network::Fate fate = network.fate(chance, 1, 2);
    ++copies[fate.copies];
    if (fate.copies == 1 && fate.delay[0] > 4) ++late;
  }
  EXPECT_NEAR(copies[0], 2000, 200);
  EXPECT_NEAR(copies[2], 2400, 200);
  EXPECT_NEAR(late, 560, 120);
}

TEST(SimNetwork, CutsOneDirectionOfOneLink) {
  Network network;
  Chance chance(3);
  network.cut(1, 2, true);
  for (std::size_t from = 1; from < 4; ++from) {
    for (std::size_t to = 1; to < 4; ++to)
      EXPECT_EQ(network.fate(chance, from, to).copies, from == 1 && to == 2 ? 0U : 1U);
  }
  network.heal();
  EXPECT_EQ(network.fate(chance, 1, 2).copies, 1U);
}

TEST(SimNetwork, ShortensAppendsFromTheEndAndNothingElse) {
  Network network;
  network.set_weather({.shorten = 1000});
  Chance chance(4);
  std::set<std::size_t> left;
  for (int at = 0; at < 200; ++at) {
    Message message{.type = MessageType::kAppend};
    message.entries = {entry(5, 1), entry(6, 1), entry(7, 1)};
    network.shorten(chance, message);
    left.insert(message.entries.size());
    for (std::size_t place = 0; place < message.entries.size(); ++place)
      ASSERT_EQ(message.entries[place].index, LogIndex(5 + place));
  }
  EXPECT_EQ(left, (std::set<std::size_t>{0, 1, 2}));
  Message proposal{.type = MessageType::kPropose};
  proposal.entries = {entry(0, 0)};
  network.shorten(chance, proposal);
  EXPECT_EQ(proposal.entries.size(), 1U);
}

// What a disk holds after some writes, by their definition.
struct SpecDisk {
  std::map<std::uint64_t, raft::Entry> entries;
  std::uint64_t base = 0;
  raft::HardState hard_state;

  void write(const raft::Append& append) {
    if (append.snapshot) {
      entries.clear();
      base = append.snapshot->index.value;
    }
    for (const raft::Entry& one : append.entries) {
      entries.erase(entries.lower_bound(one.index.value), entries.end());
      entries[one.index.value] = one;
    }
    if (append.hard_state) hard_state = *append.hard_state;
  }
  [[nodiscard]] std::uint64_t last() const {
    return entries.empty() ? base : entries.rbegin()->first;
  }
  [[nodiscard]] bool is_like(const Disk& disk) const {
    if (disk.last().value != last() || disk.first().value != base + 1) return false;
    if (disk.hard_state() != hard_state) return false;
    return std::all_of(entries.begin(), entries.end(), [&](const auto& one) {
      return disk.term(LogIndex(one.first)) == one.second.term &&
             disk.at(LogIndex(one.first)) == one.second;
    });
  }
};

raft::Append random_write(Chance& chance, std::uint64_t base, std::uint64_t last, Term term) {
  raft::Append append;
  if (chance.one_in(3)) append.hard_state = raft::HardState{term, NodeId(1 + chance.below(3)), {}};
  if (chance.one_in(15)) {
    append.snapshot = raft::SnapshotMeta{LogIndex(last + chance.between(1, 5)), term, three()};
    return append;
  }
  const std::uint64_t from = chance.between(base + 1, last + 1);
  for (std::uint64_t at = 0; at < chance.below(5); ++at)
    append.entries.push_back(entry(from + at, term.value, std::to_string(chance.next())));
  return append;
}

TEST(SimDisk, KeepsWhatWasCompletedAndAPrefixOfTheRest) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    Chance chance(seed);
    Disk disk;
    SpecDisk durable;                  // what is there for certain
    SpecDisk handed_out;               // what would be there
    std::vector<raft::Append> queued;  // between the two
    for (std::uint64_t step = 1; step < 200; ++step) {
      if (chance.one_in(2)) {
        queued.push_back(random_write(chance, handed_out.base, handed_out.last(), Term(step)));
        handed_out.write(queued.back());
        disk.submit(queued.back());
      } else if (!queued.empty() && !chance.one_in(10)) {
        ASSERT_TRUE(disk.complete());
        durable.write(queued.front());
        queued.erase(queued.begin());
      } else if (chance.one_in(5)) {
        const std::size_t kept = chance.below(queued.size() + 1);
        ASSERT_TRUE(disk.crash(kept));
        for (std::size_t at = 0; at < kept; ++at)
          durable.write(queued[at]);
        queued.clear();
        handed_out = durable;
      }
      ASSERT_EQ(disk.under_way(), queued.size());
      ASSERT_TRUE(durable.is_like(disk)) << "seed " << seed << " step " << step;
    }
  }
}

TEST(SimDisk, RefusesAGapAndForgetsWhatASnapshotCovers) {
  Disk disk;
  raft::Append append;
  append.entries = {entry(1, 1), entry(2, 1), entry(3, 2)};
  disk.submit(append);
  ASSERT_TRUE(disk.complete());
  disk.save_snapshot({LogIndex(3), Term(2), three()});
  disk.compact(LogIndex(2));
  EXPECT_EQ(disk.first(), LogIndex(3));
  EXPECT_EQ(disk.term(LogIndex(2)), Term(1));
  EXPECT_EQ(disk.term(LogIndex(1)), std::nullopt);
  std::vector<raft::Entry> out;
  EXPECT_EQ(disk.entries(LogIndex(2), LogIndex(3), 100, out), raft::Storage::Fetch::kCompacted);
  disk.forget_below(LogIndex(4));
  EXPECT_EQ(disk.entries(LogIndex(3), LogIndex(3), 100, out), raft::Storage::Fetch::kNotInMemory);
  raft::Append behind_a_gap;
  behind_a_gap.entries = {entry(5, 2)};
  disk.submit(behind_a_gap);
  EXPECT_FALSE(disk.complete());
}

class SimChecker : public testing::Test {
 protected:
  void append(LogView& view, NodeId node, const raft::Entry& one) {
    checker_.appends(node, view, one, hash_of(one));
    view.append(one.index, {one.term, hash_of(one)});
  }
  // Two committed entries of term 1, on node 1.
  void SetUp() override {
    append(view_, NodeId(1), entry(1, 1, "a"));
    append(view_, NodeId(1), entry(2, 1, "b"));
    checker_.commits(NodeId(1), Term(1), LogIndex(0), LogIndex(2), view_);
    ASSERT_EQ(checker_of(checker_), "");
  }
  Checker checker_{three()};
  LogView view_;
};

TEST_F(SimChecker, SeesAnotherEntryOfTheSameTerm) {
  LogView other;
  append(other, NodeId(2), entry(1, 1, "z"));
  EXPECT_EQ(checker_of(checker_), "log-matching");
}

TEST_F(SimChecker, SeesTheSameEntryBehindAnother) {
  LogView other;
  append(other, NodeId(2), entry(1, 2, "q"));
  append(other, NodeId(2), entry(2, 1, "b"));
  EXPECT_EQ(checker_of(checker_), "log-matching");
}

TEST_F(SimChecker, SeesTwoLeadersOfATermAndOneWithoutACommittedEntry) {
  Checker lonely(three());
  const LogView empty;
  lonely.leads(NodeId(1), Term(1), empty);
  EXPECT_EQ(checker_of(lonely), "");
  Checker twice = lonely;
  twice.leads(NodeId(1), Term(1), empty);  // in another life
  EXPECT_EQ(checker_of(twice), "one-leader");
  lonely.leads(NodeId(2), Term(1), empty);
  EXPECT_EQ(checker_of(lonely), "one-leader");
  checker_.leads(NodeId(2), Term(1), empty);  // elected before, and only late to know
  EXPECT_EQ(checker_of(checker_), "");
  checker_.leads(NodeId(2), Term(2), empty);
  EXPECT_EQ(checker_of(checker_), "leader-completeness");
}

TEST_F(SimChecker, SeesAnotherCommitAndOneThatFalls) {
  Checker falling = checker_;
  falling.commits(NodeId(1), Term(1), LogIndex(2), LogIndex(1), view_);
  EXPECT_EQ(checker_of(falling), "commit");
  LogView other;
  append(other, NodeId(2), entry(1, 2, "q"));
  checker_.commits(NodeId(2), Term(2), LogIndex(0), LogIndex(1), other);
  EXPECT_EQ(checker_of(checker_), "commit");
}

TEST_F(SimChecker, SeesWhatIsAppliedAndWasNotCommitted) {
  Checker early = checker_;
  checker_.applies(NodeId(2), entry(1, 1, "a"));
  EXPECT_EQ(checker_of(checker_), "");
  checker_.applies(NodeId(2), entry(2, 1, "z"));
  EXPECT_EQ(checker_of(checker_), "applied");
  early.applies(NodeId(2), entry(3, 1, "c"));
  EXPECT_EQ(checker_of(early), "applied");
}

TEST_F(SimChecker, SeesASecondVoteAndPromisesTheDiskDoesNotKeep) {
  Checker voting = checker_;
  voting.votes(NodeId(1), Term(3), NodeId(2));
  voting.votes(NodeId(1), Term(3), NodeId(2));
  EXPECT_EQ(checker_of(voting), "");
  voting.votes(NodeId(1), Term(3), NodeId(3));
  EXPECT_EQ(checker_of(voting), "one-vote");

  const Disk empty;
  Checker promised = checker_;
  promised.promises(
      {.type = MessageType::kVoteResponse, .from = NodeId(1), .to = NodeId(2), .term = Term(3)},
      empty, nullptr);
  EXPECT_EQ(checker_of(promised), "promise");
  promised = checker_;
  promised.promises({.type = MessageType::kAppendResponse,
                     .from = NodeId(1),
                     .to = NodeId(2),
                     .term = Term(1),
                     .index = LogIndex(1)},
                    empty, nullptr);
  EXPECT_EQ(checker_of(promised), "promise");
}

TEST_F(SimChecker, SeesAnAcknowledgementOfAnotherEntry) {
  Disk disk;
  raft::Append write;
  write.hard_state = raft::HardState{Term(2), {}, {}};
  write.entries = {entry(1, 1, "a"), entry(2, 1, "stale")};
  disk.submit(write);
  ASSERT_TRUE(disk.complete());
  LogView leader;
  leader.append(LogIndex(1), {Term(1), 0});
  leader.append(LogIndex(2), {Term(2), 0});
  Message message{.type = MessageType::kAppendResponse,
                  .from = NodeId(1),
                  .to = NodeId(2),
                  .term = Term(2),
                  .index = LogIndex(1)};
  checker_.promises(message, disk, &leader);
  EXPECT_EQ(checker_of(checker_), "");
  message.index = LogIndex(2);
  checker_.promises(message, disk, &leader);
  EXPECT_EQ(checker_of(checker_), "acknowledgement");
}

TEST_F(SimChecker, SeesAStaleReadATransferTooEarlyAndAForeignSnapshot) {
  Checker reading = checker_;
  reading.reads(7);
  reading.answers(NodeId(1), {.read = {1, 7}, .index = LogIndex(1)});
  EXPECT_EQ(checker_of(reading), "read");

  Disk disk;
  raft::Append write;
  write.hard_state = raft::HardState{Term(1), {}, {}};
  disk.submit(write);
  ASSERT_TRUE(disk.complete());
  Checker handing = checker_;
  handing.hands_over(NodeId(1), NodeId(2), LogIndex(2), Term(1), disk);
  EXPECT_EQ(checker_of(handing), "transfer");

  checker_.snapshots(NodeId(1), {LogIndex(2), Term(1), three()});
  EXPECT_EQ(checker_of(checker_), "");
  checker_.snapshots(NodeId(1), {LogIndex(2), Term(2), three()});
  EXPECT_EQ(checker_of(checker_), "snapshot");
}

TEST(CoreSim, RepeatsItselfFromASeed) {
  std::set<std::uint64_t> hashes;
  for (const Mix mix : {Mix::kCalm, Mix::kHard}) {
    for (std::uint64_t seed = 0; seed < 40; ++seed) {
      const Summary once = run(mix, seed);
      const Summary again = run(mix, seed);
      ASSERT_EQ(once.hash, again.hash) << "seed " << seed;
      hashes.insert(once.hash);
    }
  }
  EXPECT_EQ(hashes.size(), 80U);
}

TEST(CoreSim, FindsNoFaultInTheCoreAndMakesEverythingHappen) {
  Summary sum;
  for (std::uint64_t seed = 0; seed < 2000; ++seed) {
    const Summary one = run(Mix::kHard, seed);
    ASSERT_FALSE(one.violation) << "seed " << seed << ": " << one.violation->checker << ": "
                                << one.violation->text;
    sum.elections += one.elections;
    sum.commits += one.commits;
    sum.reads += one.reads;
    sum.changes += one.changes;
    sum.installs += one.installs;
    for (std::size_t at = 0; at < sum.faults.size(); ++at)
      sum.faults[at] += one.faults[at];
  }
  EXPECT_GT(sum.elections, 2000U * 2);
  EXPECT_GT(sum.commits, 2000U * 50);
  EXPECT_GT(sum.reads, 2000U * 10);
  EXPECT_GT(sum.changes, 2000U);
  EXPECT_GT(sum.installs, 200U);
  for (std::size_t at = 0; at < sum.faults.size(); ++at)
    EXPECT_GT(sum.faults[at], 200U) << name_of(static_cast<Fault>(at));
}

TEST(CoreSim, FindsNoFaultInCalmRuns) {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    const Summary one = run(Mix::kCalm, seed);
    ASSERT_FALSE(one.violation) << "seed " << seed << ": " << one.violation->checker << ": "
                                << one.violation->text;
  }
}

TEST(CoreSim, FindsNoFaultInWhatScriptsBringAbout) {
  for (const Script& script : scripts()) {
    for (std::uint64_t seed = 0; seed < 100; ++seed) {
      const Summary one = run(script, seed);
      ASSERT_FALSE(one.violation) << script.name << " seed " << seed << ": "
                                  << one.violation->checker << ": " << one.violation->text;
    }
  }
}

}  // namespace
}  // namespace blixard::core_sim

// The reference's own judgements of quorum arithmetic and of configuration changes, read from the
// installed package.

#include <algorithm>
#include <filesystem>
#include <set>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "core/raft/conf_change.h"
#include "core/raft/configuration.h"
#include "test/conformance/raft/datadriven.h"
#include "test/conformance/raft/progress_text.h"
#include "test/conformance/raft/reference.h"

namespace blixard::raft {
namespace {

using datadriven::Case;

class Acks : public AckedIndexes {
 public:
  std::map<NodeId, LogIndex> known;
  [[nodiscard]] std::optional<LogIndex> acked(NodeId voter) const override {
    const auto found = known.find(voter);
    return found == known.end() ? std::nullopt : std::optional(found->second);
  }
};

// The picture of majority_commit: the voter with the i-th smallest index has a bar of i; among
// equal ones only the first.
std::string picture(const std::vector<NodeId>& voters, const Acks& acks) {
  if (voters.empty()) return "<empty majority quorum>";
  const std::size_t n = voters.size();
  std::string text = std::string(n, ' ') + "    idx\n";
  for (const NodeId voter : voters) {
    const auto acked = acks.acked(voter);
    const LogIndex index = acked.value_or(LogIndex());
    std::size_t bar = 0;
    bool first = true;
    for (const NodeId other : voters) {
      const LogIndex others = acks.acked(other).value_or(LogIndex());
      if (others < index) ++bar;
      if (others == index && other < voter) first = false;
    }
    if (!first) bar = 0;
    text +=
        acked ? std::string(bar, 'x') + ">" + std::string(n - bar, ' ') : "?" + std::string(n, ' ');
    text += fmt::format(" {:>5}    (id={})\n", index.value, voter.value);
  }
  return text;
}

struct Question {
  std::vector<NodeId> incoming;
  std::vector<NodeId> outgoing;
  bool joint = false;
  std::map<NodeId, std::string> answers;  // "_" is absent
};

std::vector<NodeId> sorted_set(const Case& one, std::string_view key, std::vector<NodeId>& order) {
  std::set<NodeId> set;
  const auto* argument = one.find(key);
  if (argument == nullptr || argument->values == std::vector<std::string>{"zero"}) return {};
  const auto ids = one.numbers(key).value();
  for (const std::uint64_t id : ids) {
    set.emplace(id);
    if (std::ranges::find(order, NodeId(id)) == order.end()) order.emplace_back(id);
  }
  return {set.begin(), set.end()};
}

// "cfg=(2,1) cfgj=(2,3) idx=(5,_,7)": values go to the voters as they are first named. None: not
// one value a voter.
std::optional<Question> question_of(const Case& one, std::string_view values) {
  Question question;
  std::vector<NodeId> order;
  question.incoming = sorted_set(one, "cfg", order);
  question.outgoing = sorted_set(one, "cfgj", order);
  question.joint = one.has("cfgj");
  const auto* argument = one.find(values);
  const auto given = argument == nullptr ? std::vector<std::string>() : argument->values;
  if (given.size() != order.size()) return std::nullopt;
  for (std::size_t i = 0; i < given.size(); ++i) {
    if (given[i] != "_") question.answers.emplace(order[i], given[i]);
  }
  return question;
}

// Other ways to the same index; says which of them disagrees.
std::string disagreements(const Question& q, const Acks& acks, LogIndex index) {
  std::string text;
  const auto expect = [&](LogIndex other, const std::string& way) {
    if (other != index) text += fmt::format("{} <-- via {}\n", text::index(other), way);
  };
  if (q.joint) {
    expect(committed_index(q.outgoing, q.incoming, acks), "symmetry");
    return text;
  }
  expect(committed_index(q.incoming, {}, acks), "zero-joint quorum");
  expect(committed_index(q.incoming, q.incoming, acks), "self-joint quorum");
  for (const NodeId voter : q.incoming) {
    const LogIndex own = acks.acked(voter).value_or(LogIndex());
    if (own >= index || !own) continue;
    Acks lower = acks;
    lower.known[voter] = LogIndex(own.value - 1);
    expect(committed_index(q.incoming, lower), "one lower");
    lower.known[voter] = LogIndex();
    expect(committed_index(q.incoming, lower), "zero");
  }
  return text;
}

std::string committed(const Case& one) {
  const auto q = question_of(one, "idx");
  if (!q) return "wrong number of values";
  Acks acks;
  for (const auto& [voter, value] : q->answers) {
    acks.known.emplace(voter, datadriven::parse_number(value).value());
  }
  std::vector<NodeId> all;
  std::ranges::set_union(q->incoming, q->outgoing, std::back_inserter(all));
  const LogIndex index = q->joint ? committed_index(q->incoming, q->outgoing, acks)
                                  : committed_index(q->incoming, acks);
  return picture(all, acks) + disagreements(*q, acks, index) + text::index(index) + "\n";
}

std::string vote(const Case& one) {
  const auto q = question_of(one, "votes");
  if (!q) return "wrong number of values";
  Votes votes;
  for (const auto& [voter, value] : q->answers)
    votes.emplace(voter, value == "y");
  std::string text;
  const VoteResult result =
      q->joint ? vote_result(q->incoming, q->outgoing, votes) : vote_result(q->incoming, votes);
  if (q->joint && vote_result(q->outgoing, q->incoming, votes) != result) text = "asymmetric\n";
  return text + std::string(text::vote_result(result)) + "\n";
}

std::string quorum_case(const Case& one) {
  if (one.command == "committed") return committed(one);
  return one.command == "vote" ? vote(one) : "unknown command";
}

// "v1 l2 r3 u4"
std::optional<std::vector<ConfChangeSingle>> changes_of(std::string_view input) {
  std::vector<ConfChangeSingle> changes;
  while (!input.empty()) {
    const std::string_view word = input.substr(0, input.find(' '));
    input.remove_prefix(std::min(input.size(), word.size() + 1));
    const auto kind = std::string_view("vrul").find(word.empty() ? '?' : word.front());
    const auto id = datadriven::parse_number(word.substr(std::min<std::size_t>(1, word.size())));
    if (kind == std::string_view::npos || !id) return std::nullopt;
    changes.push_back({static_cast<ConfChangeType>(kind + 1), NodeId(*id)});
  }
  return changes;
}

class Changer {
 public:
  std::string run(const Case& one) {
    const LogIndex next(last_++);  // as the older series begins a new member
    const auto changes = changes_of(one.input);
    if (!changes) return "unknown input";
    auto changed = apply(one, *changes, next);
    if (!changed) return std::string(changed.error().detail()) + "\n";
    tracker_.install(changed->configuration, changed->progress);
    return text::configuration(tracker_.configuration()) + "\n" +
           text::progress(tracker_.progress());
  }

 private:
  Result<Changed> apply(const Case& one, const std::vector<ConfChangeSingle>& changes,
                        LogIndex next) {
    if (one.command == "simple") return apply_simple(tracker_, changes, next);
    if (one.command == "leave-joint") return leave_joint(tracker_);
    if (one.command != "enter-joint") return fail(Code::kInvalidArgument, "unknown", "command");
    return enter_joint(tracker_, changes, one.flag("autoleave").value(), next);
  }

  Tracker tracker_{10, 0};
  std::uint64_t last_ = 0;
};

std::string name_of(const testing::TestParamInfo<std::string>& file) {
  std::string name = std::filesystem::path(file.param).stem().string();
  std::ranges::replace_if(name, [](char c) { return c != '_' && !std::isalnum(c); }, '_');
  return name;
}

void expect_all(const std::string& path, const datadriven::Handler& handler) {
  const auto file = datadriven::load(path);
  ASSERT_TRUE(file) << file.error().message();
  const auto outcome = datadriven::run(*file, handler);
  EXPECT_GT(outcome.cases, 0U);
  for (const auto& mismatch : outcome.mismatches)
    ADD_FAILURE() << mismatch.text();
}

class QuorumFile : public testing::TestWithParam<std::string> {};
TEST_P(QuorumFile, Agrees) { expect_all(GetParam(), quorum_case); }

class ConfChangeFile : public testing::TestWithParam<std::string> {};
TEST_P(ConfChangeFile, Agrees) {
  Changer changer;
  expect_all(GetParam(), [&](const Case& one) { return changer.run(one); });
}

const std::string kQuorumFiles = kReference + "/quorum/testdata";
const std::string kConfChangeFiles = kReference + "/confchange/testdata";

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(QuorumFile);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(ConfChangeFile);
INSTANTIATE_TEST_SUITE_P(All, QuorumFile,
                         testing::ValuesIn(datadriven::files_in(kReference + "/quorum/testdata")),
                         name_of);
INSTANTIATE_TEST_SUITE_P(All, ConfChangeFile,
                         testing::ValuesIn(datadriven::files_in(kReference +
                                                                "/confchange/testdata")),
                         name_of);

TEST(Reference, HasTheFilesWeWereJudgedBy) {
  if (!std::filesystem::exists(kReference)) GTEST_SKIP() << kReferenceAbsent;
  EXPECT_GE(datadriven::files_in(kQuorumFiles).size(), 4U);
  EXPECT_GE(datadriven::files_in(kConfChangeFiles).size(), 9U);
}

// Written back with the outputs seen, the reference's files are what they were.
TEST(Datadriven, RewritesFilesAsTheyWere) {
  if (!std::filesystem::exists(kReference)) GTEST_SKIP() << kReferenceAbsent;
  for (const std::string& path : datadriven::files_in(kQuorumFiles)) {
    const auto file = datadriven::load(path);
    ASSERT_TRUE(file) << file.error().message();
    const auto again = datadriven::parse("again", datadriven::run(*file, quorum_case).rewritten);
    ASSERT_TRUE(again) << again.error().message();
    EXPECT_EQ(again->cases.size(), file->cases.size());
    EXPECT_TRUE(datadriven::run(*again, quorum_case).mismatches.empty());
  }
}

constexpr std::string_view kSample = R"(# a comment

subtest one

first one two=2 three=(a, (b, c), d) \
  four=false
in
put
----
out

second
----
----
with

blank
----
----

subtest end
third
----
)";

TEST(Datadriven, ReadsEveryForm) {
  const auto file = datadriven::parse("sample", kSample);
  ASSERT_TRUE(file) << file.error().message();
  ASSERT_EQ(file->cases.size(), 3U);
  const Case& first = file->cases[0];
  EXPECT_EQ(first.place, "sample:5");
  EXPECT_EQ(first.command, "first");
  EXPECT_EQ(first.flag("one"), true);
  EXPECT_EQ(first.number("two"), 2U);
  EXPECT_EQ(first.find("three")->values, (std::vector<std::string>{"a", "(b, c)", "d"}));
  EXPECT_EQ(first.flag("four"), false);
  EXPECT_EQ(first.flag("two"), std::nullopt);
  EXPECT_EQ(first.input, "in\nput");
  EXPECT_EQ(first.expected, "out\n");
  EXPECT_EQ(file->cases[1].expected, "with\n\nblank\n");
  EXPECT_EQ(file->cases[2].expected, "");
}

TEST(Datadriven, WritesBackWhatItRead) {
  const auto file = datadriven::parse("sample", kSample);
  ASSERT_TRUE(file);
  const auto same = datadriven::run(*file, [](const Case& one) { return one.expected; });
  EXPECT_TRUE(same.mismatches.empty());
  EXPECT_EQ(same.rewritten, kSample);
  const auto other = datadriven::run(*file, [](const Case& one) { return one.command + "\n"; });
  EXPECT_EQ(other.mismatches.size(), 3U);
  EXPECT_EQ(datadriven::parse("again", other.rewritten)->cases[1].expected, "second\n");
  EXPECT_NE(other.mismatches[0].text().find("- out\n+ first\n"), std::string::npos);
}

TEST(Datadriven, RefusesWhatDoesNotEnd) {
  EXPECT_FALSE(datadriven::parse("x", "a b=(1,2\n----\nout\n"));
  EXPECT_FALSE(datadriven::parse("x", "a\n----\n----\nout\n"));
}

}  // namespace
}  // namespace blixard::raft

#include "core/raft/configuration.h"

#include <gtest/gtest.h>

#include "base/limits.h"

namespace blixard::raft {
namespace {

std::vector<NodeId> nodes(std::initializer_list<std::uint64_t> ids) {
  std::vector<NodeId> list;
  for (const std::uint64_t id : ids)
    list.emplace_back(id);
  return list;
}

TEST(Configuration, MembersOfAllLists) {
  const ConfState conf{nodes({1, 2, 5}), nodes({7}), nodes({2, 4}), nodes({4}), true};
  EXPECT_TRUE(check_conf_state(conf));
  EXPECT_EQ(members(conf), nodes({1, 2, 4, 5, 7}));
  EXPECT_EQ(all_voters(conf), nodes({1, 2, 4, 5}));
  EXPECT_TRUE(is_joint(conf));
  EXPECT_TRUE(is_voter(conf, NodeId(4)));
  EXPECT_FALSE(is_voter(conf, NodeId(7)));
  EXPECT_TRUE(is_learner(conf, NodeId(7)));
  EXPECT_FALSE(is_learner(conf, NodeId(4)));
}

TEST(Configuration, EmptyOneIsOfANodeThatHasNotJoined) {
  EXPECT_TRUE(check_conf_state({}));
  EXPECT_TRUE(members({}).empty());
}

struct Wrong {
  const char* name;
  ConfState conf;
  const char* rule;
};

class WrongConfState : public testing::TestWithParam<Wrong> {};

TEST_P(WrongConfState, IsRefusedWithTheRule) {
  const auto checked = check_conf_state(GetParam().conf);
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().code(), Code::kInvalidArgument);
  EXPECT_EQ(checked.error().reason(), "conf_state_invalid");
  EXPECT_EQ(checked.error().detail(), GetParam().rule);
}

ConfState too_long() {
  ConfState conf;
  for (std::uint64_t id = 1; id <= limits::kConfMembers + 1; ++id)
    conf.voters.emplace_back(id);
  return conf;
}

INSTANTIATE_TEST_SUITE_P(
    All, WrongConfState,
    testing::Values(
        Wrong{"Unsorted",
              {nodes({2, 1}), {}, {}, {}, false},
              "a list is not sorted, or repeats a node"},
        Wrong{"Repeated",
              {nodes({1, 1}), {}, {}, {}, false},
              "a list is not sorted, or repeats a node"},
        Wrong{"Zero", {nodes({0, 1}), {}, {}, {}, false}, "a list has node 0"},
        Wrong{"TooLong", too_long(), "a list is too long"},
        Wrong{"OnlyLearners", {{}, nodes({1}), {}, {}, false}, "no voters"},
        Wrong{"OnlyOutgoing", {{}, {}, nodes({1}), {}, false}, "no voters"},
        Wrong{"LearnerVotes", {nodes({1}), nodes({1}), {}, {}, false}, "a learner is a voter"},
        Wrong{"LearnerVotesStill",
              {nodes({1}), nodes({2}), nodes({2}), {}, false},
              "a learner is a voter"},
        Wrong{"WaitsWithoutCause",
              {nodes({1}), {}, nodes({1, 2}), nodes({3}), false},
              "who becomes a learner is not leaving"},
        Wrong{"WaitsAndStays",
              {nodes({1, 2}), {}, nodes({1, 2}), nodes({2}), false},
              "who becomes a learner is not leaving"},
        Wrong{"WaitsInNoJoint",
              {nodes({1}), {}, {}, nodes({2}), false},
              "who becomes a learner is not leaving"},
        Wrong{"LeavesNothing", {nodes({1}), {}, {}, {}, true}, "nothing to leave"}),
    [](const auto& wrong) { return wrong.param.name; });

}  // namespace
}  // namespace blixard::raft

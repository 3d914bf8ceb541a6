#include "node/cluster/plan.h"

#include <gtest/gtest.h>

#include "base/limits.h"
#include "core/cluster/scenario.h"

namespace blixard::membership {
namespace {

using cluster::Scenario;
using Kind = Step::Kind;

constexpr NodeId kSelf(1);

class PlanTest : public testing::Test {
 protected:
  void enrol(std::uint64_t node, v1::NodeRole role = v1::NODE_ROLE_SERVER) {
    ASSERT_TRUE(cluster_.apply(Scenario::token_command(node, 1'000'000, role)));
    ASSERT_EQ(cluster_.enrol(node, "n" + std::to_string(node))->object_id, node);
  }
  void leave(std::uint64_t node) {
    ASSERT_TRUE(cluster_.apply("remove_node { node_id: " + std::to_string(node) + " }"));
  }
  std::optional<Step> next() const { return next_step(cluster_.state, kSelf, close_, now_); }

  Scenario cluster_ = Scenario::founded();
  CloseSince close_;
  Instant now_{1h};
};

TEST_F(PlanTest, ALoneFounderHasNothingToDo) { EXPECT_EQ(next(), std::nullopt); }

TEST_F(PlanTest, WhoEnrolledIsTakenInAsALearner) {
  enrol(2);
  EXPECT_EQ(next(), (Step{Kind::kAddLearner, NodeId(2)}));
  ASSERT_TRUE(cluster_.configure({NodeId(1)}, {NodeId(2)}));
  EXPECT_EQ(next(), std::nullopt);
}

TEST_F(PlanTest, AServerThatIsCloseLongEnoughIsPromotedAWorkerNever) {
  enrol(2);
  enrol(3, v1::NODE_ROLE_WORKER);
  ASSERT_TRUE(cluster_.configure({NodeId(1)}, {NodeId(2), NodeId(3)}));
  close_ = {{NodeId(2), now_ - kCloseFor + 1ms}, {NodeId(3), now_ - 1h}};
  EXPECT_EQ(next(), std::nullopt);
  now_ = now_ + 1ms;
  EXPECT_EQ(next(), (Step{Kind::kPromote, NodeId(2)}));
}

TEST_F(PlanTest, VotersAreBounded) {
  std::vector<NodeId> voters;
  for (std::uint64_t id = 1; id <= limits::kVoters; ++id) {
    if (id > 1) enrol(id);
    voters.emplace_back(id);
  }
  enrol(limits::kVoters + 1);
  const NodeId learner(limits::kVoters + 1);
  close_ = {{learner, now_ - 1h}};
  ASSERT_TRUE(cluster_.configure(voters, {learner}));
  EXPECT_EQ(next(), std::nullopt);
  voters.pop_back();
  ASSERT_TRUE(cluster_.configure(voters, {NodeId(limits::kVoters), learner}));
  EXPECT_EQ(next(), (Step{Kind::kPromote, learner}));
}

TEST_F(PlanTest, WhoLeavesGoesFirstAndTheLeaderHandsOverLast) {
  for (std::uint64_t id = 2; id <= 5; ++id)
    enrol(id);
  ASSERT_TRUE(cluster_.configure({NodeId(1), NodeId(2), NodeId(3)}, {NodeId(4)}));
  leave(1);
  leave(3);
  leave(5);
  EXPECT_EQ(next(), (Step{Kind::kRemove, NodeId(3)}));
  const auto drop = Scenario::command("drop_node { node_id: 3 }");
  ASSERT_TRUE(cluster_.configure({NodeId(1), NodeId(2)}, {NodeId(4)}, &drop));
  EXPECT_EQ(next(), (Step{Kind::kDrop, NodeId(5)}));
  ASSERT_TRUE(cluster_.apply("drop_node { node_id: 5 }"));
  EXPECT_EQ(next(), (Step{Kind::kHandOver, kSelf}));
  EXPECT_EQ(next_step(cluster_.state, NodeId(2), {}, now_), (Step{Kind::kRemove, kSelf}));
}

TEST_F(PlanTest, AJointConfigurationIsLeftAlone) {
  enrol(2);
  ASSERT_TRUE(cluster_.state.apply_configuration(
      LogIndex(99), {.voters = {NodeId(1)}, .voters_outgoing = {NodeId(1)}}, "", {}));
  EXPECT_EQ(next(), std::nullopt);
}

}  // namespace
}  // namespace blixard::membership

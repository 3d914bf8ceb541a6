#include "core/raft/conf_change.h"

#include <rapidcheck.h>

#include <set>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "base/limits.h"
#include "core/raft/configuration.h"

namespace blixard::raft {
namespace {

std::vector<NodeId> nodes(std::initializer_list<std::uint64_t> ids) {
  std::vector<NodeId> list;
  for (const std::uint64_t id : ids)
    list.emplace_back(id);
  return list;
}

Tracker tracker_of(const ConfState& conf) {
  Tracker tracker(4, 1000);
  auto restored = restore_conf_state(tracker, conf, LogIndex(1));
  EXPECT_TRUE(restored);
  if (restored) tracker.install(restored->configuration, std::move(restored->progress));
  return tracker;
}

void check_invariants(const Changed& changed) {
  RC_ASSERT(check_conf_state(changed.configuration).has_value());
  const auto all = members(changed.configuration);
  RC_ASSERT(all.size() == changed.progress.size());
  for (const auto& [node, progress] : changed.progress) {
    RC_ASSERT(contains(all, node));
    RC_ASSERT(progress.is_learner == is_learner(changed.configuration, node));
  }
}

// Three bits of type and so many of node make collisions likely.
ConfChangeSingle single_of(std::uint8_t drawn) {
  return {static_cast<ConfChangeType>(1 + drawn % 4), NodeId(std::uint64_t{drawn} / 4 % 7)};
}

std::vector<ConfChangeSingle> singles_of(const std::vector<std::uint8_t>& drawn) {
  std::vector<ConfChangeSingle> singles;
  singles.reserve(drawn.size());
  for (const std::uint8_t byte : drawn)
    singles.push_back(single_of(byte));
  return singles;
}

// One step at a time where a step is possible leads where the joint way leads.
RC_GTEST_PROP(ConfChange, JointAndSimpleWaysMeet,
              (const std::vector<std::uint8_t>& before, const std::vector<std::uint8_t>& drawn)) {
  Tracker tracker = tracker_of({nodes({1}), {}, {}, {}, false});
  for (const ConfChangeSingle& single : singles_of(before)) {
    if (auto changed = apply_simple(tracker, {&single, 1}, LogIndex(3))) {
      tracker.install(changed->configuration, changed->progress);
    }
  }
  const auto singles = singles_of(drawn);
  auto joint = enter_joint(tracker, singles, true, LogIndex(5));
  Tracker stepwise = tracker;
  bool stepped = true;
  for (const ConfChangeSingle& single : singles) {
    auto changed = apply_simple(stepwise, {&single, 1}, LogIndex(5));
    stepped = stepped && changed.has_value();
    if (!changed) break;
    check_invariants(*changed);
    stepwise.install(changed->configuration, changed->progress);
  }
  if (!joint || !stepped) return;  // both may remove the last voter for a while
  check_invariants(*joint);
  RC_ASSERT(is_joint(joint->configuration));
  RC_ASSERT(joint->configuration.voters_outgoing == tracker.configuration().voters);
  Tracker left = tracker;
  left.install(joint->configuration, joint->progress);
  const auto after = leave_joint(left);
  RC_ASSERT(after.has_value());
  check_invariants(*after);
  RC_ASSERT(after->configuration == stepwise.configuration());
}

RC_GTEST_PROP(ConfChange, WhatWasSavedIsRestored, (const std::vector<std::uint8_t>& drawn)) {
  const Tracker tracker = tracker_of({nodes({1, 2, 3}), nodes({4}), {}, {}, false});
  const auto joint = enter_joint(tracker, singles_of(drawn), false, LogIndex(5));
  if (!joint) return;
  const auto restored = restore_conf_state(tracker, joint->configuration, LogIndex(5));
  RC_ASSERT(restored.has_value());
  check_invariants(*restored);
  RC_ASSERT(restored->configuration == joint->configuration);
}

TEST(ConfChange, ADemotedVoterWaitsForTheEndOfTheJointConfiguration) {
  Tracker tracker = tracker_of({nodes({1, 2, 3}), {}, {}, {}, false});
  const ConfChangeSingle demote{ConfChangeType::kAddLearner, NodeId(3)};
  auto joint = enter_joint(tracker, {&demote, 1}, false, LogIndex(5));
  ASSERT_TRUE(joint);
  EXPECT_EQ(joint->configuration,
            (ConfState{nodes({1, 2}), {}, nodes({1, 2, 3}), nodes({3}), false}));
  tracker.install(joint->configuration, joint->progress);
  const auto left = leave_joint(tracker);
  ASSERT_TRUE(left);
  EXPECT_EQ(left->configuration, (ConfState{nodes({1, 2}), nodes({3}), {}, {}, false}));
  EXPECT_TRUE(left->progress.at(NodeId(3)).is_learner);
}

TEST(ConfChange, KeepsTheProgressOfWhoStays) {
  Tracker tracker = tracker_of({nodes({1, 2}), {}, {}, {}, false});
  tracker.find(NodeId(2))->match = LogIndex(44);
  const ConfChangeSingle demote{ConfChangeType::kAddLearner, NodeId(2)};
  const auto changed = apply_simple(tracker, {&demote, 1}, LogIndex(50));
  ASSERT_TRUE(changed);
  EXPECT_EQ(changed->progress.at(NodeId(2)).match, LogIndex(44));
  EXPECT_FALSE(tracker.find(NodeId(2))->is_learner) << "nothing changes before it is installed";
}

TEST(ConfChange, ChoosesTheWay) {
  const ConfChangeSingle one{ConfChangeType::kAddVoter, NodeId(2)};
  EXPECT_TRUE(leaves_joint({}));
  EXPECT_TRUE(leaves_joint({ConfTransition::kAuto, {}, Payload("why")}));
  EXPECT_FALSE(leaves_joint({ConfTransition::kJointExplicit, {}, {}}));
  EXPECT_FALSE(leaves_joint({ConfTransition::kAuto, {one}, {}}));
  EXPECT_EQ(enters_joint({ConfTransition::kAuto, {one}, {}}), std::nullopt);
  EXPECT_EQ(enters_joint({ConfTransition::kAuto, {one, one}, {}}), true);
  EXPECT_EQ(enters_joint({ConfTransition::kJointImplicit, {one}, {}}), true);
  EXPECT_EQ(enters_joint({ConfTransition::kJointExplicit, {one}, {}}), false);
}

TEST(ConfChange, RefusesTooManyChangesAndMembers) {
  Tracker tracker = tracker_of({nodes({1}), {}, {}, {}, false});
  ConfChange many;
  many.changes.resize(limits::kConfChanges + 1, {ConfChangeType::kUpdate, NodeId(1)});
  EXPECT_FALSE(apply_conf_change(tracker, many, LogIndex(1)));
  many.changes.pop_back();
  EXPECT_TRUE(apply_conf_change(tracker, many, LogIndex(1)));

  ConfState full{nodes({1}), {}, {}, {}, false};
  for (std::uint64_t id = 2; id <= limits::kConfMembers; ++id)
    full.learners.emplace_back(id);
  tracker = tracker_of(full);
  const ConfChangeSingle more{ConfChangeType::kAddLearner, NodeId(5000)};
  const auto refused = apply_simple(tracker, {&more, 1}, LogIndex(1));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().detail(), "too many members");
}

TEST(ConfChangeBytes, AreFixed) {
  const ConfChange change{
      ConfTransition::kJointExplicit, {{ConfChangeType::kRemove, NodeId(0x0102)}}, Payload("ab")};
  using std::string_view_literals::operator""sv;
  EXPECT_EQ(encode_conf_change(change).view(), "\1\2\1\0\2\2\1\0\0\0\0\0\0\2\0\0\0ab"sv);
}

TEST(ConfChangeBytes, NoBytesAreTheEmptyChange) {
  const auto decoded = decode_conf_change("");
  ASSERT_TRUE(decoded);
  EXPECT_EQ(*decoded, ConfChange());
  EXPECT_TRUE(leaves_joint(*decoded));
}

RC_GTEST_PROP(ConfChangeBytes, ComeBackAndEveryPartOfThemIsRefused,
              (std::vector<std::uint8_t> drawn, const std::string& context)) {
  drawn.resize(std::min<std::size_t>(drawn.size(), limits::kConfChanges));
  const ConfChange change{static_cast<ConfTransition>(drawn.size() % 3), singles_of(drawn),
                          Payload(context)};
  const Payload bytes = encode_conf_change(change);
  const auto decoded = decode_conf_change(bytes.view());
  RC_ASSERT(decoded.has_value());
  RC_ASSERT(*decoded == change);
  for (std::size_t size = 1; size < bytes.size(); ++size) {
    RC_ASSERT(!decode_conf_change(bytes.view().substr(0, size)));
  }
  RC_ASSERT(!decode_conf_change(std::string(bytes.view()) + '\0'));
}

TEST(ConfChangeBytes, WrongOnesAreRefused) {
  using std::string_view_literals::operator""sv;
  for (const auto& [bytes, why] : std::vector<std::pair<std::string_view, std::string_view>>{
           {"\2\0\0\0\0\0\0\0"sv, "unknown format"},
           {"\1\3\0\0\0\0\0\0"sv, "unknown transition"},
           {"\1\0\101\0\0\0\0\0"sv, "too many changes"},
           {"\1\0\1\0\0\0\0\0"sv, "too short"},
           {"\1\0\1\0\0\1\0\0\0\0\0\0\0\0\0\0\0"sv, "unknown type of change"},
           {"\1\0\1\0\5\1\0\0\0\0\0\0\0\0\0\0\0"sv, "unknown type of change"},
           {"\1\0\0\0\1\0\1\0"sv, "context too long"},
           {"\1\0\0\0\1\0\0\0"sv, "wrong length"}}) {
    const auto decoded = decode_conf_change(bytes);
    ASSERT_FALSE(decoded);
    EXPECT_EQ(decoded.error().reason(), "conf_change_invalid");
    EXPECT_EQ(decoded.error().detail(), why);
  }
}

}  // namespace
}  // namespace blixard::raft

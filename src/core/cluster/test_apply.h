#pragma once

// For tests of apply(): two nodes, an image, and what a refusal must be like. A refused command
// changes nothing.

#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "core/cluster/scenario.h"
#include "core/cluster/state.h"

namespace blixard::cluster {

class Apply : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(cluster_.add_image("alpine"));
    ASSERT_TRUE(cluster_.add_node(1, 4, 1024));
    ASSERT_TRUE(cluster_.add_node(2, 4, 1024));
    cluster_.changes.clear();
  }

  void expect_refused(const v1::Command& command, Code code, std::string_view reason) {
    const std::string before = cluster_.state.encode();
    const std::size_t changes = cluster_.changes.size();
    const auto outcome = cluster_.apply(command);
    ASSERT_FALSE(outcome) << reason << ": " << command.ShortDebugString();
    EXPECT_EQ(outcome.error().reason(), reason) << command.ShortDebugString();
    EXPECT_EQ(code_name(outcome.error().code()), code_name(code)) << reason;
    EXPECT_EQ(cluster_.state.encode(), before) << reason;
    EXPECT_EQ(cluster_.changes.size(), changes) << reason;
  }
  void expect_refused(std::string_view text, Code code, std::string_view reason) {
    expect_refused(Scenario::command(text), code, reason);
  }

  const Vm& vm(std::string_view name) { return *cluster_.state.find_vm(name); }
  const Node& node(std::uint64_t id) { return *cluster_.state.find_node(NodeId(id)); }
  resources::Amounts room(std::uint64_t id) { return cluster_.state.room_on(node(id)).amounts(); }

  // A VM on node 1, in that state, by the ways that lead there.
  void make(const std::string& name, const std::vector<v1::VmState>& way) {
    ASSERT_TRUE(cluster_.create(name));
    ASSERT_TRUE(cluster_.place(name, 1));
    for (const v1::VmState state : way)
      ASSERT_TRUE(cluster_.report(name, state));
  }

  Scenario cluster_;
};

}  // namespace blixard::cluster

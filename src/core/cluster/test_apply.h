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
    const State state = cluster_.state;
    const std::string before = state.encode();
    const std::size_t changes = cluster_.changes.size();
    const auto outcome = cluster_.apply(command);
    ASSERT_FALSE(outcome) << reason << ": " << command.ShortDebugString();
    EXPECT_EQ(outcome.error().reason(), reason) << command.ShortDebugString();
    EXPECT_EQ(code_name(outcome.error().code()), code_name(code)) << reason;
    EXPECT_EQ(cluster_.state.encode(), before) << reason;
    EXPECT_TRUE(cluster_.state == state) << reason;  // also what is derived
    EXPECT_EQ(cluster_.changes.size(), changes) << reason;
  }
  void expect_refused(std::string_view text, Code code, std::string_view reason) {
    expect_refused(Scenario::command(text), code, reason);
  }

  // What people are told of it.
  void expect_detail(const v1::Command& command, std::string_view part) {
    const auto outcome = cluster_.apply(command);
    ASSERT_FALSE(outcome) << command.ShortDebugString();
    EXPECT_NE(outcome.error().detail().find(part), std::string_view::npos)
        << part << " is not in: " << outcome.error().detail();
  }
  void must(std::string_view text) {
    const auto outcome = cluster_.apply(text);
    ASSERT_TRUE(outcome) << outcome.error().message() << ": " << text;
  }
  Result<Outcome> create(const std::string& name, const std::string& placement,
                         std::uint32_t vcpus = 1, std::uint32_t memory_mib = 128) {
    return cluster_.apply(Scenario::create_command(name, placement, vcpus, memory_mib));
  }
  void must_create(const std::string& name, const std::string& placement, std::uint32_t vcpus = 1,
                   std::uint32_t memory_mib = 128) {
    const auto outcome = create(name, placement, vcpus, memory_mib);
    ASSERT_TRUE(outcome) << outcome.error().message() << ": " << placement;
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

#include "core/cluster/model.h"

#include <gtest/gtest.h>

#include "base/limits.h"

namespace blixard::cluster {
namespace {

using enum VmState;

constexpr VmState kStates[] = {kPending, kPlaced, kStarting, kRunning,   kStopping, kStopped,
                               kFailed,  kLost,   kPaused,   kMigrating, kSuspended};

// One row a state, one column the state after it, in the order of kStates.
constexpr std::string_view kAllowed[] = {
    // Pe Pl St Ru Si So Fa Lo Pa Mi Su
    ".x.........",  // pending
    "x.x..xxx...",  // placed
    "...xxxxx...",  // starting
    "..x.xxxxxxx",  // running
    ".....xxx...",  // stopping
    "x.x...xx...",  // stopped
    "x.x..x.x...",  // failed
    "x.xx.xx....",  // lost
    "...xxxxx..x",  // paused
    "...x.xxx...",  // migrating
    "x..........",  // suspended
};

TEST(Transitions, AreTheTable) {
  for (std::size_t from = 0; from < std::size(kStates); ++from) {
    for (std::size_t to = 0; to < std::size(kStates); ++to) {
      EXPECT_EQ(may_follow(kStates[from], kStates[to]), kAllowed[from][to] == 'x')
          << transition_text(kStates[from], kStates[to]);
    }
  }
}

// The end of a deletion: its node may always say that the VM is stopped.
TEST(Transitions, EveryPlacedVmCanEnd) {
  for (const VmState from : kStates) {
    if (from != kPending && from != kSuspended && from != kStopped) {
      EXPECT_TRUE(may_follow(from, kStopped)) << state_name(from);
    }
  }
}

TEST(Transitions, TextNamesBothEnds) {
  EXPECT_EQ(transition_text(kRunning, kPlaced), "running -> placed");
}

TEST(Names, OfStatesAreDistinctWords) {
  std::map<std::string_view, int> seen;
  for (const VmState state : kStates)
    ++seen[state_name(state)];
  EXPECT_EQ(seen.size(), kVmStates.size());
  EXPECT_FALSE(seen.contains("unknown"));
}

TEST(Names, OfRestartPoliciesGoBothWays) {
  for (const auto policy :
       {RestartPolicy::kNever, RestartPolicy::kOnFailure, RestartPolicy::kAlways}) {
    EXPECT_EQ(parse_restart(restart_name(policy)), policy);
  }
  EXPECT_EQ(parse_restart("sometimes"), std::nullopt);
  EXPECT_EQ(parse_restart(""), std::nullopt);
}

TEST(CheckName, TakesDnsLabels) {
  for (const std::string& name : {std::string("a"), std::string("web-1"), std::string("0"),
                                  std::string(limits::kNameLength, 'z')}) {
    EXPECT_TRUE(check_name(name)) << name;
  }
}

TEST(CheckName, RefusesTheRest) {
  for (const std::string& name :
       {std::string(), std::string(limits::kNameLength + 1, 'z'), std::string("Web"),
        std::string("a b"), std::string("a_b"), std::string("a.b"), std::string("a/b"),
        std::string("ü"), std::string("a\0", 2), std::string("a\n"), std::string("\x1b[2J")}) {
    const auto checked = check_name(name);
    ASSERT_FALSE(checked) << name;
    EXPECT_EQ(checked.error().code(), Code::kInvalidArgument);
    EXPECT_EQ(checked.error().reason(), "name_invalid");
    EXPECT_EQ(checked.error().detail().find('\x1b'), std::string_view::npos);
  }
}

// check() with one field changed says `part` in its detail.
void expect_spec_fault(const std::function<void(VmSpec&)>& change, std::string_view part) {
  VmSpec spec{.image = Name("alpine")};
  ASSERT_TRUE(check_spec(spec));
  change(spec);
  const auto checked = check_spec(spec);
  ASSERT_FALSE(checked) << part;
  EXPECT_EQ(checked.error().code(), Code::kInvalidArgument);
  EXPECT_EQ(checked.error().reason(), "spec_invalid");
  EXPECT_NE(checked.error().detail().find(part), std::string_view::npos)
      << checked.error().message();
}

TEST(CheckSpec, RefusesWithTheField) {
  expect_spec_fault([](VmSpec& spec) { spec.image = Name(""); }, "image");
  expect_spec_fault([](VmSpec& spec) { spec.image = Name("../etc"); }, "image");
  expect_spec_fault([](VmSpec& spec) { spec.vcpus = 0; }, "vcpus: 0");
  expect_spec_fault([](VmSpec& spec) { spec.vcpus = limits::kVcpus + 1; }, "vcpus");
  expect_spec_fault([](VmSpec& spec) { spec.memory_mib = 0; }, "memory_mib: 0");
  expect_spec_fault([](VmSpec& spec) { spec.memory_mib = limits::kMemoryMibMin - 1; },
                    "memory_mib");
  expect_spec_fault([](VmSpec& spec) { spec.memory_mib = limits::kMemoryMibMax + 1; },
                    "memory_mib");
  expect_spec_fault(
      [](VmSpec& spec) { spec.stop_grace_seconds = limits::kStopGraceSecondsMax + 1; },
      "stop_grace_seconds");
  expect_spec_fault(
      [](VmSpec& spec) { spec.published_ports = {{.host_port = 80, .guest_port = 0}}; },
      "published_ports");
  expect_spec_fault(
      [](VmSpec& spec) {
        spec.published_ports = {{.host_port = 80, .guest_port = 1},
                                {.host_port = 80, .guest_port = 2}};
      },
      "host port 80 is published twice");
  expect_spec_fault(
      [](VmSpec& spec) {
        spec.published_ports.assign(limits::kPublishedPorts + 1, {.host_port = 0, .guest_port = 1});
      },
      "published_ports");
}

TEST(CheckSpec, TakesTheBounds) {
  VmSpec spec{.image = Name("alpine"),
              .vcpus = limits::kVcpus,
              .memory_mib = limits::kMemoryMibMax,
              .stop_grace_seconds = 0};
  spec.published_ports.assign(limits::kPublishedPorts, {.host_port = 0, .guest_port = 65535});
  EXPECT_TRUE(check_spec(spec));
  spec.memory_mib = limits::kMemoryMibMin;
  EXPECT_TRUE(check_spec(spec));
}

TEST(CheckNode, RefusesWithTheField) {
  const Node good{.id = NodeId(1), .name = Name("n1"), .vcpus = 4, .memory_mib = 1024};
  ASSERT_TRUE(check_node(good));
  const std::pair<std::string_view, std::function<void(Node&)>> faults[] = {
      {"node_id", [](Node& node) { node.id = NodeId(); }},
      {"capacity.vcpus", [](Node& node) { node.vcpus = limits::kNodeVcpus + 1; }},
      {"capacity.memory_mib", [](Node& node) { node.memory_mib = limits::kNodeMemoryMib + 1; }},
      {"accelerator", [](Node& node) { node.accelerator = std::string(64, 'k'); }},
      {"version", [](Node& node) { node.version = "1\n2"; }},
  };
  for (const auto& [field, change] : faults) {
    Node node = good;
    change(node);
    const auto checked = check_node(node);
    ASSERT_FALSE(checked) << field;
    EXPECT_EQ(checked.error().reason(), "node_invalid");
    EXPECT_EQ(checked.error().detail(), field);
  }
}

TEST(CheckImage, RefusesWithTheField) {
  const Image good{.name = Name("alpine"), .files = {{.name = "vmlinux", .size = Bytes(1)}}};
  ASSERT_TRUE(check_image(good));
  const std::pair<std::string_view, std::function<void(Image&)>> faults[] = {
      {"architecture", [](Image& image) { image.architecture = std::string(64, 'x'); }},
      {"kernel_version", [](Image& image) { image.kernel_version = "6\x1b"; }},
      {"cmdline", [](Image& image) { image.cmdline = "quiet\ninit=/bin/sh"; }},
      {"cmdline",
       [](Image& image) { image.cmdline = std::string(limits::kCmdlineBytes + 1, 'x'); }},
      {"files: there are none", [](Image& image) { image.files.clear(); }},
      {"at most", [](Image& image) { image.files.resize(limits::kImageFiles + 1); }},
      {"files: name", [](Image& image) { image.files[0].name = "../x"; }},
      {"files: name", [](Image& image) { image.files[0].name = ".."; }},
      {"files: name", [](Image& image) { image.files[0].name = ""; }},
      {"two are named", [](Image& image) { image.files.push_back(image.files[0]); }},
      {"size", [](Image& image) { image.files[0].size = Bytes(0); }},
      {"size", [](Image& image) { image.files[0].size = Bytes(limits::kImageFileBytes + 1); }},
  };
  for (const auto& [part, change] : faults) {
    Image image = good;
    change(image);
    const auto checked = check_image(image);
    ASSERT_FALSE(checked) << part;
    EXPECT_EQ(checked.error().reason(), "image_invalid");
    EXPECT_NE(checked.error().detail().find(part), std::string_view::npos)
        << checked.error().message();
  }
}

}  // namespace
}  // namespace blixard::cluster

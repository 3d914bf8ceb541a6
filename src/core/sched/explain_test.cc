#include "core/sched/explain.h"

#include <algorithm>
#include <array>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/cluster/test_apply.h"
#include "core/sched/test_placing.h"

namespace blixard::sched {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

// Nodes 1 and 2 of 4 vCPUs (16 are promised) and 1 GiB.
class Explaining : public cluster::Apply {
 protected:
  // Looks at the state twice, with one planner: looking leaves nothing behind.
  Explanation explain(const std::string& name) {
    Planner planner;
    planner.follow(cluster_.state);
    const cluster::Vm& vm = this->vm(name);
    const Explanation first = sched::explain(cluster_.state, planner.fleet(), vm);
    const Explanation second = sched::explain(cluster_.state, planner.fleet(), vm);
    EXPECT_EQ(first.verdict, second.verdict);
    EXPECT_EQ(first.fitting, second.fitting);
    EXPECT_EQ(first.misses, second.misses);
    EXPECT_EQ(first.chosen ? first.chosen->score : 0, second.chosen ? second.chosen->score : 0);
    EXPECT_EQ(planner.plan(cluster_.state), plan_pending(cluster_.state));
    return second;
  }
  // Whose score is not made up of its parts.
  static std::vector<std::string> wrong_scores(const Explanation& said) {
    std::vector<std::string> wrong;
    const auto look = [&](const Explanation::Candidate& candidate) {
      Score sum = 0;
      for (const ScorePart& part : candidate.parts)
        sum += part.score;
      if (sum != candidate.score) wrong.push_back(candidate.name.text());
    };
    if (said.chosen) look(*said.chosen);
    for (const Explanation::Candidate& candidate : said.alternatives)
      look(candidate);
    return wrong;
  }
  static std::vector<std::string> names_of(const std::vector<Explanation::Candidate>& candidates) {
    std::vector<std::string> names;
    for (const Explanation::Candidate& candidate : candidates)
      names.push_back(candidate.name.text());
    return names;
  }
  static std::string chosen_name(const Explanation& said) {
    return said.chosen ? said.chosen->name.text() : "";
  }
  void must_place(const std::string& name, std::uint64_t node) {
    const auto placed = cluster_.place(name, node);
    ASSERT_TRUE(placed) << placed.error().message();
  }
  void most_available() { must("set_policy { policy { strategy: STRATEGY_MOST_AVAILABLE } }"); }
};

// Each thing that can keep a VM from both nodes.
struct Row {
  const char* what;
  std::array<const char*, 2> commands;  // null: none
  const char* placement;
  std::uint32_t vcpus;
  std::uint32_t memory_mib;
  const char* cause;
  const char* miss;
};

constexpr const char* kFacts =
    "architecture: 'x86_64' topology { datacenter: 'fra' zone: 'b' } "
    "model_version: 4 accelerator: 'kvm' ";

constexpr std::array kRows = std::to_array<Row>({
    {"cordoned",
     {"update_node { node_id: 1 cordoned: true }", "update_node { node_id: 2 cordoned: true }"},
     "",
     1,
     128,
     "cordoned",
     "2 nodes would take it if they were not cordoned"},
    {"draining",
     {"drain_node { node_id: 1 deadline_ms: 1000 parallel: 1 }",
      "update_node { node_id: 2 cordoned: true set_taints { key: 'k' effect: TAINT_EFFECT_REFUSE "
      "} }"},
     "",
     1,
     128,
     "drained",
     "node n1 would take it if it were not drained"},
    {"architecture",
     {"add_image { name: 'arm' architecture: 'aarch64' files { name: 'a' bytes: 1 digest: "
      "'01234567890123456789012345678901' } }"},
     "image",
     1,
     128,
     "of another architecture than its image's, aarch64",
     "2 nodes would take it with an image for x86_64"},
    {"named",
     {"update_node { node_id: 1 cordoned: true }"},
     "strategy: STRATEGY_MANUAL node: 'n1'",
     1,
     128,
     "other than n1, which it names",
     "node n1 would take it if it were not cordoned"},
    {"taint",
     {"update_node { node_id: 1 set_taints { key: 'k' value: 'v' effect: TAINT_EFFECT_REFUSE } }",
      "update_node { node_id: 2 set_taints { key: 'k' value: 'v' effect: TAINT_EFFECT_REFUSE } "
      "}"},
     "",
     1,
     128,
     "with the taint k=v, which it does not tolerate",
     "2 nodes would take it if it tolerated the taint k=v"},
    {"constraint",
     {},
     "constraints { attribute: 'zone' op: CONSTRAINT_OP_EQUAL values: 'a' }",
     1,
     128,
     "not meeting 'zone = a'",
     "2 nodes would take it without the constraint 'zone = a'"},
    {"datacenter",
     {},
     "locality { datacenter: 'ams' strict: true }",
     1,
     128,
     "in a datacenter that it does not want",
     "2 nodes would take it if it took another datacenter"},
    {"zone",
     {},
     "locality { zone: 'z' strict: true }",
     1,
     128,
     "outside zone z",
     "2 nodes would take it if it were not to be in zone z"},
    {"latency",
     {"set_policy { policy { latencies { a: 'ams' b: 'fra' ms: 9 } } }"},
     "locality { datacenter: 'ams' max_latency_ms: 5 }",
     1,
     128,
     "not known to be within 5 ms of ams",
     "2 nodes would take it if it took 9 ms from ams"},
    {"memory",
     {},
     "",
     1,
     1152,
     "without 1152 MiB of memory free (most free 1024 MiB of memory)",
     "node n1 lacks 128 MiB of memory"},
    {"cpu", {}, "", 20, 128, "without 20 vCPUs free (most free 16 vCPUs)", "node n1 lacks 4 vCPUs"},
    {"both",
     {},
     "",
     20,
     1152,
     "without 1152 MiB of memory free (most free 1024 MiB of memory)",
     "node n1 lacks 128 MiB of memory and 4 vCPUs"},
    {"counter",
     {},
     "counters { name: 'licence' amount: 3 }",
     1,
     128,
     "without 3 of licence free (most free 1)",
     "node n1 lacks 2 of licence"},
    {"devices",
     {},
     "devices { kind: 'gpu' count: 3 }",
     1,
     128,
     "without 3 whole of device gpu free",
     "node n1 lacks 1 whole gpu"},
    {"model",
     {},
     "devices { kind: 'gpu' count: 1 models: 'h100' }",
     1,
     128,
     "without a gpu of a model that will do",
     "node n1 lacks a gpu of a model that will do"},
    {"reserved",
     {"set_reservation { reservation { name: 'r1' tenant: 'red' node_id: 1 memory_mib: 1000 "
      "priority: 1000 } }",
      "set_reservation { reservation { name: 'r2' tenant: 'red' node_id: 2 memory_mib: 1000 "
      "priority: 1000 } }"},
     "",
     1,
     128,
     "with too much memory reserved for other tenants",
     "2 nodes would take it if 104 MiB of memory were not reserved for other tenants"},
    {"quota",
     {"set_tenant { tenant { name: 'red' quota { vms_per_node: 1 } } }"},
     "tenant: 'red' full",
     1,
     128,
     "with all the VMs that tenant red may have on one",
     "2 nodes would take it if tenant red might have more VMs on one node"},
    {"group",
     {"set_group { group { name: 'g' rules { kind: GROUP_RULE_KIND_SPREAD level: "
      "TOPOLOGY_LEVEL_NODE max: 1 hard: true } } }"},
     "groups: 'g' full",
     1,
     128,
     "where group g would break its rule 'at most 1 in one node'",
     "2 nodes would take it without the rule 'at most 1 in one node' of group g"},
    {"constraint and room",
     {},
     "constraints { attribute: 'zone' op: CONSTRAINT_OP_EQUAL values: 'a' }",
     1,
     1152,
     "not meeting 'zone = a'",
     "node n1 would take it without the constraint 'zone = a', with 128 MiB of memory more"},
});

class Obstacles : public Explaining, public testing::WithParamInterface<std::size_t> {};

TEST_P(Obstacles, AreToldWithWhatWouldHelp) {
  const Row& row = kRows.at(GetParam());
  for (int node = 1; node <= 2; ++node) {
    must(
        fmt::format("register_node {{ node_id: {0} name: 'n{0}' {1} capacity {{ vcpus: 4 "
                    "memory_mib: 1024 disk_mib: 1000 counters {{ name: 'licence' amount: 1 }} "
                    "devices {{ kind: 'gpu' model: 'a100' count: 2 }} }} }}",
                    node, kFacts));
  }
  for (const char* command : row.commands)
    if (command != nullptr) must(command);
  std::string placement = row.placement;
  if (const auto full = placement.find(" full"); full != std::string::npos) {
    placement.resize(full);
    for (const std::uint64_t node : {1, 2}) {
      must_create(fmt::format("there-{}", node), placement);
      must_place(fmt::format("there-{}", node), node);
    }
  }
  v1::Command create = cluster::Scenario::create_command(
      "web", placement == "image" ? "" : placement, row.vcpus, row.memory_mib);
  if (placement == "image") create.mutable_create_vm()->mutable_spec()->set_image("arm");
  const auto created = cluster_.apply(create);
  ASSERT_TRUE(created) << created.error().message();

  const Explanation said = explain("web");
  EXPECT_EQ(said.nodes, 2U);
  EXPECT_EQ(said.fitting, 0U);
  EXPECT_FALSE(said.chosen);
  std::vector<std::string> causes;
  for (const Refusals::Cause& cause : said.causes)
    causes.push_back(cause.text);
  EXPECT_THAT(causes, testing::Contains(row.cause)) << row.what;
  EXPECT_THAT(said.verdict, HasSubstr("waits: none of 2 nodes can take it: ")) << row.what;
  ASSERT_FALSE(said.misses.empty()) << row.what;
  EXPECT_EQ(said.misses.front().text, row.miss) << row.what;
  ASSERT_THAT(said.refused, SizeIs(2)) << row.what;
  EXPECT_EQ(said.refused.front().node, "n1");
  EXPECT_THAT(causes, testing::Contains(said.refused.back().why));
}

INSTANTIATE_TEST_SUITE_P(Each, Obstacles, testing::Range<std::size_t>(0, kRows.size()),
                         [](const auto& row) {
                           std::string name = kRows.at(row.param).what;
                           std::ranges::replace(name, ' ', '_');
                           return name;
                         });

TEST_F(Explaining, ANodeThatPretendsAndOneThatToldNothing) {
  ASSERT_TRUE(cluster_.add_node(1, 4, 1024, "simulated"));
  ASSERT_TRUE(cluster_.add_node(2, 1, 100));
  ASSERT_TRUE(cluster_.add_node(3, 0, 0));
  must_create("web", "");
  const Explanation said = explain("web");
  EXPECT_EQ(said.verdict,
            "VM web waits: none of 3 nodes can take it: 1 that only pretend to run guests; 1 that "
            "told nothing of itself yet; 1 without 128 MiB of memory free (most free 100 MiB of "
            "memory)");
  ASSERT_THAT(said.misses, SizeIs(2));
  EXPECT_EQ(said.misses[0].text, "node n2 lacks 28 MiB of memory");
  EXPECT_EQ(said.misses[1].text, "node n1 would take it if its guests were real");
}

TEST_F(Explaining, AHostPortThatIsTaken) {
  ASSERT_TRUE(cluster_.create("there", 1, 128, 8080));
  must_place("there", 1);
  must("update_node { node_id: 2 cordoned: true }");
  ASSERT_TRUE(cluster_.create("web", 1, 128, 8080));
  const Explanation said = explain("web");
  ASSERT_THAT(said.misses, SizeIs(2));
  EXPECT_EQ(said.misses[0].text, "node n1 would take it if host port 8080 were free");
  EXPECT_EQ(said.misses[1].text, "node n2 would take it if it were not cordoned");
}

TEST_F(Explaining, WithoutNodesThereIsNothingToSay) {
  cluster_ = cluster::Scenario();
  ASSERT_TRUE(cluster_.add_image("alpine"));
  must_create("web", "");
  const Explanation said = explain("web");
  EXPECT_EQ(said.verdict, "VM web waits: no node has joined yet");
  EXPECT_EQ(said.nodes, 0U);
  EXPECT_THAT(said.misses, IsEmpty());
}

// Of the lacks of one kind the least counts, and what is lacked by the least share comes first.
TEST_F(Explaining, TheNearestMissComesFirst) {
  ASSERT_TRUE(cluster_.add_node(2, 4, 1200));
  ASSERT_TRUE(cluster_.add_node(3, 2, 4096));
  must_create("web", "", 10, 1300);
  const Explanation said = explain("web");
  ASSERT_THAT(said.misses, SizeIs(2));
  EXPECT_EQ(said.misses[0], (Misses::Miss{.text = "node n2 lacks 100 MiB of memory", .nodes = 2}));
  EXPECT_EQ(said.misses[1], (Misses::Miss{.text = "node n3 lacks 2 vCPUs", .nodes = 1}));
}

TEST_F(Explaining, AlternativesComeInTheOrderInWhichTheyWouldBeChosen) {
  most_available();
  for (const std::uint64_t node : {3, 4, 5})
    ASSERT_TRUE(cluster_.add_node(node, 4, 1024));
  for (const auto& [name, node] : std::vector<std::pair<std::string, std::uint64_t>>{
           {"a", 1}, {"b", 1}, {"c", 1}, {"d", 2}, {"e", 4}, {"f", 4}}) {
    must_create(name, "", 1, 200);
    must_place(name, node);
  }
  must_create("web", "");
  const Explanation said = explain("web");
  EXPECT_EQ(said.verdict, "VM web would go to node n3");
  EXPECT_EQ(said.fitting, 5U);
  EXPECT_EQ(chosen_name(said), "n3");
  EXPECT_THAT(names_of(said.alternatives), ElementsAre("n5", "n2", "n4"));
  EXPECT_GT(said.chosen->score, said.alternatives[1].score);
  EXPECT_THAT(wrong_scores(said), IsEmpty());
  EXPECT_THAT(said.misses, IsEmpty());
  EXPECT_EQ(plan_pending(cluster_.state).placements.at(0).node, NodeId(3));
  EXPECT_EQ(plan_pending(cluster_.state).placements.at(0).score, said.chosen->score);
}

// By the zone with the fewest VMs first, and not by score alone.
TEST_F(Explaining, TheOrderIsThatOfTheStrategy) {
  const auto stand = [&](int node, const char* zone, int memory_mib) {
    must(
        fmt::format("register_node {{ node_id: {0} name: 'n{0}' topology {{ datacenter: 'd' zone: "
                    "'{1}' }} capacity {{ vcpus: 4 memory_mib: {2} }} }}",
                    node, zone, memory_mib));
  };
  stand(1, "a", 4096);
  stand(2, "a", 4096);
  stand(3, "b", 1024);
  stand(4, "b", 1024);
  must(
      "set_policy { policy { strategy: STRATEGY_SPREAD_ACROSS_FAILURE_DOMAINS "
      "spread_level: TOPOLOGY_LEVEL_ZONE spread_domains_min: 2 } }");
  must_create("there", "");
  must_place("there", 1);
  must_create("web", "");
  const Explanation said = explain("web");
  EXPECT_EQ(chosen_name(said), "n3");
  EXPECT_THAT(names_of(said.alternatives), ElementsAre("n4", "n2", "n1"));
  EXPECT_EQ(said.strategy, cluster::Strategy::kSpreadAcrossFailureDomains);
  EXPECT_EQ(said.scored_by, cluster::Strategy::kMostAvailable);
}

TEST_F(Explaining, TooFewDomains) {
  must(
      "set_policy { policy { strategy: STRATEGY_SPREAD_ACROSS_FAILURE_DOMAINS "
      "spread_level: TOPOLOGY_LEVEL_ZONE spread_domains_min: 2 } }");
  must_create("web", "");
  const Explanation said = explain("web");
  EXPECT_EQ(said.fitting, 2U);
  EXPECT_FALSE(said.chosen);
  EXPECT_EQ(said.verdict,
            "VM web waits: fewer than 2 failure domains can take it, which the policy asks for");
}

TEST_F(Explaining, SoftRulesAreAPartOfTheScore) {
  most_available();
  must(
      "set_group { group { name: 'g' rules { kind: GROUP_RULE_KIND_SPREAD level: "
      "TOPOLOGY_LEVEL_NODE max: 1 weight: 50 } } }");
  must_create("there", "groups: 'g'");
  must_place("there", 1);
  must_create("web", "groups: 'g'");
  const Explanation said = explain("web");
  EXPECT_EQ(chosen_name(said), "n2");
  ASSERT_THAT(said.alternatives, SizeIs(1));
  EXPECT_EQ(said.alternatives[0].parts.back(),
            (ScorePart{.name = "soft rules of groups", .score = -5 * kPoint}));
  EXPECT_THAT(wrong_scores(said), IsEmpty());
  EXPECT_EQ(said.chosen->score, plan_pending(cluster_.state).placements.at(0).score);
}

// Its own room, port, rule and quota do not keep it from where it is.
TEST_F(Explaining, APlacedVmIsLookedAtAsIfItWereNotThere) {
  most_available();
  must(
      "set_group { group { name: 'g' rules { kind: GROUP_RULE_KIND_SPREAD level: "
      "TOPOLOGY_LEVEL_NODE max: 1 hard: true } } }");
  must("set_tenant { tenant { name: 'red' quota { vms_per_node: 1 } } }");
  v1::Command create =
      cluster::Scenario::create_command("web", "groups: 'g' tenant: 'red'", 1, 1024);
  auto& port = *create.mutable_create_vm()->mutable_spec()->add_published_ports();
  port.set_host_port(8080);
  port.set_guest_port(80);
  ASSERT_TRUE(cluster_.apply(create));
  must_place("web", 1);
  const Explanation said = explain("web");
  EXPECT_EQ(said.verdict, "VM web is on node n1");
  EXPECT_EQ(said.fitting, 2U);
  EXPECT_EQ(chosen_name(said), "n1");
  EXPECT_EQ(said.chosen->score, 100 * kPoint);  // of an empty node
  EXPECT_THAT(names_of(said.alternatives), ElementsAre("n2"));
  EXPECT_THAT(wrong_scores(said), IsEmpty());
}

TEST_F(Explaining, APlacedVmThatWouldGoElsewhereNow) {
  most_available();
  must_create("web", "");
  must_place("web", 1);
  must_create("there", "", 1, 512);
  must_place("there", 1);
  EXPECT_EQ(explain("web").verdict, "VM web is on node n1; node n2 would be chosen now");
  must("update_node { node_id: 1 cordoned: true }");
  const Explanation said = explain("web");
  EXPECT_EQ(said.verdict,
            "VM web is on node n1, which would not take it now: cordoned; node n2 would be chosen "
            "now");
  EXPECT_EQ(chosen_name(said), "n1");
  EXPECT_THAT(said.chosen->parts, IsEmpty());
  EXPECT_THAT(names_of(said.alternatives), ElementsAre("n2"));
}

TEST_F(Explaining, ManyRefusedNodesAreCountedAndNotAllNamed) {
  for (std::uint64_t node = 3; node <= kRefusedNodes + 20; ++node)
    ASSERT_TRUE(cluster_.add_node(node, 4, 1024));
  must_create("web", "", 1, 2048);
  const Explanation said = explain("web");
  EXPECT_EQ(said.nodes, kRefusedNodes + 20);
  EXPECT_THAT(said.refused, SizeIs(kRefusedNodes));
  EXPECT_EQ(said.causes.at(0).nodes, kRefusedNodes + 20);
}

TEST_F(Explaining, OneThatWaitsForOthersToLeave) {
  for (const std::uint64_t node : {1, 2}) {
    const std::string name = fmt::format("low-{}", node);
    must_create(name, "priority: 1 preemptible: true", 1, 1000);
    must_place(name, node);
  }
  must_create("high", "priority: 900", 1, 900);
  must_create("next", "priority: 800", 1, 900);
  carry_out(plan_pending(cluster_.state), cluster_);
  const Explanation said = explain("high");
  ASSERT_THAT(said.leaving, SizeIs(1));
  EXPECT_EQ(said.verdict, "VM high waits for 1 VMs of lower priority to leave");
  EXPECT_EQ(said.ahead, 0U);
  EXPECT_EQ(explain("next").ahead, 1U);
}

// What is being made free for one is not for those after it.
TEST_F(Explaining, RoomThatIsKeptForAnotherIsNotThere) {
  must("update_node { node_id: 2 cordoned: true }");
  must_create("low", "priority: 1 preemptible: true", 1, 700);
  must_place("low", 1);
  must_create("high", "priority: 900", 1, 900);
  carry_out(plan_pending(cluster_.state), cluster_);
  must_create("small", "priority: 5", 1, 200);
  const Explanation said = explain("small");
  EXPECT_FALSE(said.chosen);
  EXPECT_THAT(plan_pending(cluster_.state).placements, IsEmpty());
}

TEST_F(Explaining, AGangThatIsNotComplete) {
  must("set_group { group { name: 'g' gang: 3 } }");
  must_create("g1", "groups: 'g'");
  must_create("g2", "groups: 'g'");
  const Explanation said = explain("g1");
  ASSERT_THAT(said.gangs, SizeIs(1));
  EXPECT_EQ(said.verdict,
            "VM g1 waits for its gang: of group g 3 are placed at once, 0 are placed and 2 wait");
}

}  // namespace
}  // namespace blixard::sched

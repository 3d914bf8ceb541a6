// What is true of every decision, whatever fleet and requests there are.

#include "core/sched/decide.h"

#include <rapidcheck.h>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "core/sched/shape.h"
#include "core/sched/strategy.h"
#include "core/sched/test_fleet.h"

namespace blixard::sched {
namespace {

using cluster::Strategy;

constexpr std::array kIndexed = {Strategy::kFragmentationAware, Strategy::kMostAvailable,
                                 Strategy::kLeastAvailable, Strategy::kRoundRobin};

FleetNode some_node(std::uint64_t id) {
  FleetNode node =
      node_of(id, *rc::gen::inRange(0, 9) * 1000, *rc::gen::inRange(0, 9) * 1024,
              *rc::gen::inRange<std::uint32_t>(0, 5), *rc::gen::element<std::string>("a", "b", ""));
  if (*rc::gen::inRange(0, 8) == 0) node.closed = Closed::kCordoned;
  return node;
}

Request some_request() {
  Request request = request_for(*rc::gen::inRange(0, 4) * 700, *rc::gen::inRange(0, 4) * 600,
                                *rc::gen::inRange<std::uint32_t>(0, 3));
  request.name = Name("vm-" + std::to_string(*rc::gen::inRange(0, 1000)));
  if (request.demand.devices.empty()) return request;
  resources::DeviceNeed& need = request.demand.devices[0];
  if (need.count == 1) need.milli = *rc::gen::element(1000, 1000, 500, 330, 810);
  if (*rc::gen::inRange(0, 3) == 0) need.models = {Name("a")};
  return request;
}

std::vector<FleetNode> some_nodes() {
  std::vector<FleetNode> nodes;
  const auto count = *rc::gen::inRange<std::uint64_t>(0, 40);
  for (std::uint64_t id = 1; id <= count; ++id)
    nodes.push_back(some_node(id));
  return nodes;
}

struct Placed {
  NodeId node;
  Request request;
  resources::DeviceNumbers devices;
};

// The best that looking at every node finds.
Decision by_looking_at_all(const Fleet& fleet, const Shape& shape) {
  Decision best;
  for (NodeIndex at = 0; at < fleet.size(); ++at) {
    if (fleet.node(at).closed != Closed::kOpen || !fleet.room(at).fits(shape.demand)) continue;
    const Score score = base_score(fleet, at, shape);
    if (!best.is_placed() || score > best.score) best = {.at = at, .score = score};
  }
  return best;
}

void renew_mix(Fleet& fleet, const std::vector<Placed>& placed) {
  ShapeCounts counts;
  for (const Placed& each : placed)
    ++counts[typical(each.request.demand)];
  fleet.set_mix(mix_of(counts));
}

// Nodes come, change and go, VMs too: the kept scores never lead elsewhere than a look at all.
RC_GTEST_PROP(Decide, IsTheBestOfAllAndNeverBreaksRoom, ()) {
  const Strategy strategy = *rc::gen::elementOf(kIndexed);
  Fleet fleet = fleet_of_nodes(some_nodes(), strategy);
  std::vector<Placed> placed;
  const int steps = *rc::gen::inRange(0, 60);
  for (int step = 0; step < steps; ++step) {
    const int kind = *rc::gen::inRange(0, 12);
    if (kind == 0 && !placed.empty()) {
      const Placed gone = placed.back();
      placed.pop_back();
      fleet.give_back(fleet.find(gone.node), gone.request, gone.devices);
    } else if (kind == 1) {
      renew_mix(fleet, placed);
    } else if (kind == 2) {
      const NodeId id(*rc::gen::inRange<std::uint64_t>(1, 60));
      std::erase_if(placed, [&](const Placed& each) { return each.node == id; });
      fleet.put(some_node(id.value));
    } else if (kind == 3) {
      const NodeId id(*rc::gen::inRange<std::uint64_t>(1, 60));
      std::erase_if(placed, [&](const Placed& each) { return each.node == id; });
      fleet.remove(id);
    }
    const Request request = some_request();
    const Decision decision = decide(fleet, request, {.search = Search::kExact});
    const Decision best =
        by_looking_at_all(fleet, fleet.shapes().of(request, strategy, fleet.classes()));
    RC_ASSERT(decision.at == best.at);
    const Decision sampled = decide(fleet, request, {.search = Search::kSampled, .seed = 7});
    RC_ASSERT(sampled.is_placed() == decision.is_placed());
    if (!decision.is_placed()) continue;
    RC_ASSERT(decision.score == best.score);
    RC_ASSERT(sampled.score <= decision.score);
    for (const Decision& each : {decision, sampled}) {
      RC_ASSERT(fleet.node(each.at).closed == Closed::kOpen);
      RC_ASSERT(fleet.room(each.at).fits(request.demand));
      RC_ASSERT(fleet.room(each.at).serves(request.demand, each.devices));
    }
    fleet.take(decision.at, request, decision.devices);
    placed.push_back(
        {.node = fleet.node(decision.at).id, .request = request, .devices = decision.devices});
  }
}

// The same nodes with the same VMs: the same answers, in whatever order they came.
RC_GTEST_PROP(Decide, DoesNotDependOnTheOrderOfNodes, ()) {
  const Strategy strategy = *rc::gen::elementOf(kIndexed);
  std::vector<FleetNode> nodes = some_nodes();
  Fleet first = fleet_of_nodes(nodes, strategy);
  // Shuffled by what RapidCheck draws.
  for (std::size_t left = nodes.size(); left > 1; --left)
    std::swap(nodes[left - 1], nodes[*rc::gen::inRange<std::size_t>(0, left)]);
  Fleet second = fleet_of_nodes(nodes, strategy);
  std::vector<Placed> placed;
  for (int step = 0; step < 20; ++step) {
    if (step == 10) {
      renew_mix(first, placed);
      renew_mix(second, placed);
    }
    const Request request = some_request();
    const Situation situation{.search = *rc::gen::element(Search::kExact, Search::kSampled),
                              .seed = 3};
    const Decision decision = decide(first, request, situation);
    const Decision again = decide(second, request, situation);
    RC_ASSERT(decision.at == again.at);
    RC_ASSERT(decision.devices == again.devices);
    RC_ASSERT(decision.score == again.score);
    if (!decision.is_placed()) continue;
    first.take(decision.at, request, decision.devices);
    second.take(again.at, request, again.devices);
    placed.push_back({.node = {}, .request = request, .devices = {}});
  }
}

RC_GTEST_PROP(RoomTree, FindsTheFirstThatHasEnough, ()) {
  const auto sizes = *rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 20));
  RoomTree tree;
  tree.resize(sizes.size());
  std::vector<RoomTree::Most> nodes;
  for (std::size_t at = 0; at < sizes.size(); ++at) {
    RoomTree::Most most{.cpu_milli = sizes[at], .memory_mib = *rc::gen::inRange(0, 20)};
    most.disk_mib = most.network_mbit = most.device_milli = most.whole_devices = 0;
    nodes.push_back(most);
    tree.set(static_cast<NodeIndex>(at), most);
    if (*rc::gen::inRange(0, 4) == 0) tree.settle();
  }
  tree.settle();
  for (int look = 0; look < 10; ++look) {
    RoomTree::Most need{.cpu_milli = RoomTree::needed(*rc::gen::inRange(0, 21)),
                        .memory_mib = RoomTree::needed(*rc::gen::inRange(0, 21)),
                        .disk_mib = RoomTree::kNothing,
                        .network_mbit = RoomTree::kNothing,
                        .device_milli = RoomTree::kNothing,
                        .whole_devices = RoomTree::kNothing};
    const auto from = *rc::gen::inRange<NodeIndex>(0, static_cast<NodeIndex>(nodes.size() + 1));
    const auto end = *rc::gen::inRange<NodeIndex>(from, static_cast<NodeIndex>(nodes.size() + 1));
    NodeIndex expected = kNoNode;
    for (NodeIndex at = from; at < end && expected == kNoNode; ++at) {
      if (nodes[at].cpu_milli >= need.cpu_milli && nodes[at].memory_mib >= need.memory_mib)
        expected = at;
    }
    RC_ASSERT(tree.first(need, from, end) == expected);
  }
}

TEST(Decide, HostPortsGoToOneVmOfANode) {
  Fleet fleet = fleet_of_nodes({node_of(1, 9000, 9000), node_of(2, 1000, 1000)});
  const Circumstances circumstances;
  const Situation situation{.circumstances = &circumstances};
  Request request = request_for(10, 10);
  request.ports = {80};
  EXPECT_EQ(place_on_best(fleet, request, situation), 1u);
  EXPECT_EQ(place_on_best(fleet, request, situation), 2u);
  EXPECT_EQ(place_on_best(fleet, request, situation), 0u);
}

TEST(Decide, WhatWasRefusedIsLookedAtAgainOnceThereIsRoom) {
  for (const Search search : {Search::kExact, Search::kSampled}) {
    Fleet fleet = fleet_of_nodes({node_of(1, 1000, 1000)});
    const Situation situation{.search = search};
    const Request request = request_for(600, 600);
    EXPECT_EQ(place_on_best(fleet, request, situation), 1u);
    EXPECT_EQ(chosen(fleet, request, situation), 0u);
    fleet.give_back(0, request, {});
    EXPECT_EQ(chosen(fleet, request, situation), 1u);
    fleet.take(0, request, {});
    EXPECT_EQ(chosen(fleet, request, situation), 0u);
    fleet.put(node_of(2, 1000, 1000));
    EXPECT_EQ(chosen(fleet, request, situation), 2u);
  }
}

// In the order in which they would be chosen, each passed over once it was.
std::vector<std::uint64_t> in_order(Fleet& fleet, const Request& request, Search search) {
  std::vector<std::uint64_t> order;
  std::vector<NodeIndex> passed_over;
  while (true) {
    const Decision decision =
        decide(fleet, request, {.search = search, .passed_over = passed_over});
    if (!decision.is_placed()) return order;
    order.push_back(fleet.node(decision.at).id.value);
    passed_over.push_back(decision.at);
  }
}

TEST(PassedOver, TheNextBestIsChosen) {
  for (const Search search : {Search::kExact, Search::kSampled}) {
    Fleet fleet = fleet_of_nodes({node_of(1, 4000, 1000), node_of(2, 4000, 50),
                                  node_of(3, 4000, 3000), node_of(4, 4000, 200)},
                                 cluster::Strategy::kLeastAvailable);
    EXPECT_EQ(in_order(fleet, request_for(1000, 100), search),
              (std::vector<std::uint64_t>{4, 1, 3}));
    EXPECT_TRUE(decide(fleet, request_for(1000, 100), {.search = search}).is_placed());
  }
}

// What it costs to be cheap is what it was.
TEST(PassedOver, TheCheapestStillCounts) {
  std::vector<FleetNode> nodes = {node_of(1, 4000, 1000), node_of(2, 4000, 1000),
                                  node_of(3, 4000, 1000)};
  nodes[0].cost_per_hour_micro = 100;
  nodes[1].cost_per_hour_micro = 109;
  nodes[2].cost_per_hour_micro = 200;
  Fleet fleet = fleet_of_nodes(std::move(nodes), cluster::Strategy::kCostOptimized);
  EXPECT_EQ(in_order(fleet, request_for(1000, 100), Search::kExact),
            (std::vector<std::uint64_t>{1, 2}));
}

}  // namespace
}  // namespace blixard::sched

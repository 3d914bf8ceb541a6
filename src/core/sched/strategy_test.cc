// Every strategy by its rule.

#include "core/sched/strategy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/sched/test_fleet.h"

namespace blixard::sched {
namespace {

using cluster::Strategy;

void use(Fleet& fleet, std::uint64_t id, const Request& request) {
  const NodeIndex at = fleet.find(NodeId(id));
  fleet.take(at, request, fleet.room(at).choose_devices(request.demand));
}

Request wishing(Request request, const cluster::Wishes& wishes) {
  request.wishes = wishes;
  return request;
}

TEST(MostAvailable, IsTheHighestMeanOfFreeShares) {
  // Free: 50 % and 100 % = 75; 90 % and 50 % = 70; 60 % and 80 % = 70.
  Fleet fleet =
      fleet_of_nodes({node_of(1, 1000, 1000), node_of(2, 1000, 1000), node_of(3, 1000, 1000)});
  use(fleet, 1, request_for(500, 0));
  use(fleet, 2, request_for(100, 500));
  use(fleet, 3, request_for(400, 200));
  EXPECT_EQ(chosen(fleet, request_for(1, 1)), 1u);
  // Disk counts where the node has some: (50 + 100 + 0) / 3.
  FleetNode with_disk = node_of(1, 1000, 1000);
  with_disk.supply.amounts.disk_mib = 10;
  fleet.put(with_disk);
  use(fleet, 1, request_for(500, 0));
  Request disk = request_for(0, 0);
  disk.demand.amounts.disk_mib = 10;
  use(fleet, 1, disk);
  EXPECT_EQ(chosen(fleet, request_for(1, 1)), 2u);
}

TEST(MostAvailable, TiesGoToTheLowestId) {
  Fleet fleet = fleet_of_nodes({node_of(7, 1000, 1000), node_of(3, 1000, 1000)});
  EXPECT_EQ(chosen(fleet, request_for(1, 1)), 3u);
}

TEST(MostAvailable, PartsAreItsShares) {
  Fleet fleet = fleet_of_nodes({node_of(1, 1000, 1000)});
  use(fleet, 1, request_for(500, 250));
  Shape& shape = fleet.shapes().of(request_for(1, 1), Strategy::kMostAvailable, fleet.classes());
  std::vector<ScorePart> parts;
  EXPECT_EQ(base_score(fleet, 0, shape, &parts), 62'500'000);
  EXPECT_THAT(parts, testing::ElementsAre(ScorePart{"free cpu", 25 * kPoint},
                                          ScorePart{"free memory", 37'500'000}));
}

TEST(LeastAvailable, IsTheFullestNodeThatTakesIt) {
  Fleet fleet =
      fleet_of_nodes({node_of(1, 1000, 1000), node_of(2, 1000, 1000), node_of(3, 1000, 1000)},
                     Strategy::kLeastAvailable);
  use(fleet, 2, request_for(500, 500));
  use(fleet, 3, request_for(900, 900));
  EXPECT_EQ(chosen(fleet, request_for(100, 100)), 3u);
  EXPECT_EQ(chosen(fleet, request_for(200, 100)), 2u);
}

TEST(LeastAvailable, CountsTheVmItself) {
  // The small node would be used by 80 %, the large one, which has more on it, by 60 %.
  Fleet fleet =
      fleet_of_nodes({node_of(1, 4000, 4000), node_of(2, 1000, 1000)}, Strategy::kLeastAvailable);
  use(fleet, 1, request_for(1600, 1600));
  EXPECT_EQ(chosen(fleet, request_for(800, 800)), 2u);
}

TEST(RoundRobin, IsTheNodeWithFewestVms) {
  Fleet fleet =
      fleet_of_nodes({node_of(1, 9000, 9000), node_of(2, 1000, 1000), node_of(3, 1000, 1000)},
                     Strategy::kRoundRobin);
  std::vector<std::uint64_t> order;
  for (int vm = 0; vm < 6; ++vm)
    order.push_back(place_on_best(fleet, request_for(10, 10)));
  EXPECT_THAT(order, testing::ElementsAre(1, 2, 3, 1, 2, 3));
}

TEST(Manual, IsTheNamedNodeOrNone) {
  Fleet fleet = fleet_of_nodes({node_of(1, 1000, 1000), node_of(2, 100, 100)}, Strategy::kManual);
  cluster::Wishes wishes;
  wishes.node = Name("n2");
  EXPECT_EQ(chosen(fleet, wishing(request_for(10, 10), wishes)), 2u);
  EXPECT_EQ(chosen(fleet, wishing(request_for(200, 10), wishes)), 0u);
  EXPECT_EQ(chosen(fleet, request_for(10, 10)), 0u);
}

TEST(PriorityBased, BeginsWithTheClustersOwnStrategy) {
  Fleet fleet =
      fleet_of_nodes({node_of(1, 1000, 1000), node_of(2, 1000, 1000)}, Strategy::kLeastAvailable);
  use(fleet, 2, request_for(500, 500));
  cluster::Wishes wishes;
  wishes.strategy = Strategy::kPriorityBased;
  EXPECT_EQ(chosen(fleet, wishing(request_for(10, 10), wishes)), 2u);
}

class Locality : public testing::Test {
 protected:
  Locality() : fleet_(fleet_of_nodes({at(1, "a", "a1"), at(2, "a", "a2"), at(3, "b", "b1")})) {
    use(fleet_, 1, request_for(900, 900));
    use(fleet_, 2, request_for(500, 500));
    wishes_.strategy = Strategy::kLocalityAware;
  }
  static FleetNode at(std::uint64_t id, const char* datacenter, const char* zone) {
    FleetNode node = node_of(id, 1000, 1000);
    node.topology = {.datacenter = Name(datacenter), .zone = Name(zone), .rack = {}};
    return node;
  }
  std::uint64_t choice(std::int64_t size = 10) {
    return chosen(fleet_, wishing(request_for(size, size), wishes_));
  }

  Fleet fleet_;
  cluster::Wishes wishes_;
};

TEST_F(Locality, KeepsThePreferredDatacenterThenZoneWhileTheyTakeIt) {
  EXPECT_EQ(choice(), 3u);  // nothing is preferred: the emptiest
  wishes_.locality.datacenter = Name("a");
  EXPECT_EQ(choice(), 2u);
  wishes_.locality.zone = Name("a1");
  EXPECT_EQ(choice(), 1u);
  EXPECT_EQ(choice(200), 2u);
  EXPECT_EQ(choice(800), 3u);
}

TEST_F(Locality, StrictFails) {
  wishes_.locality.datacenter = Name("a");
  wishes_.locality.strict = true;
  EXPECT_EQ(choice(500), 2u);
  EXPECT_EQ(choice(600), 0u);
  wishes_.locality.zone = Name("a1");
  EXPECT_EQ(choice(500), 0u);
}

TEST_F(Locality, ExcludedDatacentersAreOut) {
  wishes_.locality.excluded_datacenters = {Name("b")};
  EXPECT_EQ(choice(), 2u);
  EXPECT_EQ(choice(600), 0u);
}

TEST_F(Locality, LatencyIsLimited) {
  wishes_.locality.datacenter = Name("a");
  wishes_.locality.max_latency_ms = 10;
  EXPECT_EQ(choice(600), 0u);  // nobody told how far b is
  cluster::PlacementPolicy policy = fleet_.policy();
  policy.latencies = {{.a = Name("a"), .b = Name("b"), .ms = 11}};
  fleet_.set_policy(policy);
  EXPECT_EQ(choice(600), 0u);
  policy.latencies[0].ms = 10;
  fleet_.set_policy(policy);
  EXPECT_EQ(choice(600), 3u);
}

TEST_F(Locality, SpreadTakesTheDomainWithFewestVmsThenTheEmptiestNode) {
  wishes_.strategy = Strategy::kSpreadAcrossFailureDomains;
  cluster::PlacementPolicy policy = fleet_.policy();
  policy.spread_level = cluster::TopologyLevel::kDatacenter;
  fleet_.set_policy(policy);
  EXPECT_EQ(choice(), 3u);  // a has two VMs, b none
  for (int vm = 0; vm < 3; ++vm)
    use(fleet_, 3, request_for(1, 1));
  EXPECT_EQ(choice(), 2u);
  policy.spread_level = cluster::TopologyLevel::kZone;
  fleet_.set_policy(policy);
  EXPECT_EQ(choice(), 1u);  // one VM in a1, one in a2, three in b1
}

TEST_F(Locality, SpreadFailsWithFewerDomainsThanTheLeast) {
  wishes_.strategy = Strategy::kSpreadAcrossFailureDomains;
  cluster::PlacementPolicy policy = fleet_.policy();
  policy.spread_level = cluster::TopologyLevel::kDatacenter;
  policy.spread_domains_min = 2;
  fleet_.set_policy(policy);
  EXPECT_EQ(choice(), 3u);
  EXPECT_EQ(choice(600), 0u);  // only b takes it
  policy.spread_domains_min = 1;
  fleet_.set_policy(policy);
  EXPECT_EQ(choice(600), 3u);
}

TEST(CostOptimized, IsTheEmptiestWithinThePercentOfTheCheapest) {
  std::vector<FleetNode> nodes = {node_of(1, 1000, 1000), node_of(2, 1000, 1000),
                                  node_of(3, 1000, 1000)};
  nodes[0].cost_per_hour_micro = 1000;
  nodes[1].cost_per_hour_micro = 1100;
  nodes[2].cost_per_hour_micro = 1101;
  Fleet fleet = fleet_of_nodes(nodes, Strategy::kCostOptimized);
  use(fleet, 1, request_for(500, 500));
  use(fleet, 2, request_for(100, 100));
  EXPECT_EQ(chosen(fleet, request_for(10, 10)), 2u);
  cluster::PlacementPolicy policy = fleet.policy();
  policy.cost_increase_percent = 0;
  fleet.set_policy(policy);
  EXPECT_EQ(chosen(fleet, request_for(10, 10)), 1u);
  // The cheapest of those that take it.
  EXPECT_EQ(chosen(fleet, request_for(600, 10)), 2u);
  EXPECT_EQ(chosen(fleet, request_for(950, 10)), 3u);
}

TEST(Preferences, AddTheirWeight) {
  std::vector<FleetNode> nodes = {node_of(1, 1000, 1000), node_of(2, 1000, 1000)};
  nodes[1].attributes = {{.key = "label.disk", .value = "ssd"}};
  Fleet fleet = fleet_of_nodes(nodes);
  use(fleet, 2, request_for(200, 200));
  const auto preferring = [](std::int32_t weight) {
    cluster::Wishes wishes;
    wishes.preferences = {
        {.constraint = {.attribute = "label.disk", .values = {"ssd"}}, .weight = weight}};
    return wishing(request_for(10, 10), wishes);
  };
  EXPECT_EQ(chosen(fleet, preferring(19)), 1u);
  EXPECT_EQ(chosen(fleet, preferring(21)), 2u);
  EXPECT_EQ(chosen(fleet, preferring(-21)), 1u);
}

TEST(Taints, AvoidCostsTwentyPointsUnlessTolerated) {
  std::vector<FleetNode> nodes = {node_of(1, 1000, 1000), node_of(2, 1000, 1000)};
  nodes[0].taints = {{.key = "noisy", .value = "yes", .effect = cluster::TaintEffect::kAvoid}};
  Fleet fleet = fleet_of_nodes(nodes);
  use(fleet, 2, request_for(190, 190));
  EXPECT_EQ(chosen(fleet, request_for(10, 10)), 2u);
  cluster::Wishes wishes;
  wishes.tolerations = {{.key = "noisy", .value = ""}};
  EXPECT_EQ(chosen(fleet, wishing(request_for(10, 10), wishes)), 1u);
  use(fleet, 2, request_for(20, 20));
  EXPECT_EQ(chosen(fleet, request_for(10, 10)), 1u);
}

// What the table of the header says of the default.
TEST(FragmentationAware, KeepsWholeDevicesWholeAndCpuBesideThem) {
  Fleet fleet = fleet_of_nodes({node_of(1, 8000, 8000, 1), node_of(2, 8000, 8000, 2)},
                               Strategy::kFragmentationAware);
  ShapeCounts counts;
  counts[typical(request_for(1000, 1000, 1, 500).demand)] = 1;
  counts[typical(request_for(4000, 1000, 1).demand)] = 1;
  fleet.set_mix(mix_of(counts));
  EXPECT_EQ(place_on_best(fleet, request_for(1000, 1000, 1, 500)), 1u);
  // The rest of the device that is broken already, not a whole one.
  EXPECT_EQ(place_on_best(fleet, request_for(1000, 1000, 1, 500)), 1u);
  // CPU without devices is of use to nobody else; beside two devices it is.
  EXPECT_EQ(place_on_best(fleet, request_for(6000, 1000)), 1u);
}

TEST(FragmentationAware, GivesAModelThatOthersNeedLast) {
  Fleet fleet = fleet_of_nodes({node_of(1, 8000, 8000, 1, "rare"), node_of(2, 8000, 8000, 1, "b")},
                               Strategy::kFragmentationAware);
  Request any = request_for(1000, 1000, 1);
  Request rare = any;
  rare.demand.devices[0].models = {Name("rare")};
  ShapeCounts counts;
  counts[typical(any.demand)] = 4;
  counts[typical(rare.demand)] = 1;
  fleet.set_mix(mix_of(counts));
  EXPECT_EQ(place_on_best(fleet, any), 2u);
  EXPECT_EQ(place_on_best(fleet, rare), 1u);
}

}  // namespace
}  // namespace blixard::sched

#include "core/sched/decide.h"

#include <algorithm>
#include <array>
#include <map>
#include <tuple>
#include <vector>

#include "core/sched/feasible.h"
#include "core/sched/shape.h"
#include "core/sched/strategy.h"

namespace blixard::sched {

namespace {

using cluster::Strategy;

struct Best {
  NodeIndex at = kNoNode;
  Score score = kNoScore;

  void offer(NodeIndex node, Score offered) {
    if (at == kNoNode || offered > score || (offered == score && node < at))
      *this = {.at = node, .score = offered};
  }
};

class Decider {
 public:
  Decider(Fleet& fleet, const Request& request, const Situation& situation)
      : fleet_(fleet),
        request_(request),
        situation_(situation),
        strategy_(strategy_of(*request.wishes, fleet.policy())),
        shape_(fleet.shapes().of(request, strategy_, fleet.classes())),
        has_neighbours_(situation.circumstances != nullptr &&
                        situation.circumstances->matter_to(request)) {}

  Best run() {
    if (shape_.refused_at == fleet_.growth() || fleet_.size() == 0) return {};
    if (strategy_ == Strategy::kSpreadAcrossFailureDomains) return spread();
    if (strategy_ == Strategy::kCostOptimized) return cheap();
    const bool is_exact = situation_.search == Search::kExact ||
                          (situation_.search == Search::kBySize && fleet_.size() <= kExactNodes);
    return is_exact ? exact() : sampled();
  }

  Best on(NodeIndex at) {
    const Score score = with_neighbours(at, score_at(fleet_, at, shape_));
    return score == kNoScore ? Best() : Best{.at = at, .score = score};
  }

 private:
  // Less what other VMs make of it; kNoScore if they forbid it.
  [[nodiscard]] Score with_neighbours(NodeIndex at, Score base) const {
    if (!has_neighbours_ || base == kNoScore) return base;
    const Circumstances& circumstances = *situation_.circumstances;
    if (circumstances.obstacle(fleet_, at, request_)) return kNoScore;
    return base - circumstances.penalty(fleet_, at, request_);
  }

  void offer(Best& best, NodeIndex at, Score score) const {
    if (std::ranges::find(situation_.passed_over, at) == situation_.passed_over.end())
      best.offer(at, score);
  }

  Best exact() {
    if (shape_.index == nullptr) shape_.index = std::make_unique<ScoreIndex>();
    ScoreIndex& index = *shape_.index;
    index.follow(fleet_, [this](NodeIndex at) { return score_at(fleet_, at, shape_); });
    const NodeIndex first = index.best();
    if (first == kNoNode) {
      shape_.refused_at = fleet_.growth();
      return {};
    }
    const bool is_it = !has_neighbours_ && situation_.passed_over.empty();
    if (is_it) return {.at = first, .score = index.score(first)};
    // Neighbours only take away, so what scores less by itself is not better with them.
    Best best;
    index.best_first([&](NodeIndex at, Score base) {
      if (best.at != kNoNode && base < best.score) return false;
      if (const Score score = with_neighbours(at, base); score != kNoScore) offer(best, at, score);
      return true;
    });
    return best;
  }

  // Part of the fleet, walked once around from somewhere in it.
  struct Walk {
    NodeIndex begin = 0;
    NodeIndex end = 0;
    NodeIndex start = 0;
    NodeIndex next = 0;
    bool is_around = false;  // behind the end and at the begin again
    bool is_over = false;
  };

  NodeIndex step(Walk& walk, const RoomTree& tree) const {
    while (!walk.is_over) {
      const NodeIndex limit = walk.is_around ? walk.start : walk.end;
      const NodeIndex found =
          walk.next < limit ? tree.first(shape_.need, walk.next, limit) : kNoNode;
      if (found != kNoNode) {
        walk.next = found + 1;
        return found;
      }
      walk.is_over = walk.is_around;
      walk.is_around = true;
      walk.next = walk.begin;
    }
    return kNoNode;
  }

  // Candidates from all parts of the fleet alike, and from any part if the others have none.
  Best sampled() {
    constexpr NodeIndex kParts = 8;
    const RoomTree& tree = fleet_.tree();
    const auto nodes = static_cast<std::uint64_t>(fleet_.size());
    std::array<Walk, kParts> walks;
    std::uint64_t random =
        mixed(hash(request_.name.text()) ^ (situation_.seed * kOdd)) + fleet_.all_vms();
    for (NodeIndex part = 0; part < kParts; ++part) {
      Walk& walk = walks[part];
      walk.begin = static_cast<NodeIndex>(nodes * part / kParts);
      walk.end = static_cast<NodeIndex>(nodes * (part + 1) / kParts);
      random = mixed(random + kOdd);
      const NodeIndex length = walk.end - walk.begin;
      walk.is_over = length == 0;
      walk.start = walk.begin + (length == 0 ? 0 : static_cast<NodeIndex>(random % length));
      walk.next = walk.start;
      if (!walk.is_over) fleet_.prefetch(walk.start);
    }
    Best best;
    bool had_room = false;
    std::size_t candidates = 0;
    const auto look = [&](Walk& walk) {
      const NodeIndex at = step(walk, tree);
      if (at == kNoNode) return;
      const Score base = score_at(fleet_, at, shape_);
      if (base == kNoScore) return;
      had_room = true;
      const Score score = with_neighbours(at, base);
      if (score == kNoScore) return;
      ++candidates;
      offer(best, at, score);
    };
    for (std::size_t quota = kCandidates / kParts; candidates < kCandidates; quota = kCandidates) {
      bool is_over = true;
      for (Walk& walk : walks) {
        const std::size_t wanted = std::min(kCandidates, candidates + quota);
        while (!walk.is_over && candidates < wanted)
          look(walk);
        is_over &= walk.is_over;
      }
      if (is_over) break;
    }
    if (!had_room) shape_.refused_at = fleet_.growth();
    return best;
  }

  template <class Visit>
  void each_feasible(Visit visit) {
    for (NodeIndex at = 0; at < fleet_.size(); ++at) {
      const Score score = with_neighbours(at, score_at(fleet_, at, shape_));
      if (score != kNoScore) visit(at, score);
    }
  }

  using Domain = std::tuple<NodeId, Name, Name, Name>;
  [[nodiscard]] Domain domain_of(NodeIndex at) const {
    using cluster::TopologyLevel;
    const FleetNode& node = fleet_.node(at);
    const cluster::Topology& place = node.topology;
    const TopologyLevel level = fleet_.policy().spread_level;
    if (level == TopologyLevel::kNode) return {node.id, {}, {}, {}};
    if (level == TopologyLevel::kDatacenter) return {{}, place.datacenter, {}, {}};
    if (level == TopologyLevel::kZone) return {{}, place.datacenter, place.zone, {}};
    return {{}, place.datacenter, place.zone, place.rack};
  }

  // All VMs of a domain count, also those on nodes that cannot take this one.
  Best spread() {
    std::map<Domain, std::uint64_t> vms;
    for (NodeIndex at = 0; at < fleet_.size(); ++at)
      vms[domain_of(at)] += fleet_.vms(at);
    std::map<Domain, Best> bests;
    each_feasible([&](NodeIndex at, Score score) { offer(bests[domain_of(at)], at, score); });
    if (bests.size() < fleet_.policy().spread_domains_min) return {};
    std::erase_if(bests, [](const auto& each) { return each.second.at == kNoNode; });
    const auto fewest =
        std::ranges::min_element(bests, {}, [&](const auto& each) { return vms.at(each.first); });
    return fewest == bests.end() ? Best() : fewest->second;
  }

  Best cheap() {
    std::vector<std::pair<NodeIndex, Score>> feasible;
    std::int64_t cheapest = std::numeric_limits<std::int64_t>::max();
    each_feasible([&](NodeIndex at, Score score) {
      feasible.emplace_back(at, score);
      cheapest = std::min(cheapest, fleet_.node(at).cost_per_hour_micro);
    });
    if (feasible.empty()) return {};
    constexpr std::int64_t kWhole = 100;
    const std::int64_t limit = cheapest +
                               cheapest / kWhole * fleet_.policy().cost_increase_percent +
                               cheapest % kWhole * fleet_.policy().cost_increase_percent / kWhole;
    Best best;
    for (const auto& [at, score] : feasible)
      if (fleet_.node(at).cost_per_hour_micro <= limit) offer(best, at, score);
    return best;
  }

  static constexpr std::uint64_t kOdd = 0x9E37'79B9'7F4A'7C15;
  // The finaliser of SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number
  // Generators, OOPSLA 2014).
  static std::uint64_t mixed(std::uint64_t value) {
    value = (value ^ (value >> 30)) * 0xBF58'476D'1CE4'E5B9;
    value = (value ^ (value >> 27)) * 0x94D0'49BB'1331'11EB;
    return value ^ (value >> 31);
  }
  // FNV-1a.
  static std::uint64_t hash(std::string_view text) {
    std::uint64_t value = 0xCBF2'9CE4'8422'2325;
    for (const char byte : text)
      value = (value ^ static_cast<unsigned char>(byte)) * 0x100'0000'01B3;
    return value;
  }

  Fleet& fleet_;
  const Request& request_;
  const Situation& situation_;
  Strategy strategy_;
  Shape& shape_;
  bool has_neighbours_;
};

Decision decision_of(const Fleet& fleet, const Request& request, const Best& best) {
  if (best.at == kNoNode) return {};
  return {.at = best.at,
          .devices = request.demand.devices.empty()
                         ? resources::DeviceNumbers()
                         : fleet.room(best.at).choose_devices(request.demand),
          .score = best.score};
}

}  // namespace

Decision decide(Fleet& fleet, const Request& request, const Situation& situation) {
  return decision_of(fleet, request, Decider(fleet, request, situation).run());
}

Decision decide_on(Fleet& fleet, NodeIndex at, const Request& request, const Situation& situation) {
  return decision_of(fleet, request, Decider(fleet, request, situation).on(at));
}

}  // namespace blixard::sched

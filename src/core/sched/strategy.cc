#include "core/sched/strategy.h"

#include <algorithm>
#include <array>

#include "core/sched/feasible.h"

namespace blixard::sched {

namespace {

using cluster::Strategy;

constexpr Score kFull = 100 * kPoint;
// Of nodes that are equally good for what comes the emptier is taken, so that VMs spread.
constexpr Score kTie = 10'000;
constexpr Score kAvoided = 20 * kPoint;
// Above all preferences together. A guest cannot start where its image is not.
constexpr Score kImage = 5'000 * kPoint;
// Above that.
constexpr Score kZone = 10'000 * kPoint;
constexpr Score kDatacenter = 4 * kZone;

class Sum {
 public:
  explicit Sum(std::vector<ScorePart>* parts) : parts_(parts) {}
  void add(std::string_view name, Score score) {
    sum_ += score;
    if (parts_ != nullptr) parts_->push_back({.name = name, .score = score});
  }
  [[nodiscard]] Score sum() const { return sum_; }

 private:
  std::vector<ScorePart>* parts_;
  Score sum_ = 0;
};

struct Told {
  resources::Kind kind;
  std::string_view free;
  std::string_view used;
};
constexpr std::array<Told, 4> kTold = {{
    {resources::Kind::kCpu, "free cpu", "used cpu"},
    {resources::Kind::kMemory, "free memory", "used memory"},
    {resources::Kind::kDisk, "free disk", "used disk"},
    {resources::Kind::kNetwork, "free network", "used network"},
}};

// The mean over what the node has, as parts.
// `parts_of`: 1, or how little it counts.
void add_shares(Sum& sum, const resources::Amounts& supply, const resources::Amounts& left,
                bool counts_used, Score parts_of = 1) {
  const auto told =
      std::ranges::count_if(kTold, [&](const Told& each) { return supply.of(each.kind) > 0; });
  for (const Told& each : kTold) {
    const std::int64_t all = supply.of(each.kind);
    if (all <= 0) continue;
    const std::int64_t free = std::clamp<std::int64_t>(left.of(each.kind), 0, all);
    const std::int64_t part = counts_used ? all - free : free;
    // A share in millionths first: amounts are below 2^52.
    constexpr std::int64_t kMillion = 1'000'000;
    const Score share = part / all * kMillion + part % all * kMillion / all;
    sum.add(counts_used ? each.used : each.free, share * (kFull / kMillion) / told / parts_of);
  }
}

// As resources::Room::choose_devices() does it: the fullest for a fraction, the first whole ones.
void take_devices(std::span<DeviceSlot> left, const Shape& shape) {
  for (std::size_t each = 0; each < shape.serving.size(); ++each) {
    const resources::DeviceNeed& need = shape.demand.devices[each];
    const auto serves = [&](const DeviceSlot& slot) {
      return ((shape.serving[each] >> slot.device_class) & 1) != 0 && slot.free_milli >= need.milli;
    };
    const bool is_fraction = need.milli < resources::kWholeDevice;
    std::uint32_t missing = need.count;
    DeviceSlot* fullest = nullptr;
    for (std::size_t number = 0; number < left.size() && missing != 0; ++number) {
      DeviceSlot& slot = left[number];
      if (!serves(slot)) continue;
      if (!is_fraction) {
        slot.free_milli = static_cast<std::int16_t>(slot.free_milli - need.milli);
        --missing;
      } else if (fullest == nullptr || slot.free_milli < fullest->free_milli) {
        fullest = &slot;
      }
    }
    if (fullest != nullptr)
      fullest->free_milli = static_cast<std::int16_t>(fullest->free_milli - need.milli);
  }
}

// F with the request there; `kDevices` is for that many at the most.
template <std::size_t kDevices>
std::int64_t fragmentation_after(const Fleet& fleet, NodeIndex at, const Shape& shape) {
  std::array<DeviceSlot, kDevices> room;
  const std::span<const DeviceSlot> devices = fleet.devices(at);
  const std::span<DeviceSlot> left = std::span(room).first(std::min(devices.size(), kDevices));
  std::ranges::copy(devices.first(left.size()), left.begin());
  take_devices(left, shape);
  return fleet.fragmentation(fleet.free(at) - shape.demand.amounts, left);
}

Score fragmentation_score(const Fleet& fleet, NodeIndex at, const Shape& shape) {
  // What eight lost devices cost is the 50 points.
  constexpr std::int64_t kLossOfFifty = 8 * kLostDevice * kMixWeight;
  constexpr std::size_t kFew = 16;
  constexpr std::size_t kMost = 256;
  const std::int64_t after = fleet.devices(at).size() <= kFew
                                 ? fragmentation_after<kFew>(fleet, at, shape)
                                 : fragmentation_after<kMost>(fleet, at, shape);
  const std::int64_t grows = after - fleet.fragmentation(at);
  constexpr std::int64_t kFifty = 50 * kPoint;
  // Both are multiples of 2^10, so that nothing overflows and little is rounded.
  constexpr int kShift = 10;
  const std::int64_t points = grows / (1 << kShift) * kFifty / (kLossOfFifty >> kShift);
  return kFifty - points;
}

void add_wishes(Sum& sum, const FleetNode& node, const Shape& shape) {
  for (const cluster::Taint& taint : node.taints) {
    const bool is_tolerated = std::ranges::any_of(
        shape.wishes->tolerations, [&](const auto& each) { return each.tolerates(taint); });
    if (taint.effect == cluster::TaintEffect::kAvoid && !is_tolerated)
      sum.add("taint to be avoided", -kAvoided);
  }
  if (shape.wishes.is_default()) return;
  const cluster::Wishes& wishes = *shape.wishes;
  for (std::size_t each = 0; each < shape.preferences.size(); ++each) {
    if (shape.preferences[each].holds(node.attributes))
      sum.add("preference", wishes.preferences[each].weight * kPoint);
  }
  const cluster::Locality& locality = wishes.locality;
  if (!locality.datacenter.empty() && locality.datacenter == node.topology.datacenter)
    sum.add("wanted datacenter", kDatacenter);
  if (!locality.zone.empty() && locality.zone == node.topology.zone) sum.add("wanted zone", kZone);
}

}  // namespace

Strategy strategy_of(const cluster::Wishes& wishes, const cluster::PlacementPolicy& policy) {
  return wishes.strategy.value_or(policy.strategy);
}

Strategy base_of(Strategy strategy, const cluster::PlacementPolicy& policy) {
  const auto scores_itself = [](Strategy each) {
    return each == Strategy::kFragmentationAware || each == Strategy::kMostAvailable ||
           each == Strategy::kLeastAvailable || each == Strategy::kRoundRobin;
  };
  if (scores_itself(strategy)) return strategy;
  if (strategy == Strategy::kSpreadAcrossFailureDomains || strategy == Strategy::kCostOptimized)
    return Strategy::kMostAvailable;
  return scores_itself(policy.strategy) ? policy.strategy : Strategy::kFragmentationAware;
}

Score base_score(const Fleet& fleet, NodeIndex at, const Shape& shape,
                 std::vector<ScorePart>* parts) {
  Sum sum(parts);
  const resources::Amounts& supply = fleet.supply(at);
  const resources::Amounts& free = fleet.free(at);
  switch (base_of(shape.strategy, fleet.policy())) {
    case Strategy::kMostAvailable:
      add_shares(sum, supply, free, false);
      break;
    case Strategy::kLeastAvailable:
      add_shares(sum, supply, free - shape.demand.amounts, true);
      break;
    case Strategy::kRoundRobin:
      sum.add("few VMs", kFull / (1 + std::int64_t{fleet.vms(at)}));
      break;
    default:
      sum.add("fragmentation", fragmentation_score(fleet, at, shape));
      add_shares(sum, supply, free, false, kTie);
  }
  if (!shape.image.empty()) {
    const std::vector<Name>& images = fleet.node(at).images;
    if (std::ranges::find(images, shape.image) != images.end()) sum.add("image there", kImage);
  }
  if (!fleet.is_plain(at) || !shape.wishes.is_default()) add_wishes(sum, fleet.node(at), shape);
  return sum.sum();
}

Score score_at(const Fleet& fleet, NodeIndex at, const Shape& shape) {
  if (!has_room(fleet, at, shape) || lasting_obstacle(fleet, at, shape)) return kNoScore;
  return base_score(fleet, at, shape);
}

}  // namespace blixard::sched

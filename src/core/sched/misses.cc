#include "core/sched/misses.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include "core/sched/condition.h"

namespace blixard::sched {

namespace {

using Kind = Obstacle::Kind;
using What = resources::Lack::What;

constexpr std::int64_t kMillion = 1'000'000;

std::int64_t missing(const resources::Lack& lack) {
  return lack.needed - std::max<std::int64_t>(lack.left, 0);
}

// Of what is needed, in millionths: amounts are below 2^43.
std::int64_t share_missing(const resources::Lack& lack) {
  return lack.needed == 0 ? 0 : missing(lack) * kMillion / lack.needed;
}

std::string closed_condition(Closed closed, bool is_one) {
  const char* were = is_one ? "it were" : "they were";
  switch (closed) {
    case Closed::kOpen:
      break;
    case Closed::kLeaving:
      return fmt::format("if {} not being removed", were);
    case Closed::kDraining:
      return fmt::format("if {} not drained", were);
    case Closed::kCordoned:
      return fmt::format("if {} not cordoned", were);
    case Closed::kUnregistered:
      return fmt::format("if {} known to offer enough", were);
    case Closed::kPretending:
      return is_one ? "if its guests were real" : "if their guests were real";
  }
  return "";
}

}  // namespace

void Misses::count(NodeIndex at, std::vector<Obstacle> obstacles) {
  if (fewest_at_ == kNoNode || obstacles.size() < fewest_.size()) {
    fewest_at_ = at;
    fewest_ = obstacles;
  }
  if (obstacles.size() != 1) return;
  const Obstacle& only = obstacles.front();
  const std::string key = only.kind == Kind::kRoom
                              ? fmt::format("{} {} {}", static_cast<int>(only.lack.what),
                                            static_cast<int>(only.lack.kind), only.lack.name)
                              : condition(only, at, true);
  Single& single = singles_[key];
  const bool is_nearer =
      single.nodes++ == 0 ||
      (only.kind == Kind::kRoom && missing(only.lack) < missing(single.obstacle.lack));
  if (!is_nearer) return;
  single.at = at;
  single.obstacle = only;
}

// What goes on behind "would take it".
std::string Misses::condition(const Obstacle& obstacle, NodeIndex at, bool is_one) const {
  const cluster::Wishes& wishes = *request_.wishes;
  switch (obstacle.kind) {
    case Kind::kClosed:
      return closed_condition(obstacle.closed, is_one);
    case Kind::kArchitecture:
      return fmt::format("with an image for {}", fleet_.node(at).architecture);
    case Kind::kNotNamed:
      return wishes.node.empty() ? "if it were named, as the strategy manual needs"
                                 : fmt::format("if it did not name node {}", wishes.node);
    case Kind::kTaint: {
      const auto& taint = fleet_.node(at).taints[static_cast<std::size_t>(obstacle.number)];
      return fmt::format("if it tolerated the taint {}={}", taint.key, taint.value);
    }
    case Kind::kConstraint:
      return fmt::format(
          "without the constraint '{}'",
          condition_text(wishes.constraints[static_cast<std::size_t>(obstacle.number)]));
    case Kind::kDatacenter:
      return "if it took another datacenter";
    case Kind::kZone:
      return fmt::format("if it were not to be in zone {}", wishes.locality.zone);
    case Kind::kLatency:
      return obstacle.number < 0 ? fmt::format("if their latency from {} were known and low enough",
                                               wishes.locality.datacenter)
                                 : fmt::format("if it took {} ms from {}", obstacle.number,
                                               wishes.locality.datacenter);
    case Kind::kRoom:
      return fmt::format("with {} more", lack_text(obstacle.lack));
    case Kind::kSavedState:
      if (request_.saved == nullptr) break;
      return fmt::format("if {} like the host that its guest was saved on ({})",
                         is_one ? "it were" : "they were", cluster::host_text(*request_.saved));
    case Kind::kReserved:
      return fmt::format("if {} were not reserved for other tenants",
                         resources::amount_text(obstacle.lack.kind, missing(obstacle.lack)));
    case Kind::kPort:
      return fmt::format("if host port {} were free", obstacle.number);
    case Kind::kTenant:
      return fmt::format("if tenant {} might have more VMs on one node",
                         cluster::tenant_of(wishes));
    case Kind::kGroup: {
      const cluster::PlacementGroup* group = state_.find_group(obstacle.name);
      const auto rule = static_cast<std::size_t>(obstacle.number);
      if (group == nullptr || rule >= group->rules.size()) break;
      return fmt::format("without the rule '{}' of group {}",
                         cluster::rule_text(group->rules[rule]), obstacle.name);
    }
  }
  return "";
}

std::string Misses::lack_text(const resources::Lack& lack) const {
  switch (lack.what) {
    case What::kAmount:
      return resources::amount_text(lack.kind, missing(lack));
    case What::kCounter:
      return fmt::format("{} of {}", missing(lack), lack.name);
    case What::kDevice: {
      const auto& needs = request_.demand.devices;
      const auto need = std::ranges::find(needs, lack.name, &resources::DeviceNeed::kind);
      const bool is_whole = need == needs.end() || need->milli >= resources::kWholeDevice;
      return is_whole ? fmt::format("{} whole {}", missing(lack), lack.name)
                      : fmt::format("{} thousandths of a {}", missing(lack), lack.name);
    }
    case What::kDeviceModel:
      return fmt::format("a {} of a model that will do", lack.name);
  }
  return "";
}

// Of one node.
std::string Misses::text(NodeIndex at, const std::vector<Obstacle>& obstacles) const {
  std::string lacks;
  std::string conditions;
  for (const Obstacle& obstacle : obstacles) {
    const bool is_lack = obstacle.kind == Kind::kRoom;
    std::string& list = is_lack ? lacks : conditions;
    if (!list.empty()) list += is_lack ? " and " : ", ";
    list += is_lack ? lack_text(obstacle.lack) : condition(obstacle, at, true);
  }
  const Name& name = fleet_.node(at).name;
  if (conditions.empty()) return fmt::format("node {} lacks {}", name, lacks);
  if (lacks.empty()) return fmt::format("node {} would take it {}", name, conditions);
  return fmt::format("node {} would take it {}, with {} more", name, conditions, lacks);
}

std::vector<Misses::Miss> Misses::nearest(std::size_t most) const {
  std::vector<const Single*> order;
  order.reserve(singles_.size());
  for (const auto& [key, single] : singles_)
    order.push_back(&single);
  std::ranges::sort(order, [](const Single* a, const Single* b) {
    const auto rank = [](const Single& single) {
      const bool is_lack = single.obstacle.kind == Kind::kRoom;
      return std::tuple(!is_lack, is_lack ? share_missing(single.obstacle.lack) : 0,
                        is_lack ? 0 : -static_cast<std::int64_t>(single.nodes), single.at,
                        single.obstacle.lack.kind);
    };
    return rank(*a) < rank(*b);
  });
  std::vector<Miss> misses;
  for (const Single* single : order) {
    if (misses.size() == most) break;
    const bool is_one = single->nodes == 1 || single->obstacle.kind == Kind::kRoom;
    misses.push_back({.text = is_one ? text(single->at, {single->obstacle})
                                     : fmt::format("{} nodes would take it {}", single->nodes,
                                                   condition(single->obstacle, single->at, false)),
                      .nodes = single->nodes});
  }
  if (misses.empty() && fewest_at_ != kNoNode)
    misses.push_back({.text = text(fewest_at_, fewest_), .nodes = 1});
  return misses;
}

}  // namespace blixard::sched

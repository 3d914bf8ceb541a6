#include "core/sched/refusals.h"

#include <algorithm>

#include <fmt/format.h>

#include "core/sched/condition.h"

namespace blixard::sched {

namespace {

using Kind = Obstacle::Kind;
using What = resources::Lack::What;

std::string_view closed_phrase(Closed closed) {
  switch (closed) {
    case Closed::kOpen:
      return "open";
    case Closed::kLeaving:
      return "being removed";
    case Closed::kDraining:
      return "drained";
    case Closed::kCordoned:
      return "cordoned";
    case Closed::kUnregistered:
      return "that told nothing of itself yet";
    case Closed::kPretending:
      return "that only pretend to run guests";
  }
  return "";
}

std::string device_text(std::int64_t milli, std::uint32_t count) {
  return milli < resources::kWholeDevice ? fmt::format("{} thousandths", milli)
                                         : fmt::format("{} whole", count);
}

}  // namespace

std::string too_few_domains(const cluster::PlacementPolicy& policy) {
  return fmt::format("fewer than {} failure domains can take it, which the policy asks for",
                     policy.spread_domains_min);
}

void Refusals::count(NodeIndex at, const Obstacle& obstacle) {
  ++nodes_;
  Key key{.kind = obstacle.kind, .closed = obstacle.closed, .name = obstacle.name};
  switch (obstacle.kind) {
    case Kind::kTaint: {
      const auto& taint = fleet_.node(at).taints[static_cast<std::size_t>(obstacle.number)];
      key.name = Name(fmt::format("{}={}", taint.key, taint.value));
      break;
    }
    case Kind::kConstraint:
    case Kind::kPort:
    case Kind::kGroup:
      key.number = obstacle.number;
      break;
    case Kind::kDatacenter:
    case Kind::kZone:
    case Kind::kLatency:
      key.name = Name();
      break;
    case Kind::kRoom:
      key.what = obstacle.lack.what;
      key.resource = obstacle.lack.kind;
      key.name = obstacle.lack.name;
      break;
    default:
      break;
  }
  Entry& entry = entries_[key];
  if (entry.nodes++ == 0 || obstacle.lack.left > entry.lack.left) entry.lack = obstacle.lack;
}

std::string Refusals::lack_text(const resources::Lack& lack) const {
  switch (lack.what) {
    case What::kAmount:
      return fmt::format("without {} free (most free {})",
                         resources::amount_text(lack.kind, lack.needed),
                         resources::amount_text(lack.kind, std::max<std::int64_t>(lack.left, 0)));
    case What::kCounter:
      return fmt::format("without {} of {} free (most free {})", lack.needed, lack.name, lack.left);
    case What::kDevice:
    case What::kDeviceModel:
      break;
  }
  const auto& needs = request_.demand.devices;
  const auto need = std::ranges::find(needs, lack.name, &resources::DeviceNeed::kind);
  const std::string amount =
      need == needs.end() ? std::string() : device_text(need->milli, need->count);
  if (lack.what == What::kDeviceModel)
    return fmt::format("without a {} of a model that will do", lack.name);
  return fmt::format("without {} of device {} free", amount, lack.name);
}

std::string Refusals::text(const Key& key, const Entry& entry) const {
  const cluster::Wishes& wishes = *request_.wishes;
  switch (key.kind) {
    case Kind::kClosed:
      return std::string(closed_phrase(key.closed));
    case Kind::kArchitecture:
      return fmt::format("of another architecture than its image's, {}", request_.architecture);
    case Kind::kNotNamed:
      return wishes.node.empty() ? "not named by it, which the strategy manual needs"
                                 : fmt::format("other than {}, which it names", wishes.node);
    case Kind::kTaint:
      return fmt::format("with the taint {}, which it does not tolerate", key.name);
    case Kind::kConstraint:
      return fmt::format("not meeting '{}'",
                         condition_text(wishes.constraints[static_cast<std::size_t>(key.number)]));
    case Kind::kDatacenter:
      return "in a datacenter that it does not want";
    case Kind::kZone:
      return fmt::format("outside zone {}", wishes.locality.zone);
    case Kind::kLatency:
      return fmt::format("not known to be within {} ms of {}", wishes.locality.max_latency_ms,
                         wishes.locality.datacenter);
    case Kind::kRoom:
      return lack_text(entry.lack);
    case Kind::kSavedState:
      if (request_.saved == nullptr) break;
      return fmt::format("unlike the host that its guest was saved on ({})",
                         cluster::host_text(*request_.saved));
    case Kind::kReserved:
      return fmt::format("with too much {} reserved for other tenants",
                         resources::kind_name(entry.lack.kind));
    case Kind::kPort:
      return fmt::format("with host port {} taken", key.number);
    case Kind::kTenant:
      return fmt::format("with all the VMs that tenant {} may have on one",
                         cluster::tenant_of(wishes));
    case Kind::kGroup: {
      const cluster::PlacementGroup* group =
          state_ == nullptr ? nullptr : state_->find_group(key.name);
      const auto rule = static_cast<std::size_t>(key.number);
      if (group == nullptr || rule >= group->rules.size()) break;
      return fmt::format("where group {} would break its rule '{}'", key.name,
                         cluster::rule_text(group->rules[rule]));
    }
  }
  return "that refuse it";
}

std::vector<Refusals::Cause> Refusals::causes() const {
  std::vector<Cause> causes;
  causes.reserve(entries_.size());
  for (const auto& [key, entry] : entries_)
    causes.push_back({.text = text(key, entry), .nodes = entry.nodes});
  std::ranges::sort(causes, [](const Cause& a, const Cause& b) {
    return a.nodes != b.nodes ? a.nodes > b.nodes : a.text < b.text;
  });
  return causes;
}

std::string Refusals::sentence() const {
  if (nodes_ == 0) return "no node has joined yet";
  std::string text =
      fmt::format("none of {} {} can take it: ", nodes_, nodes_ == 1 ? "node" : "nodes");
  bool is_first = true;
  for (const Cause& cause : causes()) {
    text += fmt::format("{}{} {}", is_first ? "" : "; ", cause.nodes, cause.text);
    is_first = false;
  }
  return text;
}

}  // namespace blixard::sched

#include "core/cluster/wishes.h"

#include <algorithm>
#include <functional>
#include <utility>

#include <fmt/format.h>

#include "base/limits.h"
#include "core/cluster/model.h"
#include "core/cluster/reasons.h"
#include "core/cluster/text.h"

namespace blixard::cluster {

namespace {

std::unexpected<Error> fault(std::string detail) {
  return fail(Code::kInvalidArgument, reason::kPlacementInvalid, std::move(detail));
}

std::unexpected<Error> too_many(const char* field, std::size_t count, std::size_t most) {
  return fault(fmt::format("{}: {} of them, at most {} are possible", field, count, most));
}

Result<void> check_name_of(const char* field, std::string_view name) {
  if (auto checked = check_name(name); !checked) {
    return fault(fmt::format("{}: {}", field, checked.error().detail()));
  }
  return {};
}

Result<void> check_range(const char* field, std::int64_t value, std::int64_t min,
                         std::int64_t max) {
  if (value >= min && value <= max) return {};
  return fault(fmt::format("{}: {} is not between {} and {}", field, value, min, max));
}

Result<void> check_counters(const std::vector<resources::Counter>& counters) {
  if (counters.size() > limits::kCounters) {
    return too_many("counters", counters.size(), limits::kCounters);
  }
  for (const resources::Counter& counter : counters) {
    BLX_TRY(check_name_of("counters", counter.name));
    BLX_TRY(check_range("counters", counter.amount, 1, limits::kCounterAmount));
  }
  const auto wrong =
      std::ranges::adjacent_find(counters, std::greater_equal<>(), &resources::Counter::name);
  if (wrong != counters.end()) return fault(fmt::format("counters: {} twice", wrong->name));
  return {};
}

Result<void> check_need(const resources::DeviceNeed& need) {
  BLX_TRY(check_name_of("devices", need.kind));
  BLX_TRY(check_range("devices: count", need.count, 1, limits::kNodeDevices));
  BLX_TRY(check_range("devices: milli", need.milli, 1, resources::kWholeDevice));
  if (need.milli < resources::kWholeDevice && need.count > 1) {
    return fault(
        fmt::format("devices: {} milli of {} devices: a fraction is of one, or take whole ones",
                    need.milli, need.count));
  }
  if (need.models.size() > limits::kDeviceModels) {
    return too_many("devices: models", need.models.size(), limits::kDeviceModels);
  }
  for (const Name& model : need.models)
    BLX_TRY(check_name_of("devices: models", model));
  const auto twice = std::ranges::adjacent_find(need.models, std::greater_equal<>());
  if (twice != need.models.end()) return fault(fmt::format("devices: model {} twice", *twice));
  return {};
}

Result<void> check_devices(const std::vector<resources::DeviceNeed>& devices) {
  if (devices.size() > limits::kDeviceKinds) {
    return too_many("devices", devices.size(), limits::kDeviceKinds);
  }
  std::size_t count = 0;
  for (const resources::DeviceNeed& need : devices) {
    BLX_TRY(check_need(need));
    count += need.count;
  }
  if (count > limits::kNodeDevices) return too_many("devices", count, limits::kNodeDevices);
  const auto twice =
      std::ranges::adjacent_find(devices, std::greater_equal<>(), &resources::DeviceNeed::kind);
  if (twice != devices.end()) return fault(fmt::format("devices: kind {} twice", twice->kind));
  return {};
}

Result<void> check_amounts(const Wishes& wishes) {
  BLX_TRY(check_range("cpu_milli", wishes.cpu_milli, 0, limits::kVcpus * resources::kMilliPerCore));
  if (wishes.dedicated_cpus && wishes.cpu_milli != 0) {
    return fault("cpu_milli: dedicated_cpus promises all vCPUs whole: leave one of both out");
  }
  BLX_TRY(check_range("disk_mib", wishes.disk_mib, 0, limits::kDiskMib));
  BLX_TRY(check_range("network_mbit", wishes.network_mbit, 0, limits::kNetworkMbit));
  BLX_TRY(check_range("priority", wishes.priority, 0, kPriorityMax));
  BLX_TRY(check_counters(wishes.counters));
  return check_devices(wishes.devices);
}

Result<void> check_groups(const std::vector<Name>& groups) {
  if (groups.size() > limits::kVmGroups) {
    return too_many("groups", groups.size(), limits::kVmGroups);
  }
  for (const Name& group : groups)
    BLX_TRY(check_name_of("groups", group));
  const auto twice = std::ranges::adjacent_find(groups, std::greater_equal<>());
  if (twice != groups.end()) return fault(fmt::format("groups: {} twice", *twice));
  return {};
}

Result<void> check_tolerations(const std::vector<Toleration>& tolerations) {
  if (tolerations.size() > limits::kConstraints) {
    return too_many("tolerations", tolerations.size(), limits::kConstraints);
  }
  for (auto each = tolerations.begin(); each != tolerations.end(); ++each) {
    BLX_TRY(check_label(each->key, each->value));
    if (std::find(tolerations.begin(), each, *each) != each) {
      return fault(fmt::format("tolerations: {} is tolerated twice", each->key));
    }
  }
  return {};
}

Result<void> check_locality(const Locality& locality) {
  const auto& excluded = locality.excluded_datacenters;
  if (!locality.datacenter.empty()) {
    BLX_TRY(check_name_of("locality.datacenter", locality.datacenter));
  }
  if (!locality.zone.empty()) BLX_TRY(check_name_of("locality.zone", locality.zone));
  if (locality.strict && locality.datacenter.empty() && locality.zone.empty()) {
    return fault("locality.strict: needs a datacenter or a zone");
  }
  if (excluded.size() > limits::kExcludedDatacenters) {
    return too_many("locality.excluded_datacenters", excluded.size(), limits::kExcludedDatacenters);
  }
  for (const Name& name : excluded) {
    BLX_TRY(check_name_of("locality.excluded_datacenters", name));
    if (name == locality.datacenter) {
      return fault(fmt::format("locality: datacenter {} is preferred and excluded", name));
    }
  }
  const auto twice = std::ranges::adjacent_find(excluded, std::greater_equal<>());
  if (twice != excluded.end()) {
    return fault(fmt::format("locality.excluded_datacenters: {} twice", *twice));
  }
  BLX_TRY(check_range("locality.max_latency_ms", locality.max_latency_ms, 0, limits::kLatencyMs));
  if (locality.max_latency_ms != 0 && locality.datacenter.empty()) {
    return fault("locality.max_latency_ms: needs a preferred datacenter to count from");
  }
  return {};
}

Result<void> check_strategy(const Wishes& wishes) {
  const bool is_manual = wishes.strategy == Strategy::kManual;
  if (is_manual && wishes.node.empty()) return fault("strategy: manual needs a node");
  if (!is_manual && !wishes.node.empty()) return fault("node: only with the strategy manual");
  if (is_manual) return check_name_of("node", wishes.node);
  return {};
}

}  // namespace

std::string_view strategy_name(Strategy strategy) {
  switch (strategy) {
    case Strategy::kFragmentationAware:
      return "fragmentation-aware";
    case Strategy::kMostAvailable:
      return "most-available";
    case Strategy::kLeastAvailable:
      return "least-available";
    case Strategy::kRoundRobin:
      return "round-robin";
    case Strategy::kManual:
      return "manual";
    case Strategy::kPriorityBased:
      return "priority-based";
    case Strategy::kLocalityAware:
      return "locality-aware";
    case Strategy::kSpreadAcrossFailureDomains:
      return "spread-across-failure-domains";
    case Strategy::kCostOptimized:
      return "cost-optimized";
  }
  return "unknown";
}

std::optional<Strategy> parse_strategy(std::string_view name) {
  const auto found = std::ranges::find(kStrategies, name, strategy_name);
  if (found == kStrategies.end()) return std::nullopt;
  return *found;
}

std::string_view tenant_of(const Wishes& wishes) {
  return wishes.tenant.empty() ? kDefaultTenant : std::string_view(wishes.tenant);
}

std::size_t device_count(const Wishes& wishes) {
  std::size_t count = 0;
  for (const resources::DeviceNeed& need : wishes.devices)
    count += need.count;
  return count;
}

Result<void> check_wishes(const Wishes& wishes) {
  BLX_TRY(check_amounts(wishes));
  if (!wishes.tenant.empty()) BLX_TRY(check_name_of("tenant", wishes.tenant));
  BLX_TRY(check_groups(wishes.groups));
  BLX_TRY(check_constraints(wishes));
  BLX_TRY(check_tolerations(wishes.tolerations));
  BLX_TRY(check_locality(wishes.locality));
  return check_strategy(wishes);
}

Result<void> check_label(std::string_view key, std::string_view value) {
  const auto is_key_byte = [](char byte) {
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') || byte == '.' || byte == '_' || byte == '/' || byte == '-';
  };
  const std::string shown = bounded_text(key, limits::kLabelKeyBytes);
  if (key.empty() || key.size() > limits::kLabelKeyBytes) {
    return fault(fmt::format("label {}: its key has {} characters, 1 to {} are possible", shown,
                             key.size(), limits::kLabelKeyBytes));
  }
  if (!std::ranges::all_of(key, is_key_byte)) {
    return fault(
        fmt::format("label {}: only a-z, A-Z, 0-9 and . _ / - are possible in its key", shown));
  }
  if (!is_line(value, limits::kLabelValueBytes)) {
    return fault(fmt::format("label {}: its value is not one line of at most {} bytes", shown,
                             limits::kLabelValueBytes));
  }
  return {};
}

Result<void> check_taint(const Taint& taint) { return check_label(taint.key, taint.value); }

}  // namespace blixard::cluster

// What a node may say of itself, and operators of it.

#include <algorithm>
#include <functional>

#include <fmt/format.h>

#include "base/limits.h"
#include "core/cluster/model.h"
#include "core/cluster/reasons.h"
#include "core/cluster/text.h"

namespace blixard::cluster {

namespace {

std::unexpected<Error> fault(std::string field) {
  return fail(Code::kInvalidArgument, reason::kNodeInvalid, std::move(field));
}

Result<void> check_count(const char* field, std::size_t count, std::size_t most) {
  if (count <= most) return {};
  return fault(fmt::format("{}: {} of them, at most {} are possible", field, count, most));
}

Result<void> check_amount(const char* field, std::int64_t value, std::int64_t most) {
  if (value >= 0 && value <= most) return {};
  return fault(fmt::format("{}: {} is not between 0 and {}", field, value, most));
}

Result<void> check_word(const char* field, std::string_view word) {
  if (word.empty()) return {};
  if (auto checked = check_name(word); !checked) {
    return fault(fmt::format("{}: {}", field, checked.error().detail()));
  }
  return {};
}

Result<void> check_labels(const char* field, const std::vector<Label>& labels) {
  BLX_TRY(check_count(field, labels.size(), limits::kLabels));
  for (const Label& label : labels) {
    if (auto checked = check_label(label.key, label.value); !checked) {
      return fault(std::string(checked.error().detail()));
    }
  }
  const auto twice = std::ranges::adjacent_find(labels, std::greater_equal<>(), &Label::key);
  if (twice != labels.end()) return fault(fmt::format("{}: {} twice", field, twice->key));
  return {};
}

Result<void> check_taints(const std::vector<Taint>& taints) {
  BLX_TRY(check_count("taints", taints.size(), limits::kTaints));
  for (const Taint& taint : taints) {
    if (auto checked = check_taint(taint); !checked) {
      return fault(fmt::format("taints: {}", checked.error().detail()));
    }
  }
  const auto twice = std::ranges::adjacent_find(taints, std::greater_equal<>(), &Taint::key);
  if (twice != taints.end()) return fault(fmt::format("taints: {} twice", twice->key));
  return {};
}

Result<void> check_counters(const std::vector<resources::Counter>& counters) {
  BLX_TRY(check_count("capacity.counters", counters.size(), limits::kCounters));
  for (const resources::Counter& counter : counters) {
    if (counter.name.empty()) return fault("capacity.counters: one without a name");
    BLX_TRY(check_word("capacity.counters", counter.name));
    BLX_TRY(check_amount("capacity.counters", counter.amount, limits::kCounterAmount));
  }
  const auto twice =
      std::ranges::adjacent_find(counters, std::greater_equal<>(), &resources::Counter::name);
  if (twice != counters.end())
    return fault(fmt::format("capacity.counters: {} twice", twice->name));
  return {};
}

Result<void> check_devices(const std::vector<resources::DeviceGroup>& groups) {
  std::size_t count = 0;
  for (const resources::DeviceGroup& group : groups) {
    if (group.kind.empty()) return fault("capacity.devices: one without a kind");
    BLX_TRY(check_word("capacity.devices: kind", group.kind));
    BLX_TRY(check_word("capacity.devices: model", group.model));
    if (group.count == 0) return fault("capacity.devices: none of a kind");
    BLX_TRY(check_count("capacity.devices", group.count, limits::kNodeDevices));
    count += group.count;
  }
  BLX_TRY(check_count("capacity.devices: groups", groups.size(), limits::kDeviceKinds));
  return check_count("capacity.devices", count, limits::kNodeDevices);
}

// Whether the cluster knows them is not for the node to say.
Result<void> check_images(const std::vector<Name>& images) {
  BLX_TRY(check_count("images", images.size(), limits::kNodeImages));
  for (std::size_t at = 0; at < images.size(); ++at) {
    BLX_TRY(check_name(images[at]));
    if (at != 0 && images[at - 1] >= images[at]) return fault("images: not by name");
  }
  return {};
}

// Of model version 4.
Result<void> check_more(const Node& node) {
  BLX_TRY(check_amount("capacity.disk_mib", node.disk_mib, limits::kDiskMib));
  BLX_TRY(check_amount("capacity.network_mbit", node.network_mbit, limits::kNetworkMbit));
  BLX_TRY(check_counters(node.counters));
  BLX_TRY(check_devices(node.devices));
  if (!is_line(node.architecture, limits::kWordBytes)) return fault("architecture");
  if (!is_line(node.kernel_version, limits::kWordBytes)) return fault("kernel_version");
  BLX_TRY(check_count("hypervisors", node.hypervisors.size(), limits::kHypervisors));
  for (const std::string& hypervisor : node.hypervisors) {
    if (hypervisor.empty() || !is_line(hypervisor, limits::kWordBytes)) return fault("hypervisors");
  }
  BLX_TRY(check_labels("labels", node.told_labels));
  BLX_TRY(check_word("topology.datacenter", node.topology.datacenter));
  BLX_TRY(check_word("topology.zone", node.topology.zone));
  BLX_TRY(check_word("topology.rack", node.topology.rack));
  BLX_TRY(check_amount("cost_per_hour_micro", node.cost_per_hour_micro, limits::kCostPerHourMicro));
  BLX_TRY(check_images(node.images));
  BLX_TRY(check_labels("set_labels", node.set_labels));
  return check_taints(node.taints);
}

}  // namespace

Result<void> check_node(const Node& node) {
  BLX_TRY(check_name(node.name));
  if (!node.id) return fault("node_id");
  if (node.vcpus > limits::kNodeVcpus) return fault("capacity.vcpus");
  if (node.memory_mib > limits::kNodeMemoryMib) return fault("capacity.memory_mib");
  if (!is_line(node.accelerator, limits::kWordBytes)) return fault("accelerator");
  if (!is_line(node.version, limits::kWordBytes)) return fault("version");
  if (!is_line(node.hypervisor_version, limits::kWordBytes)) return fault("hypervisor_version");
  const bool is_told = node.model_version >= kUntoldModelVersion;
  if (!is_told || node.model_version > kModelVersionMost) return fault("model_version");
  return check_more(node);
}

}  // namespace blixard::cluster

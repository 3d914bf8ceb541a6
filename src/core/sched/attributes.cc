#include "core/sched/attributes.h"

#include <algorithm>
#include <array>
#include <set>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include "base/edit_distance.h"
#include "core/sched/condition.h"

namespace blixard::sched {

namespace {

using cluster::Constraint;
using cluster::Node;
using Values = std::vector<std::string>;

constexpr std::string_view kLabel = "label.";
constexpr std::string_view kDevice = "device.";
constexpr std::string_view kModel = ".model";

struct Attribute {
  std::string_view name;
  std::string (*of)(const Node& node);  // empty: not told
};

std::string number_text(std::int64_t number) {
  return number == 0 ? std::string() : fmt::format("{}", number);
}

std::string cost_text(const Node& node) {
  const std::int64_t micro = node.cost_per_hour_micro;
  return micro == 0 ? "" : fmt::format("{}.{:06}", micro / 1'000'000, micro % 1'000'000);
}

constexpr std::array<Attribute, 14> kAttributes = {{
    {"name", [](const Node& node) { return node.name.text(); }},
    {"role", [](const Node& node) { return std::string(cluster::role_name(node.role)); }},
    {"architecture", [](const Node& node) { return node.architecture; }},
    {"kernel", [](const Node& node) { return node.kernel_version; }},
    {"version", [](const Node& node) { return node.version; }},
    {"accelerator", [](const Node& node) { return node.accelerator; }},
    {"vcpus", [](const Node& node) { return number_text(node.vcpus); }},
    {"memory_mib", [](const Node& node) { return number_text(node.memory_mib); }},
    {"disk_mib", [](const Node& node) { return number_text(node.disk_mib); }},
    {"network_mbit", [](const Node& node) { return number_text(node.network_mbit); }},
    {"cost_per_hour", cost_text},
    {"datacenter", [](const Node& node) { return node.topology.datacenter.text(); }},
    {"zone", [](const Node& node) { return node.topology.zone.text(); }},
    {"rack", [](const Node& node) { return node.topology.rack.text(); }},
}};
constexpr std::string_view kHypervisor = "hypervisor";

Values device_values(const Node& node, std::string_view rest) {
  const bool is_model = rest.ends_with(kModel);
  if (is_model) rest.remove_suffix(kModel.size());
  Values models;
  std::int64_t count = 0;
  for (const resources::DeviceGroup& group : node.devices) {
    if (group.kind != rest) continue;
    count += group.count;
    if (!group.model.empty()) models.push_back(group.model.text());
  }
  if (is_model) return models;
  return count == 0 ? Values() : Values{fmt::format("{}", count)};
}

std::unexpected<Error> invalid(std::string detail) {
  return fail(Code::kInvalidArgument, "constraint_invalid", std::move(detail));
}

bool is_known(std::string_view name) {
  const auto has_rest = [&](std::string_view prefix) {
    return name.starts_with(prefix) && name.size() > prefix.size();
  };
  return name == kHypervisor || has_rest(kLabel) || has_rest(kDevice) ||
         std::ranges::find(kAttributes, name, &Attribute::name) != kAttributes.end();
}

std::string_view nearest(std::string_view name) {
  const auto distance = [&](const Attribute& attribute) {
    return edit_distance(name, attribute.name);
  };
  return std::ranges::min_element(kAttributes, {}, distance)->name;
}

Result<void> check(const Constraint& constraint) {
  const std::string& name = constraint.attribute;
  if (!is_known(name)) {
    return invalid(fmt::format("no attribute is named '{}': did you mean '{}', or 'label.{}'?",
                               name, nearest(name), name));
  }
  const Condition condition(constraint);
  if (condition.is_valid()) return {};
  return invalid(fmt::format("{}: the pattern '{}' cannot be read: {}", name,
                             constraint.values.front(), condition.fault()));
}

}  // namespace

std::vector<std::string> attribute_of(const Node& node, std::string_view name) {
  if (name.starts_with(kLabel)) {
    const std::string* value = cluster::label_of(node, name.substr(kLabel.size()));
    return value == nullptr ? Values() : Values{*value};
  }
  if (name.starts_with(kDevice)) return device_values(node, name.substr(kDevice.size()));
  if (name == kHypervisor) return node.hypervisors;
  const auto found = std::ranges::find(kAttributes, name, &Attribute::name);
  if (found == kAttributes.end()) return {};
  std::string value = found->of(node);
  return value.empty() ? Values() : Values{std::move(value)};
}

std::vector<cluster::Label> attributes_of(const Node& node) {
  std::vector<cluster::Label> all;
  const auto add = [&](const std::string& name) {
    for (std::string& value : attribute_of(node, name))
      all.push_back({.key = name, .value = std::move(value)});
  };
  for (const Attribute& attribute : kAttributes)
    add(std::string(attribute.name));
  add(std::string(kHypervisor));
  std::set<std::string> names;
  for (const auto* labels : {&node.set_labels, &node.told_labels})
    for (const cluster::Label& label : *labels)
      names.insert(fmt::format("{}{}", kLabel, label.key));
  for (const resources::DeviceGroup& group : node.devices) {
    names.insert(fmt::format("{}{}", kDevice, group.kind));
    names.insert(fmt::format("{}{}{}", kDevice, group.kind, kModel));
  }
  for (const std::string& name : names)
    add(name);
  std::ranges::sort(all, {}, [](const auto& each) { return std::tie(each.key, each.value); });
  return all;
}

Result<void> check_attributes(const cluster::Wishes& wishes) {
  for (const Constraint& constraint : wishes.constraints)
    BLX_TRY(check(constraint));
  for (const cluster::Preference& preference : wishes.preferences)
    BLX_TRY(check(preference.constraint));
  return {};
}

}  // namespace blixard::sched

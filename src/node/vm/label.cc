#include "node/vm/label.h"

#include <charconv>

namespace blixard::vm {
namespace {

constexpr std::string_view kTrialLabel = "trial";
constexpr std::string_view kTemplateLabel = "template";
constexpr std::string_view kStandbyPrefix = "standby-";

}  // namespace

std::string label(VmId id) {
  if (id == kTrialVm) return std::string(kTrialLabel);
  if (id == kTemplateVm) return std::string(kTemplateLabel);
  if (is_standby(id)) {
    return std::string(kStandbyPrefix) + std::to_string(standby_vm(0).value - id.value);
  }
  return std::to_string(id.value);
}

std::string group_name(VmId id) { return std::string(kGroupPrefix) + label(id); }

bool is_group_of(const Record& record) {
  const auto id = parse_group_name(record.group);
  return id == record.id || (id && is_standby(*id) && !record.standby.is_nil());
}

std::optional<VmId> parse_label(std::string_view text) {
  if (text == kTrialLabel) return kTrialVm;
  if (text == kTemplateLabel) return kTemplateVm;
  const bool is_standby = text.starts_with(kStandbyPrefix);
  if (is_standby) text.remove_prefix(kStandbyPrefix.size());
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  if (is_standby) {
    if (number >= kStandbysMost) return std::nullopt;
    return standby_vm(number);
  }
  const VmId id(number);
  if (!id || id >= standby_vm(kStandbysMost - 1)) return std::nullopt;
  return id;
}

std::optional<VmId> parse_group_name(std::string_view group) {
  if (!group.starts_with(kGroupPrefix)) return std::nullopt;
  return parse_label(group.substr(kGroupPrefix.size()));
}

}  // namespace blixard::vm

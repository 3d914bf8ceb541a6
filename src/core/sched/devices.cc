#include "core/sched/devices.h"

#include <algorithm>

namespace blixard::sched {

std::uint8_t DeviceClasses::intern(const Name& kind, const Name& model) {
  const auto found = std::ranges::find_if(
      classes_, [&](const Class& each) { return each.kind == kind && each.model == model; });
  if (found != classes_.end()) return static_cast<std::uint8_t>(found - classes_.begin());
  if (classes_.size() < kMost) classes_.push_back({.kind = kind, .model = model});
  return static_cast<std::uint8_t>(classes_.size() - 1);
}

DeviceClassSet DeviceClasses::serving(const resources::DeviceNeed& need) const {
  DeviceClassSet set = 0;
  for (std::size_t at = 0; at < classes_.size(); ++at) {
    const bool is_asked = need.models.empty() ||
                          std::ranges::find(need.models, classes_[at].model) != need.models.end();
    if (classes_[at].kind == need.kind && is_asked) set |= DeviceClassSet{1} << at;
  }
  return set;
}

DeviceClassSet DeviceClasses::of_kind(const Name& kind) const {
  return serving({.kind = kind, .models = {}});
}

}  // namespace blixard::sched

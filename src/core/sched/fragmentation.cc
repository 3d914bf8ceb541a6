#include "core/sched/fragmentation.h"

#include <algorithm>
#include <bit>

namespace blixard::sched {

namespace {

constexpr int kRatioBits = 16;
constexpr int kScaleBits = 30;
// Beside devices, CPU and memory only decide between equals.
constexpr int kBesideDevices = 8;

std::uint64_t ratio(std::int64_t size, std::int64_t amount) {
  return (static_cast<std::uint64_t>(size) << kRatioBits) /
         static_cast<std::uint64_t>(std::max<std::int64_t>(amount, 1));
}

std::int64_t scaled(std::int64_t amount, std::uint64_t per) {
  return static_cast<std::int64_t>((static_cast<std::uint64_t>(amount) * per) >> kRatioBits);
}

}  // namespace

Fragmentation::Fragmentation(const Mix& mix, const DeviceClasses& classes,
                             const resources::Amounts& mean)
    : cpu_scale_((std::int64_t{1} << kScaleBits) / std::max<std::int64_t>(mean.cpu_milli, 1)),
      memory_scale_((std::int64_t{1} << kScaleBits) / std::max<std::int64_t>(mean.memory_mib, 1)) {
  classes_.resize(classes.size());
  for (const Mix::Entry& entry : mix.entries)
    add(entry, classes);
  if (levels_.empty()) return;
  fitting_.resize(resources::kWholeDevice + 1);
  for (std::int32_t free = 0; free <= resources::kWholeDevice; ++free) {
    for (std::size_t level = 0; level < levels_.size(); ++level)
      fitting_[static_cast<std::size_t>(free)][level] =
          static_cast<std::uint16_t>(free / levels_[level]);
  }
}

std::uint32_t Fragmentation::level_of(std::int32_t milli) {
  const auto found = std::ranges::find(levels_, milli);
  if (found != levels_.end()) return static_cast<std::uint32_t>(found - levels_.begin());
  levels_.push_back(milli);
  return static_cast<std::uint32_t>(levels_.size() - 1);
}

void Fragmentation::add(const Mix::Entry& entry, const DeviceClasses& classes) {
  const TypicalShape& shape = entry.shape;
  if (shape.device_count == 0) {
    plain_.push_back(
        {.cpu_milli = shape.cpu_milli, .memory_mib = shape.memory_mib, .weight = entry.weight});
    return;
  }
  const bool is_fraction = shape.device_milli < resources::kWholeDevice;
  Served served{.cpu_milli = shape.cpu_milli, .memory_mib = shape.memory_mib};
  served.weight = entry.weight;
  served.size = std::int64_t{shape.device_count} * shape.device_milli;
  served.per_cpu = ratio(served.size, shape.cpu_milli);
  served.per_memory = ratio(served.size, shape.memory_mib);
  served.count = is_fraction ? 0 : shape.device_count;
  if (is_fraction) served.level = level_of(shape.device_milli);
  const DeviceClassSet serving = classes.serving({.kind = shape.device_kind,
                                                  .count = shape.device_count,
                                                  .milli = shape.device_milli,
                                                  .models = shape.device_models});
  const DeviceClassSet kind = classes.of_kind(shape.device_kind);
  for (std::size_t at = 0; at < classes_.size(); ++at) {
    const DeviceClassSet bit = DeviceClassSet{1} << at;
    if ((serving & bit) != 0) {
      classes_[at].served.push_back(served);
    } else if ((kind & bit) != 0) {
      classes_[at].refused_weight += entry.weight;
    }
  }
}

std::int64_t Fragmentation::of(const resources::Amounts& free,
                               std::span<const DeviceSlot> devices) const {
  std::int64_t sum = 0;
  bool counts_devices = false;
  for (const OfClass& each : classes_)
    counts_devices |= !each.served.empty();
  while (!devices.empty()) {
    const std::uint8_t device_class = devices.front().device_class;
    std::size_t count = 1;
    while (count < devices.size() && devices[count].device_class == device_class)
      ++count;
    sum += of_class(free, devices.first(count));
    devices = devices.subspan(count);
  }
  return plain_.empty() ? sum : sum + (of_amounts(free) >> (counts_devices ? kBesideDevices : 0));
}

std::int64_t Fragmentation::of_class(const resources::Amounts& free,
                                     std::span<const DeviceSlot> devices) const {
  const OfClass& own = classes_[devices.front().device_class];
  std::array<std::uint16_t, kLevels> fitting{};  // fractions of a level, on all devices
  std::array<std::int64_t, kLevels> useless{};   // milli of devices with too little for one
  std::int64_t total = 0;
  std::int64_t whole = 0;
  const std::size_t levels = levels_.size();
  for (const DeviceSlot& device : devices) {
    if (device.free_milli <= 0) continue;
    total += device.free_milli;
    if (device.free_milli >= resources::kWholeDevice) {
      ++whole;
      continue;
    }
    if (levels == 0) continue;
    const Row& row = fitting_[static_cast<std::size_t>(device.free_milli)];
    for (std::size_t level = 0; level < levels; ++level) {
      fitting[level] = static_cast<std::uint16_t>(fitting[level] + row[level]);
      useless[level] += row[level] == 0 ? device.free_milli : 0;
    }
  }
  if (total == 0) return 0;
  const std::int64_t whole_milli = whole * resources::kWholeDevice;
  std::int64_t lost = own.refused_weight * total * 2;
  for (const Served& each : own.served) {
    std::int64_t usable = 0;  // by such requests alone
    std::int64_t now = 0;     // on devices that have enough for one
    if (each.count == 0) {
      const std::int64_t fits = fitting[each.level] + whole * fitting_.back()[each.level];
      usable = fits * each.size;
      now = total - useless[each.level];
    } else {
      usable =
          each.count == 1 ? whole_milli : whole / each.count * each.count * resources::kWholeDevice;
      now = whole_milli;
    }
    const bool fits =
        usable != 0 && free.cpu_milli >= each.cpu_milli && free.memory_mib >= each.memory_mib;
    if (!fits) {
      lost += each.weight * total * 2;
      continue;
    }
    usable = std::min(
        {usable, scaled(free.cpu_milli, each.per_cpu), scaled(free.memory_mib, each.per_memory)});
    lost += each.weight * (total * 2 - usable - now);
  }
  return lost;
}

std::int64_t Fragmentation::of_amounts(const resources::Amounts& free) const {
  if (free.cpu_milli <= 0 || free.memory_mib <= 0) return 0;
  std::int64_t lost = 0;
  for (const Plain& each : plain_) {
    const std::int64_t by_cpu = free.cpu_milli / std::max<std::int64_t>(each.cpu_milli, 1);
    const std::int64_t by_memory = free.memory_mib / std::max<std::int64_t>(each.memory_mib, 1);
    const std::int64_t requests = std::min(by_cpu, by_memory);
    const std::int64_t left = (free.cpu_milli - requests * each.cpu_milli) * cpu_scale_ +
                              (free.memory_mib - requests * each.memory_mib) * memory_scale_;
    lost += (left >> 16) * each.weight;
  }
  return lost;
}

}  // namespace blixard::sched

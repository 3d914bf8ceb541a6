#include "core/sched/fragmentation.h"

#include <algorithm>
#include <bit>

namespace blixard::sched {

namespace {

constexpr int kRatioBits = 16;
constexpr int kScaleBits = 30;
// Beside devices, CPU and memory only decide between equals.
constexpr int kBesideDevices = 8;
constexpr std::int64_t kLooks = kLostDevice / resources::kWholeDevice;
// Above it an amount is as good as any, and products of it and a ratio stay in 64 bits.
constexpr std::int64_t kAmountMost = (std::int64_t{1} << 31) - 1;

std::uint64_t ratio(std::int64_t size, std::int64_t amount) {
  const auto exact = (static_cast<std::uint64_t>(size) << kRatioBits) /
                     static_cast<std::uint64_t>(std::max<std::int64_t>(amount, 1));
  return std::min<std::uint64_t>(exact, kAmountMost);
}

std::int64_t scaled(std::int64_t amount, std::uint64_t per) {
  return static_cast<std::int64_t>((static_cast<std::uint64_t>(amount) * per) >> kRatioBits);
}

// How many of a size are in an amount, by its reciprocal: a division takes as long as all else.
constexpr int kReciprocalBits = 31;
std::int64_t reciprocal(std::int64_t size) {
  return (std::int64_t{1} << kReciprocalBits) / std::clamp<std::int64_t>(size, 1, kAmountMost);
}
std::int64_t quotient(std::int64_t amount, std::int64_t size, std::int64_t reciprocal) {
  const std::int64_t least = (amount * reciprocal) >> kReciprocalBits;  // or one less
  return least + (amount - least * size >= size ? 1 : 0);
}

resources::Amounts bounded(const resources::Amounts& free) {
  return {.cpu_milli = std::min(free.cpu_milli, kAmountMost),
          .memory_mib = std::min(free.memory_mib, kAmountMost)};
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

std::size_t Fragmentation::size_of(const TypicalShape& shape) {
  const bool is_fraction = shape.device_milli < resources::kWholeDevice;
  const Size size{.count = is_fraction ? 0 : shape.device_count,
                  .milli = static_cast<std::int32_t>(shape.device_count) * shape.device_milli,
                  .level = is_fraction ? level_of(shape.device_milli) : 0};
  const auto found = std::ranges::find_if(sizes_, [&](const Size& each) {
    return each.count == size.count && each.milli == size.milli;
  });
  if (found != sizes_.end()) return static_cast<std::size_t>(found - sizes_.begin());
  sizes_.push_back(size);
  return sizes_.size() - 1;
}

void Fragmentation::add(const Mix::Entry& entry, const DeviceClasses& classes) {
  const TypicalShape& shape = entry.shape;
  if (shape.device_count == 0) {
    const std::int64_t cpu = std::clamp<std::int64_t>(shape.cpu_milli, 1, kAmountMost);
    const std::int64_t memory = std::clamp<std::int64_t>(shape.memory_mib, 1, kAmountMost);
    plain_.push_back({.cpu_milli = cpu,
                      .memory_mib = memory,
                      .per_cpu = reciprocal(cpu),
                      .per_memory = reciprocal(memory),
                      .weight = entry.weight});
    return;
  }
  Served served{.cpu_milli = shape.cpu_milli, .memory_mib = shape.memory_mib};
  served.weight = entry.weight;
  served.size = size_of(shape);
  served.per_cpu = ratio(sizes_[served.size].milli, shape.cpu_milli);
  served.per_memory = ratio(sizes_[served.size].milli, shape.memory_mib);
  const DeviceClassSet serving = classes.serving({.kind = shape.device_kind,
                                                  .count = shape.device_count,
                                                  .milli = shape.device_milli,
                                                  .models = shape.device_models});
  const DeviceClassSet kind = classes.of_kind(shape.device_kind);
  for (std::size_t at = 0; at < classes_.size(); ++at) {
    const DeviceClassSet bit = DeviceClassSet{1} << at;
    if ((kind & bit) == 0) continue;
    classes_[at].weight += entry.weight;
    if ((serving & bit) == 0) continue;
    classes_[at].served.push_back(served);
    has_device_requests_ = true;
  }
}

std::int64_t Fragmentation::of(const resources::Amounts& free,
                               std::span<const DeviceSlot> devices) const {
  const resources::Amounts amounts = bounded(free);
  std::int64_t sum = 0;
  while (!devices.empty()) {
    const std::uint8_t device_class = devices.front().device_class;
    std::size_t count = 1;
    while (count < devices.size() && devices[count].device_class == device_class)
      ++count;
    sum += of_class(amounts, devices.first(count));
    devices = devices.subspan(count);
  }
  if (plain_.empty()) return sum;
  return sum + (of_amounts(amounts) >> (has_device_requests_ ? kBesideDevices : 0));
}

std::int64_t Fragmentation::reach(std::span<const DeviceSlot> devices, Reaches& reaches) const {
  std::array<std::uint16_t, kLevels> fitting{};  // fractions of a level, on all devices
  std::array<std::int32_t, kLevels> useless{};   // milli of devices with too little for one
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
  for (std::size_t at = 0; at < sizes_.size(); ++at) {
    const Size& size = sizes_[at];
    if (size.count == 0) {
      const std::int64_t fits = fitting[size.level] + whole * fitting_.back()[size.level];
      reaches[at] = {.filled = fits * size.milli,
                     .now = fits == 0 ? 0 : total - useless[size.level]};
    } else {
      const std::int64_t filled =
          size.count == 1 ? whole : whole / size.count * std::int64_t{size.count};
      reaches[at] = {.filled = filled * resources::kWholeDevice,
                     .now = filled == 0 ? 0 : whole * resources::kWholeDevice};
    }
  }
  return total;
}

std::int64_t Fragmentation::of_class(const resources::Amounts& free,
                                     std::span<const DeviceSlot> devices) const {
  const OfClass& own = classes_[devices.front().device_class];
  Reaches reaches;
  const std::int64_t total = reach(devices, reaches);
  if (total == 0) return 0;
  std::int64_t reached = 0;
  for (const Served& each : own.served) {
    const Reach& devices_reached = reaches[each.size];
    const std::int64_t by_amounts =
        std::min(scaled(free.cpu_milli, each.per_cpu), scaled(free.memory_mib, each.per_memory));
    const std::int64_t of_one =
        std::min(devices_reached.filled, by_amounts) + devices_reached.now * (kLooks - 1);
    const bool fits = free.cpu_milli >= each.cpu_milli && free.memory_mib >= each.memory_mib;
    reached += fits ? each.weight * of_one : 0;
  }
  return own.weight * total * kLooks - reached;
}

std::int64_t Fragmentation::of_amounts(const resources::Amounts& free) const {
  if (free.cpu_milli <= 0 || free.memory_mib <= 0) return 0;
  std::int64_t lost = 0;
  for (const Plain& each : plain_) {
    const std::int64_t requests =
        std::min(quotient(free.cpu_milli, each.cpu_milli, each.per_cpu),
                 quotient(free.memory_mib, each.memory_mib, each.per_memory));
    const std::int64_t left = (free.cpu_milli - requests * each.cpu_milli) * cpu_scale_ +
                              (free.memory_mib - requests * each.memory_mib) * memory_scale_;
    lost += (left >> 16) * each.weight;
  }
  return lost;
}

}  // namespace blixard::sched

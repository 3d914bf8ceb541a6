#pragma once

// How much of what a node has left the next requests are expected not to be able to use.
//
// After "fragmentation gradient descent" (Weng, Yang, Yu, Wang, Tang, Yang, Zhang: Beware of
// Fragmentation, USENIX ATC 2023): for a typical mix M of requests, F(node) is the sum over M of
// (weight of the request) * (free devices that it cannot use on the node), and a VM goes where F
// grows least. A request that fits nowhere on the node wastes all its free devices, one that fits
// wastes those with too little left for it.
//
// Ours adds a second look to each request of the mix: what would be left if the node were filled
// with such requests until its CPU, memory or devices run out. The paper's term sees that a node
// cannot take one more; this one sees early that eight devices stand beside CPU for three. It
// counts a quarter: an eighth to a half measured about the same, all of it worse, none much worse.
// Where the mix has no devices it is CPU and memory that are measured, by the second look alone.
//
// Whole numbers: a lost device counts kLostDevice * kMixWeight; CPU and memory are measured in the
// fleet's mean node. Nodes with several models are looked at model by model.

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "core/resources/amounts.h"
#include "core/resources/room.h"
#include "core/sched/devices.h"
#include "core/sched/mix.h"

namespace blixard::sched {

// Of a device that no request of the mix can use: its milli times how much both looks count.
inline constexpr std::int64_t kLostDevice = std::int64_t{4} * resources::kWholeDevice;

class Fragmentation {
 public:
  Fragmentation() = default;
  // `mean` is of the fleet's nodes.
  Fragmentation(const Mix& mix, const DeviceClasses& classes, const resources::Amounts& mean);

  // Of a node with that left. Devices of one class are side by side.
  [[nodiscard]] std::int64_t of(const resources::Amounts& free,
                                std::span<const DeviceSlot> devices) const;

 private:
  // The devices that a request takes. Requests that differ in CPU and memory alone share one.
  struct Size {
    std::uint32_t count = 0;  // of whole devices; 0: a fraction of one
    std::int32_t milli = 0;   // of all of them
    std::uint32_t level = 0;  // of a fraction
  };
  // What such requests reach of the devices of a class, in milli.
  struct Reach {
    std::int64_t filled;  // if it is filled with them
    std::int64_t now;     // on devices with enough for one
  };
  struct Served {
    std::int64_t cpu_milli = 0;
    std::int64_t memory_mib = 0;
    std::uint64_t per_cpu = 0;     // device milli for a thousandth of a core, times 2^16
    std::uint64_t per_memory = 0;  // for a MiB
    std::int64_t weight = 0;
    std::size_t size = 0;  // in sizes_
  };
  struct OfClass {
    std::vector<Served> served;
    std::int64_t weight = 0;  // also of requests for other models of the kind
  };
  struct Plain {
    std::int64_t cpu_milli = 0;
    std::int64_t memory_mib = 0;
    std::int64_t per_cpu = 0;  // requests for a thousandth of a core, times 2^31
    std::int64_t per_memory = 0;
    std::int64_t weight = 0;
  };
  static constexpr std::size_t kLevels = kMixEntries;
  using Row = std::array<std::uint16_t, kLevels>;  // by level
  using Reaches = std::array<Reach, kMixEntries>;  // by size

  void add(const Mix::Entry& entry, const DeviceClasses& classes);
  std::uint32_t level_of(std::int32_t milli);
  std::size_t size_of(const TypicalShape& shape);
  // Returns the milli that are left.
  std::int64_t reach(std::span<const DeviceSlot> devices, Reaches& reaches) const;
  [[nodiscard]] std::int64_t of_class(const resources::Amounts& free,
                                      std::span<const DeviceSlot> devices) const;
  [[nodiscard]] std::int64_t of_amounts(const resources::Amounts& free) const;

  std::vector<OfClass> classes_;
  bool has_device_requests_ = false;  // that some class serves
  std::vector<Plain> plain_;
  std::vector<Size> sizes_;
  std::vector<std::int32_t> levels_;  // sizes of fractions
  std::vector<Row> fitting_;          // by free thousandths: how many fractions of a level fit in
  std::int64_t cpu_scale_ = 0;
  std::int64_t memory_scale_ = 0;
};

}  // namespace blixard::sched

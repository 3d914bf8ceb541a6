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
// cannot take one more; this one sees early that eight devices stand beside CPU for three. Both
// count half. Where the mix has no devices it is CPU and memory that are measured, by the second
// look alone.
//
// Whole numbers: a lost device counts 1000 * 2 * kMixWeight; CPU and memory are measured in the
// fleet's mean node. Nodes with several models are looked at model by model.

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "core/resources/amounts.h"
#include "core/sched/devices.h"
#include "core/sched/mix.h"

namespace blixard::sched {

class Fragmentation {
 public:
  Fragmentation() = default;
  // `mean` is of the fleet's nodes.
  Fragmentation(const Mix& mix, const DeviceClasses& classes, const resources::Amounts& mean);

  // Of a node with that left. Devices of one class are side by side.
  [[nodiscard]] std::int64_t of(const resources::Amounts& free,
                                std::span<const DeviceSlot> devices) const;

 private:
  // Of one class: requests of the mix that it serves.
  struct Served {
    std::int64_t cpu_milli = 0;
    std::int64_t memory_mib = 0;
    std::uint64_t per_cpu = 0;     // device milli for a thousandth of a core, times 2^16
    std::uint64_t per_memory = 0;  // for a MiB
    std::int64_t size = 0;         // device milli of one request
    std::int64_t weight = 0;
    std::uint32_t count = 0;  // of whole devices; 0: a fraction of one
    std::uint32_t level = 0;  // of a fraction
  };
  struct OfClass {
    std::vector<Served> served;
    std::int64_t refused_weight = 0;  // of requests for other models of the kind
  };
  struct Plain {
    std::int64_t cpu_milli = 0;
    std::int64_t memory_mib = 0;
    std::int64_t weight = 0;
  };
  static constexpr std::size_t kLevels = kMixEntries;
  using Row = std::array<std::uint16_t, kLevels>;  // by level

  void add(const Mix::Entry& entry, const DeviceClasses& classes);
  std::uint32_t level_of(std::int32_t milli);
  [[nodiscard]] std::int64_t of_class(const resources::Amounts& free,
                                      std::span<const DeviceSlot> devices) const;
  [[nodiscard]] std::int64_t of_amounts(const resources::Amounts& free) const;

  std::vector<OfClass> classes_;
  std::vector<Plain> plain_;
  std::vector<std::int32_t> levels_;  // sizes of fractions
  std::vector<Row> fitting_;          // by free thousandths: how many fractions of a level fit in
  std::int64_t cpu_scale_ = 0;
  std::int64_t memory_scale_ = 0;
};

}  // namespace blixard::sched

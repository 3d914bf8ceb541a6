#pragma once

// What a node offers to VMs.
//
// A node tells its physical amounts. What may be promised of them is more where a resource is
// overcommitted (few guests use all they asked for at once) and less by a reserve for the system:
//
//   supply = physical * ratio * (1 - reserve)
//
// in whole percent, rounded down once. Network, counters and devices are promised as they are: a
// guest that was promised a licence or a GPU finds it.
//
// A VM with dedicated cores counts `cpu_percent / 100` times, so that its cores are promised
// physically once whatever the ratio is, and the others share what is left.

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/name.h"
#include "core/resources/amounts.h"

namespace blixard::resources {

// Something countable that the cluster does not know otherwise: licences, addresses, slots.
struct Counter {
  Name name;
  std::int64_t amount = 0;
  friend bool operator==(const Counter&, const Counter&) = default;
};

// Equal devices of a node. A node's devices are numbered from 0 through all its groups, in order.
struct DeviceGroup {
  Name kind;   // "gpu"
  Name model;  // "a100"; may be empty
  std::uint32_t count = 0;
  friend bool operator==(const DeviceGroup&, const DeviceGroup&) = default;
};

struct Supply {
  Amounts amounts;
  std::vector<Counter> counters;  // by name
  std::vector<DeviceGroup> devices;
  friend bool operator==(const Supply&, const Supply&) = default;
};

// Whole percent. Ratios 100..1000, reserve 0..90.
struct Overcommit {
  std::uint32_t cpu_percent = 400;
  std::uint32_t memory_percent = 100;
  std::uint32_t disk_percent = 100;
  std::uint32_t reserve_percent = 0;
  friend bool operator==(const Overcommit&, const Overcommit&) = default;
};

inline constexpr Overcommit kStandard{};
inline constexpr Overcommit kConservative{100, 100, 100, 10};
inline constexpr Overcommit kModerate{200, 120, 110, 15};
inline constexpr Overcommit kAggressive{400, 150, 130, 5};

// "standard", "conservative", "moderate", "aggressive"; "custom" of any other.
std::string_view preset_name(const Overcommit& overcommit);
std::optional<Overcommit> parse_preset(std::string_view name);
bool is_valid(const Overcommit& overcommit);

Amounts offered(const Amounts& physical, const Overcommit& overcommit);

}  // namespace blixard::resources

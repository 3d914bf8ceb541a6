#pragma once

// The typical mix of requests: what is asked for, and how often, of all that a cluster has and
// waits for. Fragmentation is measured against it.
//
// It is made of counts, and of nothing else, so that equal counts give equal mixes whatever came
// first. It is coarse on purpose: weights are steps of half a power of two relative to each other,
// and only the kMixEntries most frequent shapes count. So it seldom changes while VMs come and go,
// and all scores that were made with it stay good. Where most requests have sizes of their own,
// sizes are rounded up to two binary digits behind the first.

#include <compare>
#include <cstdint>
#include <map>
#include <vector>

#include "core/resources/room.h"

namespace blixard::sched {

inline constexpr std::size_t kMixEntries = 48;
inline constexpr std::uint32_t kMixWeight = 1U << 16;  // of all entries together, about

// Of a request, what the mix counts: its first kind of device stands for all.
struct TypicalShape {
  std::int64_t cpu_milli = 0;
  std::int64_t memory_mib = 0;
  std::uint32_t device_count = 0;  // 0: it needs none
  std::int32_t device_milli = 0;
  Name device_kind;
  std::vector<Name> device_models;
  friend auto operator<=>(const TypicalShape&, const TypicalShape&) = default;
  friend bool operator==(const TypicalShape&, const TypicalShape&) = default;
};
TypicalShape typical(const resources::Demand& demand);

using ShapeCounts = std::map<TypicalShape, std::uint64_t>;

struct Mix {
  struct Entry {
    TypicalShape shape;
    std::uint32_t weight = 0;
    friend bool operator==(const Entry&, const Entry&) = default;
  };
  std::vector<Entry> entries;
  friend bool operator==(const Mix&, const Mix&) = default;
};
Mix mix_of(const ShapeCounts& counts);

}  // namespace blixard::sched

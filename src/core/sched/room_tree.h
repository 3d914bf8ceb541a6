#pragma once

// Finds nodes that may have room, in the order of their numbers, without looking at all of them.
//
// A tree over the nodes: each inner vertex holds the largest amount of each resource that any node
// below it has left, and the classes of devices that are left there. A subtree without enough of
// one resource is passed over at once. Where the largest CPU and the largest memory are of two
// nodes it may descend in vain, so a found node has room for certain only in what is asked here:
// the caller checks it. Closed nodes have nothing.
//
// Amounts are cut to 31 bits, downwards for what is left; what is needed is cut the same way.

#include <cstdint>
#include <vector>

#include "core/resources/amounts.h"
#include "core/sched/devices.h"

namespace blixard::sched {

using NodeIndex = std::uint32_t;
inline constexpr NodeIndex kNoNode = ~NodeIndex{0};

class RoomTree {
 public:
  // Of a node: what it has left. Of a need: what it has to have.
  struct Most {
    std::int32_t cpu_milli = kClosed;
    std::int32_t memory_mib = kClosed;
    std::int32_t disk_mib = kClosed;
    std::int32_t network_mbit = kClosed;
    std::int32_t device_milli = kClosed;  // of one device
    std::int32_t whole_devices = kClosed;
    DeviceClassSet classes = 0;  // of a need: one of them will do; none is needed if it has none
  };
  static constexpr std::int32_t kClosed = INT32_MIN;
  static constexpr std::int32_t kNothing = INT32_MIN + 1;  // needed: whatever is left will do

  static std::int32_t left(std::int64_t amount);
  static std::int32_t needed(std::int64_t amount);

  // So many nodes, all closed.
  void resize(std::size_t nodes);
  // Valid after the next settle().
  void set(NodeIndex node, const Most& most);
  void settle();

  // The first at or behind `from` and before `end`; kNoNode if there is none.
  [[nodiscard]] NodeIndex first(const Most& need, NodeIndex from, NodeIndex end) const;

 private:
  static bool has(const Most& most, const Most& need);
  void join(std::size_t vertex);

  std::vector<Most> vertices_;  // the root is 1; the leaves begin at leaves_
  std::size_t leaves_ = 0;
  bool is_settled_ = true;  // false: many changed at once, all inner vertices are to be made anew
  std::vector<NodeIndex> changed_;
};

}  // namespace blixard::sched

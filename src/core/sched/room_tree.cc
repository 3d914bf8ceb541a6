#include "core/sched/room_tree.h"

#include <algorithm>
#include <bit>
#include <limits>

namespace blixard::sched {

namespace {

constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max();
constexpr std::int64_t kLeast = RoomTree::kNothing;

}  // namespace

std::int32_t RoomTree::left(std::int64_t amount) {
  return static_cast<std::int32_t>(std::clamp(amount, kLeast, kMost));
}

std::int32_t RoomTree::needed(std::int64_t amount) {
  return amount == 0 ? kNothing : static_cast<std::int32_t>(std::min(amount, kMost));
}

void RoomTree::resize(std::size_t nodes) {
  leaves_ = std::bit_ceil(std::max<std::size_t>(nodes, 1));
  vertices_.assign(2 * leaves_, Most());
  changed_.clear();
  is_settled_ = true;
}

void RoomTree::set(NodeIndex node, const Most& most) {
  vertices_[leaves_ + node] = most;
  if (!is_settled_) return;
  changed_.push_back(node);
  // From here on making all anew is less work.
  if (changed_.size() * 16 > leaves_) {
    changed_.clear();
    is_settled_ = leaves_ == 1;
  }
}

void RoomTree::settle() {
  if (!is_settled_) {
    for (std::size_t vertex = leaves_ - 1; vertex != 0; --vertex)
      join(vertex);
    is_settled_ = true;
    return;
  }
  for (const NodeIndex node : changed_) {
    for (std::size_t vertex = (leaves_ + node) / 2; vertex != 0; vertex /= 2)
      join(vertex);
  }
  changed_.clear();
}

void RoomTree::join(std::size_t vertex) {
  const Most& a = vertices_[2 * vertex];
  const Most& b = vertices_[2 * vertex + 1];
  vertices_[vertex] = {.cpu_milli = std::max(a.cpu_milli, b.cpu_milli),
                       .memory_mib = std::max(a.memory_mib, b.memory_mib),
                       .disk_mib = std::max(a.disk_mib, b.disk_mib),
                       .network_mbit = std::max(a.network_mbit, b.network_mbit),
                       .device_milli = std::max(a.device_milli, b.device_milli),
                       .whole_devices = std::max(a.whole_devices, b.whole_devices),
                       .classes = a.classes | b.classes};
}

bool RoomTree::has(const Most& most, const Most& need) {
  return most.cpu_milli >= need.cpu_milli && most.memory_mib >= need.memory_mib &&
         most.disk_mib >= need.disk_mib && most.network_mbit >= need.network_mbit &&
         most.device_milli >= need.device_milli && most.whole_devices >= need.whole_devices &&
         (need.classes == 0 || (most.classes & need.classes) != 0);
}

NodeIndex RoomTree::first(const Most& need, NodeIndex from, NodeIndex end) const {
  std::size_t vertex = leaves_ + from;
  const std::size_t last = leaves_ + end;  // one behind
  if (from >= end) return kNoNode;
  while (true) {
    if (has(vertices_[vertex], need)) {
      if (vertex >= leaves_) return static_cast<NodeIndex>(vertex - leaves_);
      vertex *= 2;
      continue;
    }
    // To the next subtree on the right: up while it is a right child.
    while ((vertex & 1) != 0) {
      vertex /= 2;
      if (vertex <= 1) return kNoNode;
    }
    ++vertex;
    // The leftmost leaf below it.
    const int depth = std::countl_zero(vertex) - std::countl_zero(leaves_);
    if (vertex << depth >= last) return kNoNode;
  }
}

}  // namespace blixard::sched

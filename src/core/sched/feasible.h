#pragma once

// Whether a node can take a request, whatever the other VMs mean to each other; circumstances.h has
// what they do.
//
// What keeps a request from a node is a value, so that looking at thousands of nodes makes no
// texts; the sentence is made for the few that people see.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/sched/fleet.h"
#include "core/sched/shape.h"

namespace blixard::sched {

struct Obstacle {
  enum class Kind : std::uint8_t {
    kClosed,
    kArchitecture,  // not that of the image
    kNotNamed,      // the request names another node
    kTaint,         // `number` of the node's
    kConstraint,    // `number` of the request's
    kDatacenter,    // excluded, or not the strictly wanted one
    kZone,          // not the strictly wanted one
    kLatency,       // `number` milliseconds; -1: nobody told
    kRoom,          // `lack`
    kSavedState,    // its saved guest needs another host
    kReserved,      // `lack`: the room is there, and kept for others
    kPort,          // `number`
    kTenant,        // has `number` VMs on the node, which is all it may
    kGroup,         // rule `number` of group `name`
  };
  Kind kind = Kind::kClosed;
  Closed closed = Closed::kOpen;
  std::int64_t number = 0;
  Name name;
  resources::Lack lack;
};

// The first, in the order of Kind up to kRoom. O(constraints + devices).
std::optional<Obstacle> obstacle(const Fleet& fleet, NodeIndex at, const Shape& shape);
// All of those but room: what does not change with other VMs.
std::optional<Obstacle> lasting_obstacle(const Fleet& fleet, NodeIndex at, const Shape& shape);
// All, in that order; each thing that the node lacks is one.
std::vector<Obstacle> obstacles(const Fleet& fleet, NodeIndex at, const Shape& shape);
// The same as !room(at).lack(demand), and faster.
bool has_room(const Fleet& fleet, NodeIndex at, const Shape& shape);

// Between the datacenter that the request wants to be near to and another; nothing: nobody told.
std::optional<std::uint32_t> latency_ms(const cluster::PlacementPolicy& policy, const Name& a,
                                        const Name& b);

}  // namespace blixard::sched

#pragma once

// The nodes that VMs may go to and what each has left, kept incrementally: what the planner looks
// at, whether they come from a cluster's state (fleet_of_state.h) or from a file.
//
// Nodes are numbered from 0 in the order of their ids, whatever order they came in, so that the
// same nodes with the same VMs are the same fleet and get the same answers. What scores and room
// trees remember is acceleration: they follow the journal of nodes that changed.
//
// Invariant: a node's room is its supply less what was taken there and not given back.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "base/name.h"
#include "core/cluster/model.h"
#include "core/cluster/policy.h"
#include "core/resources/room.h"
#include "core/resources/supply.h"
#include "core/sched/devices.h"
#include "core/sched/fragmentation.h"
#include "core/sched/mix.h"
#include "core/sched/request.h"
#include "core/sched/room_tree.h"

namespace blixard::sched {

class Shapes;

// Why nothing is placed on a node, whatever it has left.
enum class Closed : std::uint8_t {
  kOpen,
  kLeaving,
  kDraining,
  kCordoned,
  kUnregistered,  // nothing is known of it yet
  kPretending,    // its guests are not real, and other nodes' are
};

struct FleetNode {
  NodeId id;
  Name name;
  resources::Supply supply;                // what may be promised
  std::vector<cluster::Label> attributes;  // by key; labels as "label.KEY"
  cluster::Topology topology;
  std::vector<cluster::Taint> taints;
  std::string architecture;  // empty: not told
  std::vector<Name> images;  // on its disk, by name
  std::int64_t cost_per_hour_micro = 0;
  std::uint64_t revision = 0;
  Closed closed = Closed::kOpen;
  friend bool operator==(const FleetNode&, const FleetNode&) = default;
};

class Fleet {
 public:
  Fleet();
  ~Fleet();
  Fleet(Fleet&& other) noexcept;
  Fleet& operator=(Fleet&& other) noexcept;

  // Takes the place of the one with its id. It is empty then: whoever replaces a node takes again
  // what is on it. O(nodes) unless its id is the highest or it is known.
  NodeIndex put(FleetNode node);
  // O(nodes). No error if there is none.
  void remove(NodeId id);

  [[nodiscard]] std::size_t size() const { return nodes_.size(); }
  [[nodiscard]] NodeIndex find(NodeId id) const;  // kNoNode: there is none
  [[nodiscard]] const FleetNode& node(NodeIndex at) const { return nodes_[at]; }
  [[nodiscard]] const resources::Room& room(NodeIndex at) const { return rooms_[at]; }
  [[nodiscard]] std::uint32_t vms(NodeIndex at) const { return hot_[at].vms; }
  [[nodiscard]] std::uint64_t all_vms() const { return all_vms_; }
  [[nodiscard]] std::uint32_t vms_of(NodeIndex at, const Name& tenant) const;
  [[nodiscard]] bool is_taken(NodeIndex at, std::uint16_t port) const;

  // What the node has left and how many VMs are on it, as somebody else counts it; what was taken
  // here is forgotten.
  void set_room(NodeIndex at, resources::Room room, std::uint32_t vms);
  // Takes a VM off that set_room() counted, and puts it on again: room and number.
  void lift(NodeIndex at, const resources::Demand& demand, const resources::DeviceNumbers& devices);
  void put_down(NodeIndex at, const resources::Demand& demand,
                const resources::DeviceNumbers& devices);
  // Precondition of take(): the devices are there. Room may become less than nothing.
  void take(NodeIndex at, const Request& request, const resources::DeviceNumbers& devices);
  void give_back(NodeIndex at, const Request& request, const resources::DeviceNumbers& devices);

  // The typical mix that fragmentation is measured against. An equal one changes nothing.
  void set_mix(Mix mix);
  [[nodiscard]] const Mix& mix() const { return mix_; }

  // How what does not say otherwise is placed; forgets all scores.
  void set_policy(cluster::PlacementPolicy policy);
  [[nodiscard]] const cluster::PlacementPolicy& policy() const { return policy_; }

  // For scores and indexes.

  [[nodiscard]] const DeviceClasses& classes() const { return classes_; }
  // The same as of room(at) and node(at), from what scores find in one place.
  [[nodiscard]] const resources::Amounts& free(NodeIndex at) const { return hot_[at].free; }
  [[nodiscard]] const resources::Amounts& supply(NodeIndex at) const { return hot_[at].supply; }
  [[nodiscard]] const Name& architecture(NodeIndex at) const { return hot_[at].architecture; }
  // Open, and without taints.
  [[nodiscard]] bool is_plain(NodeIndex at) const { return hot_[at].is_plain; }
  [[nodiscard]] std::span<const DeviceSlot> devices(NodeIndex at) const {
    return std::span(slots_).subspan(hot_[at].first_device, hot_[at].devices);
  }
  // It will be scored soon, and those after it.
  void prefetch(NodeIndex at) const;
  // F of the node as it is, and of it with that left.
  [[nodiscard]] std::int64_t fragmentation(NodeIndex at) const;
  [[nodiscard]] std::int64_t fragmentation(const resources::Amounts& free,
                                           std::span<const DeviceSlot> devices) const;
  // Nodes change one after the other; the numbers of those since a position, oldest first, or
  // nothing if that is too long ago: then any may have changed. Valid until the next change.
  [[nodiscard]] std::uint64_t journal_end() const { return journal_begin_ + journal_.size(); }
  [[nodiscard]] std::optional<std::span<const NodeIndex>> changed_since(
      std::uint64_t position) const;
  [[nodiscard]] std::uint32_t version(NodeIndex at) const { return hot_[at].version; }
  // Grows with whatever changes all scores: nodes that come and go, the mix.
  [[nodiscard]] std::uint64_t epoch() const { return epoch_; }
  // Grows when any node may have more room than before.
  [[nodiscard]] std::uint64_t growth() const { return growth_; }
  // Settled.
  [[nodiscard]] const RoomTree& tree();
  [[nodiscard]] Shapes& shapes() { return *shapes_; }

 private:
  // F as it was worked out last.
  struct Remembered {
    std::uint64_t epoch = 0;
    std::int64_t value = 0;
    std::uint32_t version = 0;
  };
  // What scores look at, side by side: of fleets larger than the cache each line is a wait.
  struct Hot {
    resources::Amounts free;
    resources::Amounts supply;
    mutable Remembered fragmentation;
    std::uint32_t first_device = 0;
    std::uint32_t devices = 0;
    std::uint32_t vms = 0;
    std::uint32_t version = 0;
    Name architecture;
    bool is_plain = false;
  };
  // Beside amounts and devices.
  struct Residents {
    std::vector<std::pair<Name, std::uint32_t>> tenants;
    std::vector<std::uint16_t> ports;
  };

  void rebuild();
  void place_devices(NodeIndex at);
  void refresh(NodeIndex at);
  void move(NodeIndex at, const Request& request, const resources::DeviceNumbers& devices,
            bool is_taken);
  void note_change(NodeIndex at);
  const Fragmentation& measure() const;

  std::vector<FleetNode> nodes_;  // by id
  std::vector<resources::Room> rooms_;
  std::vector<Residents> residents_;
  std::vector<Hot> hot_;
  std::vector<DeviceSlot> slots_;  // of all nodes; one's are in the order of its devices
  DeviceClasses classes_;
  RoomTree tree_;
  bool has_tree_ = false;
  std::vector<NodeIndex> journal_;
  std::uint64_t journal_begin_ = 0;
  std::uint64_t epoch_ = 1;
  std::uint64_t growth_ = 1;
  std::uint64_t all_vms_ = 0;
  Mix mix_;
  cluster::PlacementPolicy policy_;
  std::unique_ptr<Shapes> shapes_;

  mutable Fragmentation measure_;
  mutable std::uint64_t measured_epoch_ = 0;
};

}  // namespace blixard::sched

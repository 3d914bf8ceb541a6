#include "core/sched/fleet.h"

#include <algorithm>
#include <cstddef>

#include "base/assert.h"
#include "core/sched/shape.h"

namespace blixard::sched {

namespace {

constexpr std::size_t kJournal = 65'536;

// Of anything.
bool may_take_more(const resources::Room& before, const resources::Room& now) {
  const auto is_more = [&](resources::Kind kind) {
    return now.amounts().of(kind) > before.amounts().of(kind);
  };
  return std::ranges::any_of(resources::kKinds, is_more) || now.counters() != before.counters() ||
         now.devices() != before.devices();
}

}  // namespace

Fleet::Fleet() : shapes_(std::make_unique<Shapes>()) {}
Fleet::~Fleet() = default;
Fleet::Fleet(Fleet&& other) noexcept = default;
Fleet& Fleet::operator=(Fleet&& other) noexcept = default;

NodeIndex Fleet::find(NodeId id) const {
  const auto found = std::ranges::lower_bound(nodes_, id, {}, &FleetNode::id);
  if (found == nodes_.end() || found->id != id) return kNoNode;
  return static_cast<NodeIndex>(found - nodes_.begin());
}

NodeIndex Fleet::put(FleetNode node) {
  const auto place = std::ranges::lower_bound(nodes_, node.id, {}, &FleetNode::id);
  const auto at = place - nodes_.begin();
  const auto index = static_cast<NodeIndex>(at);
  const bool is_known = place != nodes_.end() && place->id == node.id;
  if (is_known) {
    const bool same_devices = place->supply.devices == node.supply.devices;
    *place = std::move(node);
    rooms_[index] = resources::Room(nodes_[index].supply);
    residents_[index] = {};
    all_vms_ -= hot_[index].vms;
    hot_[index].vms = 0;
    ++growth_;
    if (!same_devices) {
      rebuild();
    } else {
      refresh(index);
      ++epoch_;  // the mean of all nodes is part of every score
    }
    return index;
  }
  const bool is_last = place == nodes_.end();
  rooms_.insert(rooms_.begin() + at, resources::Room(node.supply));
  residents_.insert(residents_.begin() + at, Residents());
  hot_.insert(hot_.begin() + at, Hot());
  nodes_.insert(place, std::move(node));
  ++growth_;
  if (is_last) {
    has_tree_ = false;
    place_devices(index);
    refresh(index);
    ++epoch_;
  } else {
    rebuild();
  }
  return index;
}

void Fleet::remove(NodeId id) {
  const NodeIndex index = find(id);
  if (index == kNoNode) return;
  all_vms_ -= hot_[index].vms;
  nodes_.erase(nodes_.begin() + index);
  rooms_.erase(rooms_.begin() + index);
  residents_.erase(residents_.begin() + index);
  hot_.erase(hot_.begin() + index);
  rebuild();
}

// After numbers moved.
void Fleet::rebuild() {
  has_tree_ = false;  // before anything is noted in it
  slots_.clear();
  for (NodeIndex at = 0; at < nodes_.size(); ++at) {
    place_devices(at);
    refresh(at);
  }
  ++epoch_;
}

void Fleet::place_devices(NodeIndex at) {
  Hot& hot = hot_[at];
  hot.first_device = static_cast<std::uint32_t>(slots_.size());
  hot.devices = static_cast<std::uint32_t>(rooms_[at].devices().size());
  for (const resources::Device& device : rooms_[at].devices())
    slots_.push_back({.device_class = classes_.intern(device.kind, device.model)});
}

// What is kept beside the room.
void Fleet::refresh(NodeIndex at) {
  Hot& hot = hot_[at];
  const FleetNode& node = nodes_[at];
  hot.free = rooms_[at].amounts();
  hot.supply = node.supply.amounts;
  hot.is_plain = node.closed == Closed::kOpen && node.taints.empty();
  if (!(hot.architecture == std::string_view(node.architecture)))
    hot.architecture = Name(node.architecture);
  const auto& devices = rooms_[at].devices();
  for (std::size_t number = 0; number < devices.size(); ++number)
    slots_[hot.first_device + number].free_milli =
        static_cast<std::int16_t>(devices[number].free_milli);
  note_change(at);
}

void Fleet::prefetch(NodeIndex at) const {
  constexpr std::size_t kNodes = 4;
  constexpr std::size_t kLine = 64;
  const auto bytes = std::as_bytes(std::span(hot_).subspan(at, std::min(hot_.size() - at, kNodes)));
  for (std::size_t line = 0; line < bytes.size(); line += kLine)
    __builtin_prefetch(&bytes[line]);
}

void Fleet::note_change(NodeIndex at) {
  ++hot_[at].version;
  if (journal_.size() == kJournal) {
    journal_.erase(journal_.begin(), journal_.begin() + kJournal / 2);
    journal_begin_ += kJournal / 2;
  }
  journal_.push_back(at);
  if (!has_tree_) return;
  RoomTree::Most most;
  if (nodes_[at].closed == Closed::kOpen) {
    const resources::Amounts& free = hot_[at].free;
    most = {.cpu_milli = RoomTree::left(free.cpu_milli),
            .memory_mib = RoomTree::left(free.memory_mib),
            .disk_mib = RoomTree::left(free.disk_mib),
            .network_mbit = RoomTree::left(free.network_mbit),
            .device_milli = 0,
            .whole_devices = 0};
    for (const DeviceSlot& slot : devices(at)) {
      if (slot.free_milli <= 0) continue;
      most.device_milli = std::max<std::int32_t>(most.device_milli, slot.free_milli);
      most.whole_devices += slot.free_milli >= resources::kWholeDevice ? 1 : 0;
      most.classes |= DeviceClassSet{1} << slot.device_class;
    }
  }
  tree_.set(at, most);
}

std::optional<std::span<const NodeIndex>> Fleet::changed_since(std::uint64_t position) const {
  if (position < journal_begin_) return std::nullopt;
  return std::span(journal_).subspan(position - journal_begin_);
}

const RoomTree& Fleet::tree() {
  if (!has_tree_) {
    tree_.resize(nodes_.size());
    has_tree_ = true;
    for (NodeIndex at = 0; at < nodes_.size(); ++at)
      refresh(at);
  }
  tree_.settle();
  return tree_;
}

void Fleet::set_room(NodeIndex at, resources::Room room, std::uint32_t vms) {
  if (may_take_more(rooms_[at], room)) ++growth_;
  const bool is_same = rooms_[at] == room && hot_[at].vms == vms;
  all_vms_ += vms;
  all_vms_ -= hot_[at].vms;
  hot_[at].vms = vms;
  residents_[at] = {};
  if (is_same) return;
  rooms_[at] = std::move(room);
  refresh(at);
}

void Fleet::lift(NodeIndex at, const resources::Demand& demand,
                 const resources::DeviceNumbers& devices) {
  BLX_ASSERT(hot_[at].vms != 0);
  rooms_[at].give_back(demand, devices);
  --hot_[at].vms;
  --all_vms_;
  ++growth_;
  refresh(at);
}

void Fleet::put_down(NodeIndex at, const resources::Demand& demand,
                     const resources::DeviceNumbers& devices) {
  rooms_[at].take(demand, devices);
  ++hot_[at].vms;
  ++all_vms_;
  refresh(at);
}

void Fleet::take(NodeIndex at, const Request& request, const resources::DeviceNumbers& devices) {
  move(at, request, devices, true);
}

void Fleet::give_back(NodeIndex at, const Request& request,
                      const resources::DeviceNumbers& devices) {
  move(at, request, devices, false);
  ++growth_;
}

void Fleet::move(NodeIndex at, const Request& request, const resources::DeviceNumbers& devices,
                 bool is_taken) {
  Residents& residents = residents_[at];
  const Name& tenant = request.wishes->tenant;
  const auto known = std::ranges::find(residents.tenants, tenant,
                                       [](const auto& each) -> auto& { return each.first; });
  if (is_taken) {
    rooms_[at].take(request.demand, devices);
    ++hot_[at].vms;
    ++all_vms_;
    if (known != residents.tenants.end()) {
      ++known->second;
    } else {
      residents.tenants.emplace_back(tenant, 1);
    }
    residents.ports.insert(residents.ports.end(), request.ports.begin(), request.ports.end());
  } else {
    BLX_ASSERT(known != residents.tenants.end() && hot_[at].vms != 0);
    rooms_[at].give_back(request.demand, devices);
    --hot_[at].vms;
    --all_vms_;
    if (--known->second == 0) residents.tenants.erase(known);
    for (const std::uint16_t port : request.ports) {
      const auto found = std::ranges::find(residents.ports, port);
      if (found != residents.ports.end()) residents.ports.erase(found);
    }
  }
  refresh(at);
}

std::uint32_t Fleet::vms_of(NodeIndex at, const Name& tenant) const {
  for (const auto& [name, vms] : residents_[at].tenants)
    if (name == tenant) return vms;
  return 0;
}

bool Fleet::is_taken(NodeIndex at, std::uint16_t port) const {
  return std::ranges::find(residents_[at].ports, port) != residents_[at].ports.end();
}

void Fleet::set_mix(Mix mix) {
  if (mix == mix_) return;
  mix_ = std::move(mix);
  ++epoch_;
}

void Fleet::set_policy(cluster::PlacementPolicy policy) {
  if (policy == policy_) return;
  policy_ = std::move(policy);
  shapes_->forget();
  ++epoch_;
  ++growth_;
}

const Fragmentation& Fleet::measure() const {
  if (measured_epoch_ == epoch_) return measure_;
  resources::Amounts sum;
  for (const FleetNode& node : nodes_)
    sum += node.supply.amounts;
  const auto nodes = static_cast<std::int64_t>(std::max<std::size_t>(nodes_.size(), 1));
  measure_ = Fragmentation(
      mix_, classes_, {.cpu_milli = sum.cpu_milli / nodes, .memory_mib = sum.memory_mib / nodes});
  measured_epoch_ = epoch_;
  return measure_;
}

std::int64_t Fleet::fragmentation(NodeIndex at) const {
  const Fragmentation& measure = this->measure();
  const Hot& hot = hot_[at];
  if (hot.fragmentation.epoch != epoch_ || hot.fragmentation.version != hot.version) {
    hot.fragmentation = {
        .epoch = epoch_, .value = measure.of(hot.free, devices(at)), .version = hot.version};
  }
  return hot.fragmentation.value;
}

std::int64_t Fleet::fragmentation(const resources::Amounts& free,
                                  std::span<const DeviceSlot> devices) const {
  return measure().of(free, devices);
}

}  // namespace blixard::sched

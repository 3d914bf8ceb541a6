#include "core/resources/room.h"

#include <algorithm>
#include <span>
#include <utility>

#include "base/assert.h"

namespace blixard::resources {

namespace {

Counter* find(std::vector<Counter>& counters, const Name& name) {
  const auto found = std::ranges::find(counters, name, &Counter::name);
  return found == counters.end() ? nullptr : &*found;
}

std::int64_t amount_of(const std::vector<Counter>& counters, const Name& name) {
  const auto found = std::ranges::find(counters, name, &Counter::name);
  return found == counters.end() ? 0 : found->amount;
}

bool is_asked(const DeviceNeed& need, const Device& device) {
  return device.kind == need.kind &&
         (need.models.empty() || std::ranges::find(need.models, device.model) != need.models.end());
}

bool can_serve(const DeviceNeed& need, const Device& device) {
  return is_asked(need, device) && device.free_milli >= need.milli;
}

// Of a need that the devices do not serve.
Lack device_lack(const DeviceNeed& need, const std::vector<Device>& devices) {
  Lack lack{.what = Lack::What::kDevice, .name = need.kind};
  const bool is_fraction = need.milli < kWholeDevice;
  lack.needed = is_fraction ? need.milli : need.count;
  bool has_kind = false;
  bool has_model = false;
  for (const Device& device : devices) {
    has_kind |= device.kind == need.kind;
    if (!is_asked(need, device)) continue;
    has_model = true;
    if (is_fraction) {
      lack.left = std::max<std::int64_t>(lack.left, device.free_milli);
    } else if (device.free_milli >= kWholeDevice) {
      ++lack.left;
    }
  }
  if (has_kind && !has_model) lack.what = Lack::What::kDeviceModel;
  return lack;
}

// In the order of Lack, until `visit` has enough (false).
template <class Visit>
void each_lack(const Room& room, const Demand& demand, Visit visit) {
  if (!demand.amounts.fits(room.amounts())) {
    for (const Kind kind : {Kind::kMemory, Kind::kCpu, Kind::kDisk, Kind::kNetwork}) {
      const std::int64_t needed = demand.amounts.of(kind);
      const std::int64_t left = room.amounts().of(kind);
      if (needed == 0 || needed <= left) continue;
      if (!visit(Lack{.kind = kind, .needed = needed, .left = left})) return;
    }
  }
  for (const Counter& counter : demand.counters) {
    const std::int64_t left = amount_of(room.counters(), counter.name);
    if (counter.amount <= left) continue;
    const bool goes_on = visit(Lack{.what = Lack::What::kCounter,
                                    .name = counter.name,
                                    .needed = counter.amount,
                                    .left = left});
    if (!goes_on) return;
  }
  for (const DeviceNeed& need : demand.devices) {
    const auto serving = std::ranges::count_if(
        room.devices(), [&](const Device& one) { return can_serve(need, one); });
    if (serving < need.count && !visit(device_lack(need, room.devices()))) return;
  }
}

}  // namespace

Room::Room(const Supply& supply) : amounts_(supply.amounts), counters_(supply.counters) {
  for (const DeviceGroup& group : supply.devices) {
    devices_.insert(devices_.end(), group.count, {.kind = group.kind, .model = group.model});
  }
}

std::optional<Lack> Room::lack(const Demand& demand) const {
  std::optional<Lack> first;
  each_lack(*this, demand, [&](Lack lack) {
    first = std::move(lack);
    return false;
  });
  return first;
}

std::vector<Lack> Room::lacks(const Demand& demand) const {
  std::vector<Lack> all;
  each_lack(*this, demand, [&](Lack lack) {
    all.push_back(std::move(lack));
    return true;
  });
  return all;
}

DeviceNumbers Room::choose_devices(const Demand& demand) const {
  DeviceNumbers chosen;
  for (const DeviceNeed& need : demand.devices) {
    if (need.milli < kWholeDevice) {
      const Device* best = nullptr;
      for (const Device& device : devices_) {
        if (!can_serve(need, device)) continue;
        if (best == nullptr || device.free_milli < best->free_milli) best = &device;
      }
      BLX_ASSERT(best != nullptr);
      chosen.push_back(static_cast<std::uint16_t>(best - devices_.data()));
      continue;
    }
    std::uint32_t left = need.count;
    for (std::size_t number = 0; number < devices_.size() && left != 0; ++number) {
      if (!can_serve(need, devices_[number])) continue;
      chosen.push_back(static_cast<std::uint16_t>(number));
      --left;
    }
    BLX_ASSERT(left == 0);
  }
  return chosen;
}

// Needs are of different kinds, so no device serves two of them.
bool Room::serves(const Demand& demand, const DeviceNumbers& numbers) const {
  std::size_t at = 0;
  for (const DeviceNeed& need : demand.devices) {
    for (std::uint32_t one = 0; one < need.count; ++one, ++at) {
      if (at == numbers.size() || numbers[at] >= devices_.size()) return false;
      if (!can_serve(need, devices_[numbers[at]])) return false;
      const auto before = std::span(numbers).subspan(at - one, one);
      if (std::ranges::find(before, numbers[at]) != before.end()) return false;
    }
  }
  return at == numbers.size();
}

void Room::take(const Demand& demand, const DeviceNumbers& numbers) { move(demand, numbers, -1); }

void Room::give_back(const Demand& demand, const DeviceNumbers& numbers) {
  move(demand, numbers, 1);
}

void Room::move(const Demand& demand, const DeviceNumbers& numbers, std::int64_t sign) {
  if (sign < 0) {
    amounts_ -= demand.amounts;
  } else {
    amounts_ += demand.amounts;
  }
  for (const Counter& counter : demand.counters) {
    if (Counter* left = find(counters_, counter.name)) left->amount += sign * counter.amount;
  }
  std::size_t at = 0;
  for (const DeviceNeed& need : demand.devices) {
    for (std::uint32_t one = 0; one < need.count && at < numbers.size(); ++one, ++at) {
      // A node that came back with fewer devices has no room that this could come from.
      if (numbers[at] >= devices_.size()) continue;
      devices_[numbers[at]].free_milli += static_cast<std::int32_t>(sign) * need.milli;
    }
  }
}

}  // namespace blixard::resources

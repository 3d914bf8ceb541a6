#pragma once

// What is left of a supply, and what a demand lacks in it.
//
// Devices are told apart: a fraction of a device comes from one device, and several devices are
// whole ones of one model kind each. Which devices a VM gets is part of its placement, because the
// fractions that are left decide what fits later.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/name.h"
#include "core/resources/amounts.h"
#include "core/resources/supply.h"

namespace blixard::resources {

inline constexpr std::int32_t kWholeDevice = 1000;  // thousandths of one

// Of one kind. `milli` below 1000: that much of one device, and `count` is 1; else whole ones.
struct DeviceNeed {
  Name kind;
  std::uint32_t count = 1;
  std::int32_t milli = kWholeDevice;
  std::vector<Name> models;  // that will do, by name; empty: any
  friend bool operator==(const DeviceNeed&, const DeviceNeed&) = default;
};

struct Demand {
  Amounts amounts;                  // dedicated cores are in it as often as they count
  std::vector<Counter> counters;    // by name
  std::vector<DeviceNeed> devices;  // by kind
  friend bool operator==(const Demand&, const Demand&) = default;
};

// Numbers of a node's devices, in the order of the demand's needs: for each as many as it counts.
using DeviceNumbers = std::vector<std::uint16_t>;

struct Device {
  Name kind;
  Name model;
  std::int32_t free_milli = kWholeDevice;
  friend bool operator==(const Device&, const Device&) = default;
};

// What keeps a demand out, the first of it in the order amounts, counters, devices.
struct Lack {
  enum class What : std::uint8_t { kAmount, kCounter, kDevice, kDeviceModel };
  What what = What::kAmount;
  Kind kind = Kind::kCpu;   // of kAmount
  Name name;                // of the counter or the device kind
  std::int64_t needed = 0;  // of devices: whole ones, or thousandths of one
  std::int64_t left = 0;
  friend bool operator==(const Lack&, const Lack&) = default;
};

class Room {
 public:
  Room() = default;
  // All of a supply.
  explicit Room(const Supply& supply);

  [[nodiscard]] const Amounts& amounts() const { return amounts_; }
  [[nodiscard]] const std::vector<Counter>& counters() const { return counters_; }
  [[nodiscard]] const std::vector<Device>& devices() const { return devices_; }

  [[nodiscard]] bool fits(const Demand& demand) const { return !lack(demand); }
  // Nothing: it fits.
  [[nodiscard]] std::optional<Lack> lack(const Demand& demand) const;
  // All of them, in that order.
  [[nodiscard]] std::vector<Lack> lacks(const Demand& demand) const;
  // The devices that serve it with the least left over: a fraction from the fullest device that
  // has it, whole ones from the first. Precondition: it fits.
  [[nodiscard]] DeviceNumbers choose_devices(const Demand& demand) const;
  // Whether those devices exist, are of the right kinds and models, and have what is needed.
  [[nodiscard]] bool serves(const Demand& demand, const DeviceNumbers& numbers) const;

  // May leave less than nothing, of a node that came back smaller; never checks.
  void take(const Demand& demand, const DeviceNumbers& numbers);
  void give_back(const Demand& demand, const DeviceNumbers& numbers);

  friend bool operator==(const Room&, const Room&) = default;

 private:
  void move(const Demand& demand, const DeviceNumbers& numbers, std::int64_t sign);

  Amounts amounts_;
  std::vector<Counter> counters_;
  std::vector<Device> devices_;
};

}  // namespace blixard::resources

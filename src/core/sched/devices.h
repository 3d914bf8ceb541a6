#pragma once

// Kinds and models of devices as small numbers, so that scores compare bits and not texts.
//
// Each pair of kind and model that a fleet has is a class; a need is the set of classes that will
// do. There are at most 64: what comes after them is not seen by scores (resources::Room, which
// decides what fits, compares the names).

#include <bit>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/name.h"
#include "core/resources/room.h"

namespace blixard::sched {

using DeviceClassSet = std::uint64_t;  // one bit a class

// A device of a node, as scores see it.
struct DeviceSlot {
  std::uint8_t device_class = 0;
  std::int16_t free_milli = 0;
  friend bool operator==(const DeviceSlot&, const DeviceSlot&) = default;
};

class DeviceClasses {
 public:
  static constexpr std::uint8_t kMost = 64;

  // Of that pair, made if it is new. The last one stands for all that are too many.
  std::uint8_t intern(const Name& kind, const Name& model);
  // All that will do.
  [[nodiscard]] DeviceClassSet serving(const resources::DeviceNeed& need) const;
  // All of the kind.
  [[nodiscard]] DeviceClassSet of_kind(const Name& kind) const;
  [[nodiscard]] std::size_t size() const { return classes_.size(); }

 private:
  struct Class {
    Name kind;
    Name model;
  };
  std::vector<Class> classes_;
};

}  // namespace blixard::sched

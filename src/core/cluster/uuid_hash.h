#pragma once

// Where a Uuid is only looked up and never walked over.
//
// Uuids come from clients: who makes them collide slows his own cluster, by no more than a walk
// over all that are kept.

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/ids.h"

namespace blixard::cluster {

// Boost's containers mix it.
struct UuidHash {
  std::size_t operator()(const Uuid& uuid) const noexcept {
    std::array<std::uint64_t, 2> words{};
    std::memcpy(words.data(), uuid.bytes.data(), sizeof words);
    return words[0] ^ words[1];
  }
};

}  // namespace blixard::cluster

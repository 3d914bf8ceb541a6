#pragma once

// Hashes of states: equal on every machine, good enough for tables of our own.

#include <cstdint>
#include <string_view>

namespace blixard::linearizability {

constexpr std::uint64_t mix(std::uint64_t hash, std::uint64_t word) {
  hash = (hash ^ word) * 0x9e3779b97f4a7c15;
  return hash ^ (hash >> 32);
}

constexpr std::uint64_t mix(std::uint64_t hash, std::string_view text) {
  for (const char byte : text)
    hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3;
  return mix(hash, text.size());
}

}  // namespace blixard::linearizability

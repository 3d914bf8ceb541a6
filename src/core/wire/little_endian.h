#pragma once

// Numbers in fixed fields of frames: little-endian, unaligned.

#include <cstddef>
#include <cstdint>

namespace blixard::wire {

namespace internal {

template <class T>
void store(char* at, T value) {
  for (std::size_t i = 0; i < sizeof(T); ++i)
    at[i] = static_cast<char>(static_cast<unsigned char>(value >> (8 * i)));
}

template <class T>
[[nodiscard]] T load(const char* at) {
  T value = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i)
    value = static_cast<T>(value | static_cast<T>(static_cast<unsigned char>(at[i])) << (8 * i));
  return value;
}

}  // namespace internal

inline void store16(char* at, std::uint16_t value) { internal::store(at, value); }
inline void store32(char* at, std::uint32_t value) { internal::store(at, value); }
inline void store64(char* at, std::uint64_t value) { internal::store(at, value); }
[[nodiscard]] inline std::uint16_t load16(const char* at) {
  return internal::load<std::uint16_t>(at);
}
[[nodiscard]] inline std::uint32_t load32(const char* at) {
  return internal::load<std::uint32_t>(at);
}
[[nodiscard]] inline std::uint64_t load64(const char* at) {
  return internal::load<std::uint64_t>(at);
}

}  // namespace blixard::wire

#include "core/wire/checksum.h"

#include <xxhash.h>

namespace blixard::wire {

namespace {

void append_hex(std::string& text, std::uint64_t word) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  for (int shift = 60; shift >= 0; shift -= 4)
    text += kDigits[(word >> shift) & 0xf];
}

}  // namespace

std::uint64_t checksum(std::string_view bytes, std::uint64_t seed) {
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

std::string hash128_hex(std::string_view bytes) {
  const XXH128_hash_t hash = XXH3_128bits(bytes.data(), bytes.size());
  std::string text;
  text.reserve(32);
  append_hex(text, hash.high64);
  append_hex(text, hash.low64);
  return text;
}

}  // namespace blixard::wire

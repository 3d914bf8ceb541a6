#include "env/random.h"

#include <limits>

#include "base/assert.h"

namespace blixard::env {

std::uint64_t Random::below(std::uint64_t bound) {
  BLX_ASSERT(bound > 0);
  // Values past the last whole multiple of bound would favour the small ones.
  const std::uint64_t limit = std::numeric_limits<std::uint64_t>::max() / bound * bound;
  std::uint64_t value = next();
  while (value >= limit)
    value = next();
  return value % bound;
}

Uuid Random::uuid() {
  const std::uint64_t high = next();
  return Uuid::from_random(high, next());
}

std::string Random::hex(std::size_t bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  out.reserve(2 * bytes);
  std::uint64_t word = 0;
  for (std::size_t i = 0; i < 2 * bytes; ++i) {
    if (i % 16 == 0) word = next();
    out += kDigits[word & 15];
    word >>= 4;
  }
  return out;
}

}  // namespace blixard::env

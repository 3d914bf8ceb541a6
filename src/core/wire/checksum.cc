#include "core/wire/checksum.h"

#include <xxhash.h>

#include "base/assert.h"

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

namespace {

XXH3_state_t* of_library(void* state) { return static_cast<XXH3_state_t*>(state); }

}  // namespace

void RunningChecksum::Free::operator()(State* state) const { XXH3_freeState(of_library(state)); }

RunningChecksum::RunningChecksum()
    : state_(static_cast<State*>(static_cast<void*>(XXH3_createState()))) {
  BLX_ASSERT(state_ != nullptr);
  reset();
}

void RunningChecksum::reset() { BLX_ASSERT(XXH3_64bits_reset(of_library(state_.get())) == XXH_OK); }

void RunningChecksum::add(std::string_view bytes) {
  if (bytes.empty()) return;
  BLX_ASSERT(XXH3_64bits_update(of_library(state_.get()), bytes.data(), bytes.size()) == XXH_OK);
}

std::uint64_t RunningChecksum::value() const {
  return XXH3_64bits_digest(of_library(state_.get()));
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

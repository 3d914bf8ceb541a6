#pragma once

// Checksums of bytes on disk and on the wire, and the fingerprint of replicated state.
//
// XXH3: finds accidents, not attacks (content that an enemy may choose is named by BLAKE3, see
// core/image/digest.h). The values are part of file formats: the same bytes and seed give the same
// number on every machine, for ever.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace blixard::wire {

// XXH3-64. The seed chains checksums: a record seeded with its predecessor's checksum belongs
// behind that one only.
std::uint64_t checksum(std::string_view bytes, std::uint64_t seed);

// The same with seed 0 over bytes that come in pieces; however they are cut, the value is that of
// checksum(). Allocates when it is made, not afterwards.
class RunningChecksum {
 public:
  RunningChecksum();
  void reset();
  void add(std::string_view bytes);
  [[nodiscard]] std::uint64_t value() const;

 private:
  struct State;  // the library's
  struct Free {
    void operator()(State* state) const;
  };
  std::unique_ptr<State, Free> state_;
};

// XXH3-128 as 32 lower-case hex digits, most significant first.
std::string hash128_hex(std::string_view bytes);

}  // namespace blixard::wire

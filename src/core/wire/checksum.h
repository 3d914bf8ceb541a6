#pragma once

// Checksums of bytes on disk and on the wire, and the fingerprint of replicated state.
//
// XXH3: finds accidents, not attacks (content that an enemy may choose is named by BLAKE3, see
// core/image/digest.h). The values are part of file formats: the same bytes and seed give the same
// number on every machine, for ever.

#include <cstdint>
#include <string>
#include <string_view>

namespace blixard::wire {

// XXH3-64. The seed chains checksums: a record seeded with its predecessor's checksum belongs
// behind that one only.
std::uint64_t checksum(std::string_view bytes, std::uint64_t seed);

// XXH3-128 as 32 lower-case hex digits, most significant first.
std::string hash128_hex(std::string_view bytes);

}  // namespace blixard::wire

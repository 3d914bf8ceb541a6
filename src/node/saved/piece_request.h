#pragma once

// What a node asks the holder of a saved guest (peer::RequestKind::kSaved): the digest, 32 bytes,
// and the offset in the file, 8 bytes, little-endian. The answer is the bytes from there on, at
// most 1 MiB; none at the end of the file.

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "core/image/digest.h"

namespace blixard::saved {

struct PieceRequest {
  image::Digest digest{};
  std::uint64_t offset = 0;
};

std::string encode(const PieceRequest& request);
// Errors: kInvalidArgument "request_malformed".
Result<PieceRequest> decode_piece_request(std::string_view body);

}  // namespace blixard::saved

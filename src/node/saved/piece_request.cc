#include "node/saved/piece_request.h"

#include <algorithm>
#include <tuple>

#include "core/wire/little_endian.h"

namespace blixard::saved {
namespace {

constexpr std::size_t kDigestBytes = std::tuple_size_v<image::Digest>;
constexpr std::size_t kBytes = kDigestBytes + sizeof(std::uint64_t);

}  // namespace

std::string encode(const PieceRequest& request) {
  std::string body(request.digest.begin(), request.digest.end());
  body.resize(kBytes);
  wire::store64(body.data() + kDigestBytes, request.offset);
  return body;
}

Result<PieceRequest> decode_piece_request(std::string_view body) {
  if (body.size() != kBytes) {
    return fail(Code::kInvalidArgument, "request_malformed",
                "a digest and an offset are asked for");
  }
  PieceRequest request;
  std::ranges::copy(body.substr(0, kDigestBytes), request.digest.begin());
  request.offset = wire::load64(body.data() + kDigestBytes);
  return request;
}

}  // namespace blixard::saved

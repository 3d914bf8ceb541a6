#include "node/zstd/unpacker.h"

#include <zstd.h>

#include <fmt/format.h>

#include "base/unwritten.h"

namespace blixard::zstd {
namespace {

constexpr std::size_t kPieceBytes = std::size_t{1} << 20;

std::unexpected<Error> damaged(std::string what) {
  return fail(Code::kDataLoss, "packed_damaged", std::move(what));
}

}  // namespace

struct Unpacker::Context {
  ZSTD_DCtx* stream = ZSTD_createDCtx();
  ~Context() { ZSTD_freeDCtx(stream); }
};

Unpacker::Unpacker(std::uint64_t bytes_most)
    : context_(std::make_unique<Context>()), bytes_most_(bytes_most) {
  resize_unwritten(buffer_, kPieceBytes);
}

Unpacker::~Unpacker() = default;

Result<std::string_view> Unpacker::next(std::string_view& packed) {
  if (context_->stream == nullptr) return fail(Code::kResourceExhausted, "out_of_memory");
  if (frame_done_) {
    if (packed.empty()) return std::string_view();
    return damaged("there are bytes behind its end");
  }
  ZSTD_inBuffer in{packed.data(), packed.size(), 0};
  ZSTD_outBuffer out{buffer_.data(), buffer_.size(), 0};
  const std::size_t left = ZSTD_decompressStream(context_->stream, &out, &in);
  if (ZSTD_isError(left) != 0) {
    return damaged(fmt::format("it does not unpack: {}", ZSTD_getErrorName(left)));
  }
  frame_done_ = left == 0;
  packed.remove_prefix(in.pos);
  bytes_ += out.pos;
  if (bytes_ > bytes_most_) {
    return damaged(fmt::format("it unpacks to more than {} bytes", bytes_most_));
  }
  return std::string_view(buffer_.data(), out.pos);
}

Result<void> Unpacker::finish() const {
  if (frame_done_) return {};
  return damaged("its end is missing");
}

}  // namespace blixard::zstd

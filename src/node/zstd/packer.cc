#include "node/zstd/packer.h"

#include <zstd.h>

#include "base/unwritten.h"

namespace blixard::zstd {
namespace {

// Appends until zstd has nothing more to say for now. Zero is what it answers then.
Result<void> drive(ZSTD_CCtx* stream, std::string_view bytes, ZSTD_EndDirective end,
                   std::string& packed) {
  if (stream == nullptr) return fail(Code::kResourceExhausted, "out_of_memory");
  ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
  while (true) {
    const std::size_t size = packed.size();
    const std::size_t room = ZSTD_CStreamOutSize();
    resize_unwritten(packed, size + room);
    ZSTD_outBuffer out{packed.data() + size, room, 0};
    const std::size_t left = ZSTD_compressStream2(stream, &out, &in, end);
    packed.resize(size + out.pos);
    if (ZSTD_isError(left) != 0) {
      return fail(Code::kResourceExhausted, "out_of_memory", ZSTD_getErrorName(left));
    }
    const bool is_done = end == ZSTD_e_end ? left == 0 : in.pos == in.size;
    if (is_done) return {};
  }
}

}  // namespace

struct Packer::Context {
  ZSTD_CCtx* stream = ZSTD_createCCtx();
  ~Context() { ZSTD_freeCCtx(stream); }
};

Packer::Packer(int level) : context_(std::make_unique<Context>()) {
  if (context_->stream != nullptr) {
    ZSTD_CCtx_setParameter(context_->stream, ZSTD_c_compressionLevel, level);
  }
}

Packer::~Packer() = default;

Result<void> Packer::add(std::string_view bytes, std::string& packed) {
  return drive(context_->stream, bytes, ZSTD_e_continue, packed);
}

Result<void> Packer::finish(std::string& packed) {
  return drive(context_->stream, {}, ZSTD_e_end, packed);
}

}  // namespace blixard::zstd

#include "core/image/digest.h"

#include <blake3.h>

namespace blixard::image {

namespace {

std::optional<std::uint8_t> hex_value(char digit) {
  if (digit >= '0' && digit <= '9') return static_cast<std::uint8_t>(digit - '0');
  if (digit >= 'a' && digit <= 'f') return static_cast<std::uint8_t>(digit - 'a' + 10);
  if (digit >= 'A' && digit <= 'F') return static_cast<std::uint8_t>(digit - 'A' + 10);
  return std::nullopt;
}

}  // namespace

struct Hasher::Stream {
  blake3_hasher hasher;
};

Hasher::Hasher() : stream_(std::make_unique<Stream>()) { blake3_hasher_init(&stream_->hasher); }
Hasher::~Hasher() = default;
Hasher::Hasher(Hasher&&) noexcept = default;
Hasher& Hasher::operator=(Hasher&&) noexcept = default;

void Hasher::update(std::string_view bytes) {
  blake3_hasher_update(&stream_->hasher, bytes.data(), bytes.size());
}

Digest Hasher::finish() const {
  static_assert(std::tuple_size_v<Digest> == BLAKE3_OUT_LEN);
  Digest digest;
  blake3_hasher_finalize(&stream_->hasher, digest.data(), digest.size());
  return digest;
}

Digest digest_of(std::string_view bytes) {
  Hasher hasher;
  hasher.update(bytes);
  return hasher.finish();
}

std::string digest_text(const Digest& digest) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  text.reserve(2 * digest.size());
  for (const std::uint8_t byte : digest) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 0xf];
  }
  return text;
}

std::optional<Digest> parse_digest(std::string_view text) {
  Digest digest;
  if (text.size() != 2 * digest.size()) return std::nullopt;
  for (std::size_t at = 0; at < digest.size(); ++at) {
    const auto high = hex_value(text[2 * at]);
    const auto low = hex_value(text[2 * at + 1]);
    if (!high || !low) return std::nullopt;
    digest[at] = static_cast<std::uint8_t>(*high << 4 | *low);
  }
  return digest;
}

}  // namespace blixard::image

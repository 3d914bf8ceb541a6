#pragma once

// BLAKE3 digests: the names of content. Unlike the checksums of core/wire, two contents of one
// digest cannot be made on purpose, so a file whose digest is right is the right file, whoever
// sent it.

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace blixard::image {

using Digest = std::array<std::uint8_t, 32>;

// Hashes a stream piece by piece, in constant memory. How it is cut does not matter.
class Hasher {
 public:
  Hasher();
  ~Hasher();
  Hasher(Hasher&&) noexcept;
  Hasher& operator=(Hasher&&) noexcept;

  void update(std::string_view bytes);
  // Of all bytes so far; more may follow.
  [[nodiscard]] Digest finish() const;

 private:
  struct Stream;
  std::unique_ptr<Stream> stream_;
};

Digest digest_of(std::string_view bytes);

// 64 lower-case hex digits.
std::string digest_text(const Digest& digest);
// Exactly 64 hex digits, of either case; nothing else.
std::optional<Digest> parse_digest(std::string_view text);

}  // namespace blixard::image

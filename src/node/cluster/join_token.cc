#include "node/cluster/join_token.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include <fmt/format.h>

#include "core/image/digest.h"

namespace blixard::membership {
namespace {

constexpr std::string_view kPrefix = "blx1";
constexpr std::size_t kFingerprintDigits = 64;

std::unexpected<Error> malformed(const char* what) {
  return fail(Code::kInvalidArgument, "token_malformed",
              fmt::format("the token {}; it is one line of {} characters that begins with {}.",
                          what, JoinToken::kTextBytes, kPrefix));
}

bool is_hex(std::string_view text) {
  return std::ranges::all_of(
      text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

std::uint64_t number_of(std::string_view hex) {
  std::uint64_t value = 0;
  std::from_chars(hex.data(), hex.data() + hex.size(), value, 16);
  return value;
}

std::string hex_of(std::string_view bytes) {
  std::string text;
  for (const char byte : bytes)
    text += fmt::format("{:02x}", static_cast<unsigned char>(byte));
  return text;
}

std::string bytes_of(std::string_view hex) {
  std::string bytes;
  for (std::size_t at = 0; at + 1 < hex.size(); at += 2)
    bytes += static_cast<char>(number_of(hex.substr(at, 2)));
  return bytes;
}

std::string as_bytes(const cluster::Digest& digest) { return {digest.begin(), digest.end()}; }

}  // namespace

JoinToken JoinToken::make(std::string_view key, const Uuid& request_id, std::string authority) {
  // Fixed lengths around the one part that has none, so that no two inputs give the same bytes.
  image::Hasher hasher;
  hasher.update("blixard join token 1");
  hasher.update(std::string(request_id.bytes.begin(), request_id.bytes.end()));
  hasher.update(key);
  const std::string made = as_bytes(hasher.finish());
  const std::uint64_t id = number_of(hex_of(made.substr(kSecretBytes, 8)));
  return {.id = cluster::TokenId(std::max<std::uint64_t>(id, 1)),
          .secret = made.substr(0, kSecretBytes),
          .authority = std::move(authority)};
}

Result<JoinToken> JoinToken::parse(std::string_view text) {
  if (text.size() != kTextBytes) return malformed("has another length");
  std::array<std::string_view, 4> parts;
  for (std::size_t at = 0; at < parts.size(); ++at) {
    const std::size_t end = at + 1 == parts.size() ? text.size() : text.find('.');
    if (end == std::string_view::npos) return malformed("has not four parts");
    parts[at] = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  if (parts[0] != kPrefix) return malformed("begins with another word");
  if (parts[1].size() != 16 || parts[2].size() != 2 * kSecretBytes ||
      parts[3].size() != kFingerprintDigits) {
    return malformed("has parts of other lengths");
  }
  if (!is_hex(parts[1]) || !is_hex(parts[2]) || !is_hex(parts[3])) {
    return malformed("has a character that is no lower-case hex digit");
  }
  JoinToken token{.id = cluster::TokenId(number_of(parts[1])),
                  .secret = bytes_of(parts[2]),
                  .authority = std::string(parts[3])};
  if (!token.id) return malformed("has no id");
  return token;
}

std::string JoinToken::text() const {
  return fmt::format("{}.{:016x}.{}.{}", kPrefix, id.value, hex_of(secret), authority);
}

Result<JoinTarget> JoinTarget::parse(std::string_view text) {
  const std::size_t at = text.find('@');
  if (at == std::string_view::npos) {
    return fail(Code::kInvalidArgument, "token_malformed",
                "it is TOKEN@HOST:PORT: the token, and the peer address of a server.");
  }
  BLX_TRY(JoinToken token, JoinToken::parse(text.substr(0, at)));
  const auto address = env::Endpoint::parse(text.substr(at + 1));
  if (!address || address->kind != env::Endpoint::Kind::kTcp) {
    return fail(Code::kInvalidArgument, "address_invalid",
                "behind the @ is the peer address of a server, an IP address and a port, such as "
                "192.0.2.7:7481.");
  }
  return JoinTarget{.token = std::move(token), .address = *address};
}

cluster::Digest hash_of(std::string_view secret) { return image::digest_of(secret); }

}  // namespace blixard::membership

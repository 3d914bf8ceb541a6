#include "sim/certificate.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <vector>

#include <fmt/format.h>

#include "base/limits.h"
#include "sim/engine.h"

namespace blixard::sim {
namespace {

constexpr std::string_view kCertificateWord = "sim-certificate";
constexpr std::string_view kNodeWord = "node";
constexpr std::string_view kServerWord = "server";
constexpr std::string_view kRequestWord = "sim-request";
constexpr std::string_view kKeyWord = "sim-key";
constexpr std::int64_t kLastSecond = 253'402'300'799;  // of the year 9999

// 32 bytes as hex.
std::string digest(std::string_view bytes) {
  Trace trace;
  trace.mix(bytes);
  std::array<std::uint64_t, 4> hashes{};
  for (std::uint64_t word = 0; word < 4; ++word) {
    trace.mix(word);
    hashes.at(word) = trace.hash();
  }
  return fmt::format("{:016x}{:016x}{:016x}{:016x}", hashes[0], hashes[1], hashes[2], hashes[3]);
}

std::unexpected<Error> bad_certificate(const char* detail) {
  return fail(Code::kInvalidArgument, "certificate_invalid", detail);
}

template <class T>
std::optional<T> to_number(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::vector<std::string_view> words_of(std::string_view text) {
  std::vector<std::string_view> words;
  if (!text.ends_with('\n') || text.size() > limits::kCredentialBytes) return words;
  text.remove_suffix(1);
  while (words.size() < 11) {
    const auto blank = text.find(' ');
    words.push_back(text.substr(0, blank));
    if (blank == std::string_view::npos) break;
    text.remove_prefix(blank + 1);
  }
  return words;
}

// The public key of "<word> <secret or public> <checksum>".
std::optional<std::string> sealed(std::string_view word, std::string_view text) {
  const auto words = words_of(text);
  if (words.size() != 3 || words[0] != word || words[2] != digest(words[1])) return std::nullopt;
  return std::string(words[1]);
}

std::string seal(std::string_view word, std::string_view content) {
  return fmt::format("{} {} {}\n", word, content, digest(content));
}

std::optional<std::string> public_key_of(std::string_view key) {
  const auto secret = sealed(kKeyWord, key);
  if (!secret) return std::nullopt;
  return digest("public " + *secret);
}

bool is_cluster_name(std::string_view name) {
  const auto is_fine = [](char letter) {
    return (letter >= 'a' && letter <= 'z') || (letter >= '0' && letter <= '9') || letter == '-';
  };
  return !name.empty() && name.size() <= limits::kClusterNameBytes &&
         std::ranges::all_of(name, is_fine);
}

std::string content_of(const Certificate& certificate) {
  return fmt::format("{} {} {} {} {} {} {} {} {}", kCertificateWord, certificate.cluster,
                     certificate.server ? kServerWord : kNodeWord, certificate.node.value,
                     certificate.not_before_s, certificate.not_after_s, certificate.public_key,
                     certificate.issuer, certificate.serial);
}

std::string signature_of(const Certificate& certificate) {
  return digest(content_of(certificate) + " by " + certificate.issuer);
}

Result<void> set_lifetime(Certificate& certificate, WallTime now, Duration lifetime) {
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(lifetime).count();
  const auto floor = [](std::int64_t time_ms) {
    return (time_ms - (time_ms % 1000 + 1000) % 1000) / 1000;
  };
  const bool is_sane = now.unix_ms >= 0 && now.unix_ms <= kLastSecond * 1000 && ms > 0 &&
                       floor(now.unix_ms + ms) <= kLastSecond;
  if (!is_sane) return bad_certificate("its time is out of range");
  certificate.not_before_s = floor(now.unix_ms) - env::kBackdated / 1s;
  certificate.not_after_s = floor(now.unix_ms + ms);
  return {};
}

}  // namespace

std::string Certificate::text() const {
  return fmt::format("{} {}\n", content_of(*this), signature);
}

bool Certificate::signed_by(const Certificate& authority) const {
  return !authority.node && issuer == authority.public_key && signature == signature_of(*this);
}

bool Certificate::valid_at(WallTime now) const {
  return now.unix_ms >= not_before_s * 1000 && now.unix_ms <= not_after_s * 1000;
}

env::CertificateFacts Certificate::facts() const {
  return {.subject = {.cluster = cluster, .node = node, .server = server},
          .not_before = {not_before_s * 1000},
          .not_after = {not_after_s * 1000},
          .fingerprint = digest(text())};
}

Result<Certificate> Certificate::parse(std::string_view text) {
  const auto words = words_of(text);
  if (words.size() != 10 || words[0] != kCertificateWord) return bad_certificate("not one");
  const bool server = words[2] == kServerWord;
  const auto node = to_number<std::uint64_t>(words[3]);
  const auto not_before = to_number<std::int64_t>(words[4]);
  const auto not_after = to_number<std::int64_t>(words[5]);
  if (!is_cluster_name(words[1]) || (!server && words[2] != kNodeWord) || !node || !not_before ||
      !not_after || (server && *node == 0)) {
    return bad_certificate("not readable");
  }
  const auto in_range = [](std::int64_t second) {
    return second >= -env::kBackdated / 1s && second <= kLastSecond;
  };
  if (!in_range(*not_before) || !in_range(*not_after)) return bad_certificate("not readable");
  Certificate certificate{.cluster = std::string(words[1]),
                          .node = NodeId(*node),
                          .server = server,
                          .not_before_s = *not_before,
                          .not_after_s = *not_after,
                          .public_key = std::string(words[6]),
                          .issuer = std::string(words[7]),
                          .serial = std::string(words[8]),
                          .signature = std::string(words[9])};
  if (certificate.signature != signature_of(certificate)) return bad_certificate("it is damaged");
  return certificate;
}

Result<env::Authority> make_authority(env::Random& random, std::string_view cluster, WallTime now,
                                      Duration lifetime) {
  if (!is_cluster_name(cluster)) return bad_certificate("a cluster's name is [a-z0-9-]{1,63}");
  env::Authority authority{.key = seal(kKeyWord, random.hex(16))};
  Certificate certificate{.cluster = std::string(cluster),
                          .public_key = *public_key_of(authority.key),
                          .serial = random.hex(16)};
  BLX_TRY(set_lifetime(certificate, now, lifetime));
  certificate.issuer = certificate.public_key;
  certificate.signature = signature_of(certificate);
  authority.certificate = certificate.text();
  return authority;
}

env::KeyRequest make_request(env::Random& random) {
  env::KeyRequest request{.key = seal(kKeyWord, random.hex(16))};
  request.request = seal(kRequestWord, *public_key_of(request.key));
  return request;
}

Result<std::string> issue(env::Random& random, const env::Authority& authority,
                          std::string_view request, const env::Subject& subject, WallTime now,
                          Duration lifetime) {
  BLX_TRY(const Certificate issuer, Certificate::parse(authority.certificate));
  if (issuer.node) return bad_certificate("not an authority's");
  const auto issuer_key = public_key_of(authority.key);
  if (!issuer_key || *issuer_key != issuer.public_key) {
    return fail(Code::kInvalidArgument, "key_invalid", "not the key of the authority");
  }
  if (subject.cluster != issuer.cluster) return bad_certificate("of another cluster");
  if (!subject.node) return bad_certificate("it names no node");
  auto public_key = sealed(kRequestWord, request);
  if (!public_key) return fail(Code::kInvalidArgument, "request_invalid", "not a request");
  Certificate certificate{.cluster = subject.cluster,
                          .node = subject.node,
                          .server = subject.server,
                          .public_key = *std::move(public_key),
                          .issuer = issuer.public_key,
                          .serial = random.hex(16)};
  BLX_TRY(set_lifetime(certificate, now, lifetime));
  certificate.signature = signature_of(certificate);
  return certificate.text();
}

Result<void> check_credentials(const env::Credentials& credentials) {
  const auto bad = [](const char* detail) {
    return fail(Code::kInvalidArgument, "credentials_invalid", detail);
  };
  const auto certificate = Certificate::parse(credentials.certificate);
  const auto authority = Certificate::parse(credentials.authority);
  if (!certificate || !certificate->node) return bad("the certificate is not a node's");
  if (!authority || authority->node) return bad("the authority's certificate is none");
  const auto key = public_key_of(credentials.key);
  if (!key || *key != certificate->public_key) return bad("the key is not the certificate's");
  if (!certificate->signed_by(*authority)) return bad("the authority did not sign the certificate");
  return {};
}

}  // namespace blixard::sim

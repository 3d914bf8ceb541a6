#include "linux/security_certificates.h"

#include <time.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <climits>

#include <fmt/format.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rand.h>

#include "base/limits.h"

namespace blixard::linux_side {
namespace {

constexpr std::string_view kScheme = "blixard://";
constexpr std::string_view kNodePart = "/node/";
constexpr std::string_view kServerPart = "/server/";
constexpr int kSerialBits = 127;
constexpr long kVersion3 = 2;
constexpr std::int64_t kLastSecond = 253'402'300'799;  // of the year 9999

std::unexpected<Error> bad(const char* reason, std::string detail) {
  ERR_clear_error();
  return fail(Code::kInvalidArgument, reason, std::move(detail));
}

std::unexpected<Error> bad_certificate(std::string detail) {
  return bad("certificate_invalid", std::move(detail));
}

bool is_cluster_name(std::string_view name) {
  const auto is_fine = [](char letter) {
    return (letter >= 'a' && letter <= 'z') || (letter >= '0' && letter <= '9') || letter == '-';
  };
  return !name.empty() && name.size() <= limits::kClusterNameBytes &&
         std::ranges::all_of(name, is_fine);
}

// OpenSSL would ask the terminal.
int no_password(char* /*buffer*/, int /*size*/, int /*writing*/, void* /*data*/) { return -1; }

BioPtr reader_of(std::string_view bytes) {
  return BioPtr(BIO_new_mem_buf(bytes.data(), static_cast<int>(bytes.size())));
}

template <class Write>
Result<std::string> to_pem(Write write) {
  const BioPtr bio(BIO_new(BIO_s_secmem()));
  if (!bio || write(bio.get()) != 1) return crypto_failed("write PEM");
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return std::string(data, static_cast<std::size_t>(size));
}

Result<std::string> key_to_pem(EVP_PKEY* key) {
  return to_pem([key](BIO* bio) {
    return PEM_write_bio_PKCS8PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr);
  });
}

bool is_p256(const EVP_PKEY* key) {
  std::array<char, 32> name{};
  std::size_t size = 0;
  return EVP_PKEY_is_a(key, "EC") == 1 &&
         EVP_PKEY_get_group_name(key, name.data(), name.size(), &size) == 1 &&
         std::string_view(name.data(), size) == SN_X9_62_prime256v1;
}

Result<KeyPtr> make_key() {
  KeyPtr key(EVP_EC_gen(SN_X9_62_prime256v1));
  if (!key) return crypto_failed("make a key");
  return key;
}

bool set_name(X509_NAME* name, std::string_view organization, const std::string& common) {
  const auto add = [name](const char* field, std::string_view text) {
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): bytes to OpenSSL
    const auto* bytes = reinterpret_cast<const unsigned char*>(text.data());
    return X509_NAME_add_entry_by_txt(name, field, MBSTRING_ASC, bytes,
                                      static_cast<int>(text.size()), -1, 0) == 1;
  };
  return (organization.empty() || add("O", organization)) && add("CN", common);
}

bool set_serial(X509& certificate) {
  const BigNumberPtr number(BN_new());
  return number && BN_rand(number.get(), kSerialBits, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 &&
         BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(&certificate)) != nullptr;
}

bool add_extension(X509& certificate, X509& issuer, int kind, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, &issuer, &certificate, nullptr, nullptr, 0);
  const ExtensionPtr extension(X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str()));
  return extension && X509_add_ext(&certificate, extension.get(), -1) == 1;
}

Result<void> set_lifetime(X509& certificate, WallTime now, Duration lifetime) {
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(lifetime).count();
  if (now.unix_ms < 0 || now.unix_ms > kLastSecond * 1000 || ms <= 0) {
    return bad_certificate("its time is out of range");
  }
  const std::int64_t first = now.unix_ms / 1000 - env::kBackdated / 1s;
  const std::int64_t last = (now.unix_ms + ms) / 1000;
  if (last > kLastSecond) return bad_certificate("its time is out of range");
  if (ASN1_TIME_set(X509_getm_notBefore(&certificate), first) == nullptr ||
      ASN1_TIME_set(X509_getm_notAfter(&certificate), last) == nullptr) {
    return crypto_failed("set the time");
  }
  return {};
}

// What both kinds of certificates have in common.
Result<X509Ptr> begin_certificate(const env::Subject& subject, EVP_PKEY* key, WallTime now,
                                  Duration lifetime) {
  X509Ptr certificate(X509_new());
  const std::string common = subject.node ? fmt::format("Blixard node {}", subject.node.value)
                                          : std::string("Blixard authority");
  const bool done = certificate && X509_set_version(certificate.get(), kVersion3) == 1 &&
                    set_serial(*certificate) &&
                    set_name(X509_get_subject_name(certificate.get()), subject.cluster, common) &&
                    X509_set_pubkey(certificate.get(), key) == 1;
  if (!done) return crypto_failed("make a certificate");
  BLX_TRY(set_lifetime(*certificate, now, lifetime));
  return certificate;
}

Result<std::string> sign(X509& certificate, EVP_PKEY* key) {
  if (X509_sign(&certificate, key, EVP_sha256()) == 0) return crypto_failed("sign");
  return to_pem([&](BIO* bio) { return PEM_write_bio_X509(bio, &certificate); });
}

Result<RequestPtr> read_request(std::string_view pem) {
  ERR_clear_error();
  if (pem.size() > limits::kCredentialBytes) return bad("request_invalid", "too long");
  RequestPtr request(PEM_read_bio_X509_REQ(reader_of(pem).get(), nullptr, no_password, nullptr));
  if (!request) return bad("request_invalid", "not a PEM request");
  EVP_PKEY* key = X509_REQ_get0_pubkey(request.get());
  if (key == nullptr || !is_p256(key)) return bad("request_invalid", "its key is not on P-256");
  if (X509_REQ_verify(request.get(), key) != 1) {
    return bad("request_invalid", "its signature is wrong");
  }
  return request;
}

Result<WallTime> to_wall(const ASN1_TIME* time) {
  tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return bad_certificate("its time is not readable");
  return WallTime{std::int64_t{timegm(&parts)} * 1000};
}

Result<env::Subject> subject_of(X509& certificate) {
  int found = 0;
  const NamesPtr names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(&certificate, NID_subject_alt_name, &found, nullptr)));
  if (!names || sk_GENERAL_NAME_num(names.get()) != 1) {
    return bad_certificate("it has not exactly one name");
  }
  int kind = 0;
  const void* value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names.get(), 0), &kind);
  if (kind != GEN_URI) return bad_certificate("its name is not a URI");
  const auto* text = static_cast<const ASN1_IA5STRING*>(value);
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): bytes from OpenSSL
  const auto* bytes = reinterpret_cast<const char*>(ASN1_STRING_get0_data(text));
  auto subject = parse_identity_uri({bytes, static_cast<std::size_t>(ASN1_STRING_length(text))});
  if (!subject) return bad_certificate("its name is not a Blixard identity");
  return *std::move(subject);
}

}  // namespace

std::string identity_uri(const env::Subject& subject) {
  std::string uri = fmt::format("{}{}", kScheme, subject.cluster);
  if (subject.node) {
    uri += fmt::format("{}{}", subject.server ? kServerPart : kNodePart, subject.node.value);
  }
  return uri;
}

std::optional<env::Subject> parse_identity_uri(std::string_view uri) {
  if (!uri.starts_with(kScheme)) return std::nullopt;
  uri.remove_prefix(kScheme.size());
  const auto slash = uri.find('/');
  env::Subject subject{.cluster = std::string(uri.substr(0, slash)), .node = NodeId()};
  if (!is_cluster_name(subject.cluster)) return std::nullopt;
  if (slash == std::string_view::npos) return subject;
  uri.remove_prefix(slash);
  subject.server = uri.starts_with(kServerPart);
  if (!subject.server && !uri.starts_with(kNodePart)) return std::nullopt;
  uri.remove_prefix(subject.server ? kServerPart.size() : kNodePart.size());
  const auto [end, error] =
      std::from_chars(uri.data(), uri.data() + uri.size(), subject.node.value);
  const bool is_number = error == std::errc() && end == uri.data() + uri.size();
  // One form for each id: no zero in front.
  if (!is_number || uri.front() == '0') return std::nullopt;
  return subject;
}

Result<X509Ptr> read_certificate(std::string_view pem) {
  ERR_clear_error();
  if (pem.size() > limits::kCredentialBytes) return bad_certificate("too long");
  X509Ptr certificate(PEM_read_bio_X509(reader_of(pem).get(), nullptr, no_password, nullptr));
  if (!certificate) return bad_certificate("not a PEM certificate");
  return certificate;
}

Result<KeyPtr> read_key(std::string_view pem) {
  ERR_clear_error();
  if (pem.size() > limits::kCredentialBytes) return bad("key_invalid", "too long");
  KeyPtr key(PEM_read_bio_PrivateKey(reader_of(pem).get(), nullptr, no_password, nullptr));
  if (!key) return bad("key_invalid", "not a PEM key without password");
  if (!is_p256(key.get())) return bad("key_invalid", "not on P-256");
  return key;
}

Result<env::Authority> make_authority(std::string_view cluster, WallTime now, Duration lifetime) {
  ERR_clear_error();
  if (!is_cluster_name(cluster)) return bad_certificate("a cluster's name is [a-z0-9-]{1,63}");
  const env::Subject subject{.cluster = std::string(cluster), .node = NodeId()};
  BLX_TRY(const KeyPtr key, make_key());
  BLX_TRY(const X509Ptr certificate, begin_certificate(subject, key.get(), now, lifetime));
  X509& self = *certificate;
  const bool done =
      X509_set_issuer_name(&self, X509_get_subject_name(&self)) == 1 &&
      add_extension(self, self, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
      add_extension(self, self, NID_key_usage, "critical,keyCertSign") &&
      add_extension(self, self, NID_subject_key_identifier, "hash") &&
      add_extension(self, self, NID_authority_key_identifier, "keyid:always") &&
      add_extension(self, self, NID_subject_alt_name, "URI:" + identity_uri(subject));
  if (!done) return crypto_failed("make a certificate");
  env::Authority authority;
  BLX_TRY(authority.certificate, sign(self, key.get()));
  BLX_TRY(authority.key, key_to_pem(key.get()));
  return authority;
}

Result<env::KeyRequest> make_request() {
  ERR_clear_error();
  BLX_TRY(const KeyPtr key, make_key());
  const RequestPtr request(X509_REQ_new());
  const bool done = request &&
                    set_name(X509_REQ_get_subject_name(request.get()), {}, "Blixard node") &&
                    X509_REQ_set_pubkey(request.get(), key.get()) == 1 &&
                    X509_REQ_sign(request.get(), key.get(), EVP_sha256()) != 0;
  if (!done) return crypto_failed("make a request");
  env::KeyRequest result;
  BLX_TRY(result.key, key_to_pem(key.get()));
  BLX_TRY(result.request,
          to_pem([&](BIO* bio) { return PEM_write_bio_X509_REQ(bio, request.get()); }));
  return result;
}

Result<std::string> issue(const env::Authority& authority, std::string_view request,
                          const env::Subject& subject, WallTime now, Duration lifetime) {
  BLX_TRY(const X509Ptr issuer, read_certificate(authority.certificate));
  BLX_TRY(const env::CertificateFacts facts, facts_of(*issuer));
  if (facts.subject.node) return bad_certificate("not an authority's");
  BLX_TRY(const KeyPtr key, read_key(authority.key));
  if (X509_check_private_key(issuer.get(), key.get()) != 1) {
    return bad("key_invalid", "not the key of the authority");
  }
  if (subject.cluster != facts.subject.cluster) return bad_certificate("of another cluster");
  if (!subject.node) return bad_certificate("it names no node");
  BLX_TRY(const RequestPtr wanted, read_request(request));
  BLX_TRY(const X509Ptr certificate,
          begin_certificate(subject, X509_REQ_get0_pubkey(wanted.get()), now, lifetime));
  X509& self = *certificate;
  const bool done =
      X509_set_issuer_name(&self, X509_get_subject_name(issuer.get())) == 1 &&
      add_extension(self, *issuer, NID_basic_constraints, "critical,CA:FALSE") &&
      add_extension(self, *issuer, NID_key_usage, "critical,digitalSignature") &&
      add_extension(self, *issuer, NID_ext_key_usage, "serverAuth,clientAuth") &&
      add_extension(self, *issuer, NID_subject_key_identifier, "hash") &&
      add_extension(self, *issuer, NID_authority_key_identifier, "keyid:always") &&
      add_extension(self, *issuer, NID_subject_alt_name, "URI:" + identity_uri(subject));
  if (!done) return crypto_failed("make a certificate");
  return sign(self, key.get());
}

Result<env::CertificateFacts> facts_of(X509& certificate) {
  ERR_clear_error();
  const std::uint32_t flags = X509_get_extension_flags(&certificate);
  if ((flags & EXFLAG_INVALID) != 0) return bad_certificate("its extensions are damaged");
  env::CertificateFacts facts;
  BLX_TRY(facts.subject, subject_of(certificate));
  const bool is_authority = (flags & EXFLAG_CA) != 0;
  if (is_authority != !facts.subject.node) {
    return bad_certificate("its name does not fit what it may do");
  }
  BLX_TRY(facts.not_before, to_wall(X509_get0_notBefore(&certificate)));
  BLX_TRY(facts.not_after, to_wall(X509_get0_notAfter(&certificate)));
  facts.fingerprint = fingerprint_of(certificate);
  return facts;
}

std::string fingerprint_of(const X509& certificate) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> hash{};
  unsigned size = 0;
  if (X509_digest(&certificate, EVP_sha256(), hash.data(), &size) != 1) return {};
  std::string text;
  for (const unsigned char byte : std::span(hash).first(size))
    text += fmt::format("{:02x}", byte);
  return text;
}

}  // namespace blixard::linux_side

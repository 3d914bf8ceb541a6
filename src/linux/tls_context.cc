#include "linux/tls_context.h"

#include "base/limits.h"
#include "linux/security_certificates.h"

namespace blixard::linux_side {
namespace {

constexpr int kSecurityLevel = 2;  // at least 112 bits, everywhere
// The first is the fastest where the processor knows AES.
constexpr const char* kCiphers =
    "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";

// The stack, not what is in it.
using StackPtr =
    std::unique_ptr<STACK_OF(X509), OpensslFree<[](STACK_OF(X509) * all) { sk_X509_free(all); }>>;

std::unexpected<Error> bad(std::string detail) {
  ERR_clear_error();
  return fail(Code::kInvalidArgument, "credentials_invalid", std::move(detail));
}

const char* refusal_text(int error) {
  switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return "expired";
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return "not valid yet";
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
      return "unknown authority";
    default:
      return X509_verify_cert_error_string(error);
  }
}

// The error decides which alert the other end gets.
int refuse(X509_STORE_CTX* store, TlsPeerCheck& check, int error, const char* why) {
  check.refusal.emplace(Code::kPermissionDenied, "certificate_refused",
                        check.address + ": we refused the certificate: " + why);
  X509_STORE_CTX_set_error(store, error);
  return 0;
}

// The authority with the pinned fingerprint, out of what the other end sent; null: not there.
X509* find_pinned(X509_STORE_CTX* store, const std::string& fingerprint) {
  STACK_OF(X509)* sent = X509_STORE_CTX_get0_untrusted(store);
  for (int i = 0; i < sk_X509_num(sent); ++i) {
    X509* one = sk_X509_value(sent, i);
    if (fingerprint_of(*one) == fingerprint) return one;
  }
  return nullptr;
}

int verify_chain(X509_STORE_CTX* store, TlsPeerCheck& check) {
  if (!check.cluster.empty()) return X509_verify_cert(store);
  X509* authority = find_pinned(store, check.pinned);
  const auto facts =
      authority == nullptr ? fail(Code::kNotFound, "not_sent") : facts_of(*authority);
  if (!facts || facts->subject.node) {
    X509_STORE_CTX_set_error(store, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY);
    return 0;
  }
  const StackPtr trusted(sk_X509_new_null());
  if (!trusted || sk_X509_push(trusted.get(), authority) == 0) return 0;
  X509_STORE_CTX_set0_trusted_stack(store, trusted.get());
  const int verified = X509_verify_cert(store);
  X509_STORE_CTX_set0_trusted_stack(store, nullptr);
  check.cluster = facts->subject.cluster;
  return verified;
}

int verify_peer(X509_STORE_CTX* store, void* /*unused*/) {
  const auto* ssl = static_cast<const SSL*>(
      X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
  auto& check = *static_cast<TlsPeerCheck*>(SSL_get_app_data(ssl));
  const bool enrols = check.cluster.empty();
  if (verify_chain(store, check) != 1) {
    const int error = X509_STORE_CTX_get_error(store);
    const int why = error != X509_V_OK ? error : X509_V_ERR_UNSPECIFIED;
    return refuse(store, check, why, refusal_text(why));
  }
  auto facts = facts_of(*X509_STORE_CTX_get0_cert(store));
  if (!facts || !facts->subject.node) {
    return refuse(store, check, X509_V_ERR_CERT_REJECTED, "not a node's");
  }
  if (facts->subject.cluster != check.cluster) {
    return refuse(store, check, X509_V_ERR_CERT_REJECTED, "of another cluster");
  }
  if (enrols && !facts->subject.server) {
    return refuse(store, check, X509_V_ERR_CERT_REJECTED, "a worker's, which lets nobody in");
  }
  if (check.expected && facts->subject.node != check.expected) {
    check.refusal.emplace(Code::kPermissionDenied, "peer_identity_wrong",
                          check.address + ": node " + std::to_string(facts->subject.node.value) +
                              " answers instead of node " + std::to_string(check.expected.value));
    X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REJECTED);
    return 0;
  }
  check.subject = std::move(facts->subject);
  X509_STORE_CTX_set_error(store, X509_V_OK);
  return 1;
}

Result<SslContextPtr> make_context() {
  ERR_clear_error();
  SslContextPtr context(SSL_CTX_new(TLS_method()));
  if (!context) return crypto_failed("set up TLS");
  SSL_CTX* tls = context.get();
  SSL_CTX_set_security_level(tls, kSecurityLevel);
  const bool done = SSL_CTX_set_min_proto_version(tls, TLS1_3_VERSION) == 1 &&
                    SSL_CTX_set_max_proto_version(tls, TLS1_3_VERSION) == 1 &&
                    SSL_CTX_set_ciphersuites(tls, kCiphers) == 1 &&
                    SSL_CTX_set1_groups_list(tls, "X25519:P-256") == 1 &&
                    SSL_CTX_set1_sigalgs_list(tls, "ECDSA+SHA256") == 1 &&
                    SSL_CTX_set_num_tickets(tls, 0) == 1;
  if (!done) return crypto_failed("set up TLS");
  SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_options(tls, SSL_OP_NO_TICKET | SSL_OP_CIPHER_SERVER_PREFERENCE |
                               SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_mode(tls, SSL_MODE_NO_AUTO_CHAIN);
  SSL_CTX_set_max_cert_list(tls, static_cast<long>(limits::kCredentialBytes));
  // A dialler must have a certificate; one who comes to us may be without.
  SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_cert_verify_callback(tls, verify_peer, nullptr);
  X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(tls), X509_V_FLAG_X509_STRICT);
  return context;
}

// Whether the authority signed it, whatever the time is.
bool is_signed_by(X509* certificate, X509* authority) {
  const StorePtr store(X509_STORE_new());
  const StoreContextPtr check(X509_STORE_CTX_new());
  if (!store || !check || X509_STORE_add_cert(store.get(), authority) != 1) return false;
  X509_STORE_set_flags(store.get(), X509_V_FLAG_X509_STRICT | X509_V_FLAG_NO_CHECK_TIME);
  return X509_STORE_CTX_init(check.get(), store.get(), certificate, nullptr) == 1 &&
         X509_verify_cert(check.get()) == 1;
}

}  // namespace

Result<std::shared_ptr<const TlsContext>> TlsContext::make(const env::Credentials& credentials) {
  const auto certificate = read_certificate(credentials.certificate);
  if (!certificate) return bad("the certificate is " + std::string(certificate.error().detail()));
  auto authority = read_certificate(credentials.authority);
  if (!authority) return bad("the authority is " + std::string(authority.error().detail()));
  const auto key = read_key(credentials.key);
  if (!key) return bad("the key is " + std::string(key.error().detail()));
  const auto facts = facts_of(**certificate);
  const auto authority_facts = facts_of(**authority);
  if (!facts || !facts->subject.node) return bad("the certificate is not a node's");
  if (!authority_facts || authority_facts->subject.node) {
    return bad("the authority's certificate is none");
  }
  if (X509_check_private_key(certificate->get(), key->get()) != 1) {
    return bad("the key is not the certificate's");
  }
  if (facts->subject.cluster != authority_facts->subject.cluster ||
      !is_signed_by(certificate->get(), authority->get())) {
    return bad("the authority did not sign the certificate");
  }
  auto made = std::make_shared<TlsContext>();
  BLX_TRY(made->context_, make_context());
  made->cluster_ = authority_facts->subject.cluster;
  SSL_CTX* tls = made->context_.get();
  const bool done = SSL_CTX_use_certificate(tls, certificate->get()) == 1 &&
                    SSL_CTX_use_PrivateKey(tls, key->get()) == 1 &&
                    X509_STORE_add_cert(SSL_CTX_get_cert_store(tls), authority->get()) == 1;
  if (!done) return crypto_failed("use the credentials");
  made->authority_ = *std::move(authority);
  return made;
}

Result<std::shared_ptr<const TlsContext>> TlsContext::make_without_credentials() {
  auto made = std::make_shared<TlsContext>();
  BLX_TRY(made->context_, make_context());
  return made;
}

Result<SslPtr> TlsContext::start(TlsRole role, TlsPeerCheck& check) const {
  ERR_clear_error();
  SslPtr ssl(SSL_new(context_.get()));
  if (!ssl || SSL_set_app_data(ssl.get(), &check) != 1) return crypto_failed("begin a handshake");
  if (role == TlsRole::kDial) {
    SSL_set_connect_state(ssl.get());
    return ssl;
  }
  SSL_set_accept_state(ssl.get());
  // Who enrols looks for it; who is a member has it, and reading one is what costs most.
  if (SSL_add1_chain_cert(ssl.get(), authority_.get()) != 1) {
    return crypto_failed("begin a handshake");
  }
  return ssl;
}

}  // namespace blixard::linux_side

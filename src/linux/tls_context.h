#pragma once

// What TLS handshakes are made with: one SSL_CTX for both roles, with one set of credentials or,
// for a node that has none yet, with none.
//
// TLS 1.3 only, without resumption and early data; X25519 or P-256, signatures on P-256. Only the
// cluster's authority is believed, never the system's store, and beside what OpenSSL checks (chain,
// times, usage for the role) a certificate must have our form and name the authority's cluster.

#include <memory>
#include <optional>
#include <string>

#include "env/security.h"
#include "linux/security_openssl.h"

namespace blixard::linux_side {

// Of one handshake: whom we look for, and what the check found.
struct TlsPeerCheck {
  std::string address;  // for errors
  std::string cluster;  // of the authority; empty: pinned decides, and only servers are believed
  std::string pinned;   // fingerprint of the authority to believe
  NodeId expected;      // none: any node

  std::optional<Error> refusal;         // why we refused
  std::optional<env::Subject> subject;  // who it is
};

enum class TlsRole : std::uint8_t { kDial, kAccept };

class TlsContext {
 public:
  // Errors: kInvalidArgument "credentials_invalid", kInternal "crypto_failed".
  static Result<std::shared_ptr<const TlsContext>> make(const env::Credentials& credentials);
  static Result<std::shared_ptr<const TlsContext>> make_without_credentials();

  // `check` must live as long as the handshake. A context may go away before its handshakes.
  Result<SslPtr> start(TlsRole role, TlsPeerCheck& check) const;
  [[nodiscard]] const std::string& cluster() const { return cluster_; }

 private:
  SslContextPtr context_;
  X509Ptr authority_;
  std::string cluster_;
};

}  // namespace blixard::linux_side

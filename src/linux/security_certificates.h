#pragma once

// X.509 as Blixard uses it (docs/formats/certificates.md): keys on P-256, one authority a cluster
// without intermediates, and one URI in each certificate that says who its holder is:
//
//   blixard://<cluster>              the cluster's authority
//   blixard://<cluster>/node/<id>    a node that is no server
//   blixard://<cluster>/server/<id>  a server
//
// P-256 and not Ed25519: OpenSSL 3.0 signs and verifies it twice as fast on x86-64.

#include <optional>
#include <string>
#include <string_view>

#include "env/security.h"
#include "linux/security_openssl.h"

namespace blixard::linux_side {

// One PEM block from outside. Errors: kInvalidArgument "certificate_invalid", "key_invalid".
Result<X509Ptr> read_certificate(std::string_view pem);
Result<KeyPtr> read_key(std::string_view pem);

Result<env::Authority> make_authority(std::string_view cluster, WallTime now, Duration lifetime);
Result<env::KeyRequest> make_request();
Result<std::string> issue(const env::Authority& authority, std::string_view request,
                          const env::Subject& subject, WallTime now, Duration lifetime);

// Errors: kInvalidArgument "certificate_invalid": not of the form above.
Result<env::CertificateFacts> facts_of(X509& certificate);

// SHA-256 of the DER form, lower-case hex.
std::string fingerprint_of(const X509& certificate);

std::string identity_uri(const env::Subject& subject);
std::optional<env::Subject> parse_identity_uri(std::string_view uri);

}  // namespace blixard::linux_side

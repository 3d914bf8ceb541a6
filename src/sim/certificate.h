#pragma once

// Simulated authorities, certificates and requests: lines of text with a checksum in the place of
// a signature. Nobody in a simulation forges, but files are damaged, clusters are confused and
// certificates get old, and all that is found out as it is on Linux. What a "public key" is made
// from is the key's text; a signature is a checksum over the content and the issuer's public key.

#include <string>
#include <string_view>

#include "base/result.h"
#include "env/random.h"
#include "env/security.h"

namespace blixard::sim {

struct Certificate {
  std::string cluster;
  NodeId node;          // none: an authority's
  bool server = false;  // of a node
  std::int64_t not_before_s = 0;
  std::int64_t not_after_s = 0;
  std::string public_key;
  std::string issuer;  // its public key
  std::string serial;
  std::string signature;

  [[nodiscard]] std::string text() const;
  [[nodiscard]] bool signed_by(const Certificate& authority) const;
  [[nodiscard]] bool valid_at(WallTime now) const;
  [[nodiscard]] env::CertificateFacts facts() const;

  // Errors: kInvalidArgument "certificate_invalid".
  static Result<Certificate> parse(std::string_view text);
};

Result<env::Authority> make_authority(env::Random& random, std::string_view cluster, WallTime now,
                                      Duration lifetime);
env::KeyRequest make_request(env::Random& random);
Result<std::string> issue(env::Random& random, const env::Authority& authority,
                          std::string_view request, const env::Subject& subject, WallTime now,
                          Duration lifetime);

// Whether the parts belong together, whatever the time is. Errors: kInvalidArgument
// "credentials_invalid".
Result<void> check_credentials(const env::Credentials& credentials);

}  // namespace blixard::sim

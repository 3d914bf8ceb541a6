#pragma once

// Who is who between machines: a cluster's authority, the certificates it issues to nodes, and
// streams that prove both ends (mutual TLS 1.3 on Linux). Keys and certificates are PEM text on
// Linux and opaque text everywhere else; nothing but this interface looks into them.
//
// A node's certificate names its cluster and its node id. Whoever accepts or dials a secure stream
// learns the other end's from the certificate (PeerIdentity), never from what the peer says. Names
// and addresses are not in it: machines move, identities do not.

#include <memory>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/result.h"
#include "base/units.h"
#include "env/network.h"
#include "env/task.h"

namespace blixard::env {

// Signs certificates. Secret.
struct Authority {
  std::string certificate;
  std::string key;
};

// A node's new key and its request for a certificate; the key never leaves the node.
struct KeyRequest {
  std::string key;  // secret
  std::string request;
};

// What a certificate says.
struct Subject {
  std::string cluster;
  NodeId node;
};

struct CertificateFacts {
  Subject subject;  // node none: an authority's
  WallTime not_before;
  WallTime not_after;
  std::string fingerprint;  // SHA-256 over the certificate, lower-case hex
};

// What a node proves itself with, and whom it believes.
struct Credentials {
  std::string certificate;
  std::string key;
  std::string authority;  // its certificate
};

// Secure streams under one set of credentials.
class SecureTransport {
 public:
  virtual ~SecureTransport() = default;

  // New handshakes use the new credentials; streams go on. Errors: kInvalidArgument
  // "credentials_invalid" (the old ones stay).
  virtual Result<void> replace(const Credentials& credentials) = 0;

  // Streams are accepted after their handshake, many handshakes at a time, each with a deadline
  // (limits::kHandshakeTimeout); one that fails is dropped and counted, not reported. A peer may
  // come without a certificate, to enrol: its PeerIdentity has no node. One with a certificate that
  // our authority did not sign, or that is not valid now, fails its handshake.
  virtual Task<Result<std::unique_ptr<Listener>>> listen(Endpoint endpoint) = 0;

  // Errors: as Network::dial, and kPermissionDenied "peer_identity_wrong" (another node answers
  // there), "certificate_refused" (by us or by them: the detail says which and why).
  virtual Task<Result<std::unique_ptr<Stream>>> dial(Endpoint endpoint, NodeId expected,
                                                     Instant deadline) = 0;
};

class Security {
 public:
  virtual ~Security() = default;

  // Errors of all: kInvalidArgument "certificate_invalid", "request_invalid", "key_invalid";
  // kInternal "crypto_failed".
  virtual Result<Authority> make_authority(std::string_view cluster, WallTime now,
                                           Duration lifetime) = 0;
  virtual Result<KeyRequest> make_request() = 0;
  // Valid from a little before `now`, for clocks that differ. The subject is the caller's, whatever
  // the request says.
  virtual Result<std::string> issue(const Authority& authority, std::string_view request,
                                    const Subject& subject, WallTime now, Duration lifetime) = 0;
  virtual Result<CertificateFacts> inspect(std::string_view certificate) = 0;

  virtual Result<std::unique_ptr<SecureTransport>> open(const Credentials& credentials) = 0;

  // For a node that has no certificate yet: dials without one and believes whoever presents a
  // node's certificate signed by the authority with this fingerprint. Errors: as
  // SecureTransport::dial.
  virtual Task<Result<std::unique_ptr<Stream>>> dial_to_enrol(Endpoint endpoint,
                                                              std::string authority_fingerprint,
                                                              Instant deadline) = 0;
};

}  // namespace blixard::env

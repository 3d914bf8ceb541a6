#pragma once

// Who is who between machines: a cluster's authority, the certificates it issues to nodes, and
// streams that prove both ends (mutual TLS 1.3 on Linux). Keys and certificates are PEM text on
// Linux and opaque text everywhere else; nothing but this interface looks into them.
//
// A node's certificate names its cluster and its node id, and whether it is a server, which may let
// others in. Whoever accepts or dials a secure stream learns the other end's from the certificate
// (PeerIdentity), never from what the peer says. Names and addresses are not in it: machines move,
// identities do not.
//
// A secure stream's close() tells the peer that this is the end; a stream that ends without being
// told, as anybody on the way could make it, fails with kUnavailable "truncated" or
// "connection_lost" instead of reading 0.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/result.h"
#include "base/units.h"
#include "env/network.h"
#include "env/task.h"

namespace blixard::env {

// A certificate's begin, before it was issued. A day, since the clock of who issues it may be hours
// ahead (a wrong time zone, say), and the new node would be refused by all others until then; an
// early begin takes nothing from those who trust one authority only.
inline constexpr Duration kBackdated = 24h;

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
  bool server = false;  // of a node: a joining machine may believe it
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
  //
  // close() and a listener's end drop what is under way.
  virtual Task<Result<std::unique_ptr<Listener>>> listen(Endpoint endpoint) = 0;

  // Returns when both ends have accepted each other. `expected` none: any node of the cluster.
  // Errors: as Network::dial, and kPermissionDenied "peer_identity_wrong" (another node answers
  // there), "certificate_refused" (by us or by them: the detail says which and why);
  // kDeadlineExceeded "handshake_timed_out", kUnavailable "handshake_failed" (no peer of ours).
  virtual Task<Result<std::unique_ptr<Stream>>> dial(Endpoint endpoint, NodeId expected,
                                                     Instant deadline) = 0;

  // Of all listeners together, since open().
  [[nodiscard]] virtual std::uint64_t handshakes_failed() const = 0;
};

class Security {
 public:
  virtual ~Security() = default;

  // A cluster's name is [a-z0-9-]{1,63}. Times are kept in whole seconds, to the year 9999.
  // Errors of all: kInvalidArgument "certificate_invalid", "request_invalid", "key_invalid";
  // kInternal "crypto_failed".
  virtual Result<Authority> make_authority(std::string_view cluster, WallTime now,
                                           Duration lifetime) = 0;
  virtual Result<KeyRequest> make_request() = 0;
  // Valid from kBackdated before `now`, for clocks that differ. The subject is the caller's,
  // whatever the request says; its cluster is the authority's.
  virtual Result<std::string> issue(const Authority& authority, std::string_view request,
                                    const Subject& subject, WallTime now, Duration lifetime) = 0;
  virtual Result<CertificateFacts> inspect(std::string_view certificate) = 0;

  // Errors: kInvalidArgument "credentials_invalid". A certificate out of its time is none: it is
  // refused by the peers.
  virtual Result<std::unique_ptr<SecureTransport>> open(const Credentials& credentials) = 0;

  // For a node that has no certificate yet: dials without one and believes whoever presents a
  // server's certificate signed by the authority with this fingerprint. Errors: as
  // SecureTransport::dial.
  virtual Task<Result<std::unique_ptr<Stream>>> dial_to_enrol(Endpoint endpoint,
                                                              std::string authority_fingerprint,
                                                              Instant deadline) = 0;
};

}  // namespace blixard::env

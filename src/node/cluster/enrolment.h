#pragma once

// How a machine becomes a node: it dials a member, proves that it has a token, and gets an id and a
// certificate.
//
// Everything here may be repeated. Who asks again with the same key and token gets the same id,
// whichever member it asks and whatever was lost on the way. The secret of a token is sent only to
// a node whose certificate the token's authority signed, and is kept nowhere. A stranger that has
// no token costs a read, never an entry of the log.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/payload.h"
#include "base/result.h"
#include "core/cluster/model.h"
#include "env/env.h"
#include "env/security.h"
#include "env/task.h"
#include "node/cluster/join_token.h"
#include "node/replica/replica.h"

namespace blixard::membership {

inline constexpr Duration kNodeLifetime = 90 * 24h;             // of a node's certificate
inline constexpr Duration kAuthorityLifetime = 10 * 365 * 24h;  // of the authority's

// A member and where it is reached.
struct Member {
  NodeId id;
  env::Endpoint address;
  friend bool operator==(const Member&, const Member&) = default;
};

// What a machine says about itself.
struct Applicant {
  std::string name;
  std::string peer_address;
  std::string certificate_request;
};

// What makes it a node.
struct Enrolment {
  Uuid cluster;
  NodeId id;
  std::string name;
  cluster::NodeRole role = cluster::NodeRole::kServer;
  std::string certificate;
  std::string authority_certificate;
  std::string authority_key;  // empty unless it is a server
  std::vector<Member> members;
};

// One try. Errors: the dial's; the answer's (model words such as "token_used", "node_exists");
// kDataLoss "enrolment_invalid" when the answer does not fit the token.
env::Task<Result<Enrolment>> ask_to_enrol(env::Env env, JoinTarget target, Applicant applicant,
                                          Instant deadline);
// Tries again what may pass, until the deadline.
env::Task<Result<Enrolment>> enrol(env::Env env, JoinTarget target, Applicant applicant,
                                   Instant deadline);

// Answers machines that enrol, and nodes that ask for a new certificate.
class Enroller {
 public:
  // `authority` none: this node cannot issue certificates and says so ("not_a_server").
  Enroller(env::Env env, replica::Replica& replica, std::optional<env::Authority> authority)
      : env_(env), replica_(replica), authority_(std::move(authority)) {}

  // Bodies of RequestKind::kEnrol and kRenew. Errors: kInvalidArgument "request_malformed",
  // kFailedPrecondition "not_a_server"; propose()'s, apply's and Security's.
  env::Task<Result<std::string>> enrol(Payload body);
  env::Task<Result<std::string>> renew(NodeId from, Payload body);

  // For this node itself, by its own authority.
  Result<std::string> issue(NodeId node, std::string_view certificate_request);

 private:
  [[nodiscard]] Result<void> check_token(const JoinToken& token) const;

  env::Env env_;
  replica::Replica& replica_;
  std::optional<env::Authority> authority_;
};

}  // namespace blixard::membership

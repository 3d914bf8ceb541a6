#pragma once

// How a machine becomes a node: it dials a member, proves that it has a token, and gets an id and a
// certificate.
//
// Everything here may be repeated. Who asks again with the same key and token gets the same id,
// whichever server it asks and whatever was lost on the way; who was refused is looked at anew. The
// secret of a token is sent only to a server whose certificate the token's authority signed, and is
// kept nowhere. A stranger that has no good token costs a read, never an entry of the log.
//
// A machine believes no answer that does not fit: the token's authority signed the certificate, for
// the machine's own key, with the mark of its role.

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
  env::KeyRequest key;  // only the request is said
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

// What a server answered (v1::EnrolAnswer). Errors: kDataLoss "enrolment_invalid" with what does
// not fit the token, the machine's key or itself.
Result<Enrolment> read_answer(env::Env env, const JoinToken& token, const env::KeyRequest& key,
                              std::string_view bytes);

// One try. Errors: the dial's; the answer's (model words such as "token_used", "node_exists");
// read_answer()'s.
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

  // For this node itself, by its own authority: a server.
  Result<std::string> issue_own(NodeId self, std::string_view certificate_request) {
    return issue(self, cluster::NodeRole::kServer, certificate_request);
  }

 private:
  Result<std::string> issue(NodeId node, cluster::NodeRole role,
                            std::string_view certificate_request);

  env::Env env_;
  replica::Replica& replica_;
  std::optional<env::Authority> authority_;
};

}  // namespace blixard::membership

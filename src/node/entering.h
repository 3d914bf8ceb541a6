#pragma once

// How a data directory comes to belong to a cluster: by beginning one (--bootstrap) or by joining
// one (--join). Once it does, both are ignored, so that a unit file may keep them.
//
// A crash at any moment leaves a directory that the same command brings to its end. pending.json,
// durable before anything else, says that what is there is unfinished and nobody's; node.json, the
// last file, that all is there. A join keeps its key in pending.json, so however often it is cut
// short the cluster sees one machine, and gives out one id.

#include <functional>
#include <string>

#include "base/result.h"
#include "core/cluster/state.h"
#include "env/env.h"
#include "env/task.h"
#include "node/cluster/enrolment.h"
#include "node/identity.h"

namespace blixard::node {

struct Entry {
  bool bootstrap = false;
  std::string join;  // TOKEN@HOST:PORT; empty: none
  std::string name;  // empty: the host's
  std::string peer_address;
};

// What is done elsewhere.
struct EntryParts {
  // Writes the beginning of the log, in a directory that is not there.
  std::function<env::Task<Result<void>>(const cluster::State&)> begin_log;
  std::function<env::Task<Result<membership::Enrolment>>(membership::JoinTarget,
                                                         membership::Applicant)>
      enrol;
};

// Errors: load_identity()'s; kFailedPrecondition "no_cluster" (neither is asked for),
// "other_cluster" (the token is another cluster's than the directory's), "directory_unclear" (a log
// without a node.json); kInvalidArgument "name_invalid", "token_malformed", "address_invalid",
// "choose_one"; those of the parts.
env::Task<Result<Identity>> enter_cluster(env::Env env, std::string directory, Entry entry,
                                          EntryParts parts);

}  // namespace blixard::node

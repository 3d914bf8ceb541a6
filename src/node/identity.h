#pragma once

// Who this node is, kept in its data directory: made when it enters a cluster (entering.h), read at
// every start. node.json is written last of all, so a directory that has one is whole.
//
// Files of secrets are the owner's alone from before there is anything to read in them.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "core/cluster/model.h"
#include "env/env.h"
#include "env/security.h"
#include "env/task.h"
#include "node/cluster/enrolment.h"

namespace blixard::node {

// Layout of the data directory. A directory of a newer layout is refused, not guessed at; 1 was
// that of single nodes, before clusters.
inline constexpr std::uint32_t kDataFormat = 2;

struct Identity {
  Uuid cluster;
  NodeId id;
  std::string name;  // at its entry; the cluster's record decides
  cluster::NodeRole role = cluster::NodeRole::kServer;
  // Known at the entry, to be heard of by the leader before there is a log; without itself.
  std::vector<membership::Member> members;
  friend bool operator==(const Identity&, const Identity&) = default;
};

struct Keys {
  env::Credentials credentials;
  std::optional<env::Authority> authority;  // of a server
};

// None: the directory has no node.json. Errors: kFailedPrecondition "data_too_new", "data_too_old";
// kDataLoss "identity_damaged".
env::Task<Result<std::optional<Identity>>> load_identity(env::Env env, std::string directory);
env::Task<Result<void>> store_identity(env::Env env, std::string directory, Identity identity);

// Finishes a renewal that was cut short. Errors: kDataLoss "keys_damaged".
env::Task<Result<Keys>> load_keys(env::Env env, std::string directory, Identity identity);
// At the entry: whatever is there is replaced.
env::Task<Result<void>> store_keys(env::Env env, std::string directory, Keys keys);
// Replaces the node's key and certificate: after a crash load_keys() finds the old pair or the new.
env::Task<Result<void>> store_renewed(env::Env env, std::string directory,
                                      env::Credentials credentials);

// The bearer token of the TCP API, made at the first start.
env::Task<Result<std::string>> load_api_token(env::Env env, std::string path);

// `name`, or the host's where that is empty, as names may be. Errors: kInvalidArgument
// "name_invalid".
Result<std::string> node_name(env::Env env, std::string name);

// As Disk::replace_file, with mode 0600 from the start.
env::Task<Result<void>> replace_secret(env::Env env, std::string path, std::string content);

}  // namespace blixard::node

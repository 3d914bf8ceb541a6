#pragma once

// Who this node is, kept in its data directory: made at the first start, read at every other.

#include <cstdint>
#include <string>

#include "base/ids.h"
#include "env/env.h"
#include "env/task.h"

namespace blixard::node {

// Layout of the data directory. A directory of a newer layout is refused, not guessed at.
inline constexpr std::uint32_t kDataFormat = 1;

struct Identity {
  NodeId id;
  std::string name;
};

// `name` is used at the first start only; empty means the host's name. Errors: kFailedPrecondition
// "data_too_new", kDataLoss "identity_damaged", kInvalidArgument "name_invalid".
env::Task<Result<Identity>> load_identity(env::Env env, std::string directory, std::string name);

// The bearer token of the TCP API, made at the first start; the file is the owner's alone.
env::Task<Result<std::string>> load_api_token(env::Env env, std::string path);

}  // namespace blixard::node

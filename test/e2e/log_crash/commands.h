#pragma once

// What the killed program and the one that checks it agree on: command number n, and how both open
// the replica. The commands are a function of n alone, so the state after the first n of them is
// known without asking the one that was killed.

#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"
#include "blixard/v1/cluster.pb.h"
#include "core/cluster/state.h"
#include "env/env.h"
#include "env/task.h"
#include "node/replica/replica.h"

namespace blixard::log_crash {

inline constexpr std::size_t kOutstanding = 16;  // commands of the killed program at once

v1::Command command(std::uint64_t number);

// "object 17" or "refused vm_exists": an answer as text.
std::string describe(const Result<cluster::Outcome>& answer);

// Small segments and frequent snapshots, so that a run meets many of both.
env::Task<Result<std::unique_ptr<replica::Replica>>> open(env::Env env, std::string directory);

// Runs in the program that is killed: proposes the commands from `first` on and writes a line to
// standard output for each answer. Returns an exit code when something is wrong.
int run_child(const std::string& directory, std::uint64_t first);

}  // namespace blixard::log_crash

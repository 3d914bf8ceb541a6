#pragma once

// How a child is started: the program starts itself again with a hidden subcommand, which makes
// the new process what it should be and then executes the wanted program. All of it happens in a
// fresh single-threaded process, where nothing of ours is held or shared, unlike between fork and
// exec of a process with threads.
//
// The launcher is given descriptors 0 to 2 and, on 3, a pipe that closes at exec. Only on failure
// it writes a LaunchFailure there.

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "env/process.h"

namespace blixard::linux_side {

inline constexpr int kStatusFd = 3;

enum class LaunchStage : std::int32_t {
  kArguments,
  kGroup,
  kOutput,
  kDirectory,
  kUser,
  kExecute,
};

struct LaunchFailure {
  LaunchStage stage = LaunchStage::kArguments;
  std::int32_t number = 0;  // errno
};

// argv of the launcher for `spec`; `group_files` are the cgroup.procs files to join.
std::vector<std::string> launch_arguments(const env::SpawnSpec& spec,
                                          const std::vector<std::string>& group_files);

// What a failure means to the caller of spawn().
Error launch_error(const LaunchFailure& failure, const env::SpawnSpec& spec);

// The other side; returns only on failure.
int run_launcher(int argc, char** argv);

// The environment of every child: nothing of ours leaks into it.
extern const char* const kChildEnvironment[];

}  // namespace blixard::linux_side

#pragma once

// How a child is started: a launcher (launcher/launcher.cc), which this program carries inside
// itself, makes the new process what it should be and then executes the wanted program.

#include <string>
#include <vector>

#include "base/result.h"
#include "env/process.h"
#include "linux/descriptor.h"
#include "linux/groups.h"
#include "linux/launcher/orders.h"

namespace blixard::linux_side {

// The launcher as a file that nobody can change, to be executed by execute_path(). Errors:
// kResourceExhausted "process_limit", kFailedPrecondition "launcher_refused" where the system lets
// nothing be executed from memory.
Result<Fd> open_launcher();
std::string execute_path(const Fd& file);

// argv of the launcher for `spec`, which is to run in `places`. Looks the user up, and so may read
// files.
std::vector<std::string> launch_arguments(const env::SpawnSpec& spec, const GroupPlaces& places);

// What a failure means to the caller of spawn().
Error launch_error(const LaunchReport& failure, const env::SpawnSpec& spec);

// The environment of every child: nothing of ours leaks into it.
extern const char* const kChildEnvironment[];

}  // namespace blixard::linux_side

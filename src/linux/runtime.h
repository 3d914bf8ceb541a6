#pragma once

// The real side of the seam: one event loop on the calling thread, and a small pool of threads
// for what would block it (disk syncs, waiting for subprocess output).
//
//   linux_side::Runtime runtime({.log = sink});
//   runtime.run(node_main(runtime.env()));
//
// run() returns when the task has ended. Everything the Env hands out must be gone before the
// Runtime is.

#include <memory>
#include <string>

#include "env/env.h"
#include "env/task.h"

namespace blixard::linux_side {

struct Options {
  observe::LogSink* log = nullptr;  // null: discard
  // Parent group of the groups that Process makes, "blixard" by default.
  std::string group_root = "blixard";
};

class Runtime {
 public:
  explicit Runtime(Options options);
  ~Runtime();
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  [[nodiscard]] env::Env env();

  void run(env::Task<void> task);

  // Returns at the next SIGINT or SIGTERM (from then on they no longer kill the process);
  // cancelled with its scope. The value is the signal's number.
  env::Task<Result<int>> wait_for_stop_signal();

  // Returns at the next SIGHUP, also at one that came since the last call; from the first call on
  // it no longer kills the process. Cancelled with its scope.
  env::Task<Result<void>> wait_for_reload_signal();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

// Serves the hidden subcommand by which the program starts itself again in a child, to time guest
// kernel code. Returns the exit code, or -1 when argv is not that. main() of every program that
// uses a Runtime calls it first.
int run_hidden_command(int argc, char** argv);

}  // namespace blixard::linux_side

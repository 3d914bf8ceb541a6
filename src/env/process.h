#pragma once

// Other programs: started, watched, ended, and taken over again after our own restart.
//
// A child outlives us: it has its own session and no tie to our death. To find it again, its
// pid and start time (field 22 of /proc/PID/stat) are kept by the caller; adopt() compares both,
// so a reused pid is never taken for ours, and signals go through a pidfd, so they never hit a
// stranger.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "env/disk.h"
#include "env/task.h"

namespace blixard::env {

struct ProcessId {
  std::int64_t pid = 0;
  std::uint64_t start_ticks = 0;  // since boot, in clock ticks
  friend bool operator==(const ProcessId&, const ProcessId&) = default;
};

// How a process ended. Of an adopted process (not our child) nobody can know: unknown.
struct ExitStatus {
  std::optional<int> exit_code;
  std::optional<int> signal;
  [[nodiscard]] std::string text() const;  // "exit code 1", "signal 9", "ended"
};

// Limits of a group of processes (a cgroup). Zero means unlimited.
struct GroupLimits {
  Bytes memory;
  std::uint32_t cpu_percent = 0;  // 100 is one whole CPU
  std::uint32_t pids = 0;
};

struct SpawnSpec {
  std::string executable;              // absolute path
  std::vector<std::string> arguments;  // without argv[0]
  std::string working_directory = "/";
  std::string output_path;      // stdout and stderr, appended; empty: discarded
  std::optional<Owner> run_as;  // drops to it, with no_new_privs; needs root
  std::string group;            // name of a group made before; empty: ours
};

struct RunResult {
  ExitStatus status;
  std::string output;  // stdout and stderr together, bounded by output_max
};

enum class Kill : std::uint8_t { kTerminate, kNow };

class Child {
 public:
  virtual ~Child() = default;  // lets go; the process lives on
  [[nodiscard]] virtual ProcessId id() const = 0;
  // Returns when the process has ended; at once if it already has. Errors: kCancelled.
  virtual Task<Result<ExitStatus>> wait() = 0;
  virtual Result<void> kill(Kill how) = 0;  // of an ended process: kNotFound
  // What it uses: resident memory and CPU time so far. Errors: kNotFound once it ended.
  struct Usage {
    Bytes resident;
    Duration cpu{};
  };
  virtual Result<Usage> usage() = 0;
};

class Process {
 public:
  virtual ~Process() = default;

  // Errors: kNotFound "program_missing", kPermissionDenied, kResourceExhausted,
  // kFailedPrecondition "group_missing", "group_killed".
  virtual Task<Result<std::unique_ptr<Child>>> spawn(SpawnSpec spec) = 0;
  // Errors: kNotFound "process_gone" when no process has this id (pid reused counts as gone).
  virtual Task<Result<std::unique_ptr<Child>>> adopt(ProcessId id) = 0;
  // Runs to its end; kills it at the deadline (kDeadlineExceeded) or when cancelled.
  virtual Task<Result<RunResult>> run(SpawnSpec spec, Instant deadline, std::size_t output_max) = 0;
  // Absolute path of a program in PATH (and /usr/sbin, /usr/libexec). Errors: kNotFound.
  virtual Task<Result<std::string>> find_program(std::string name) = 0;

  // Groups hold and limit processes; make is idempotent. Where the system has no usable cgroups
  // they exist in name only, and group_support() says so. Names are [A-Za-z0-9._-]{1,100}, without
  // a dot in front. Errors: kInvalidArgument "group_name_invalid", kFailedPrecondition
  // "group_limit_refused". To kill or remove what is not there is fine. Whatever begins in a group
  // that was killed, and not made again since, may be killed too.
  enum class GroupSupport : std::uint8_t { kNone, kHybrid, kUnified };
  [[nodiscard]] virtual GroupSupport group_support() const = 0;
  virtual Task<Result<void>> make_group(std::string name, GroupLimits limits) = 0;
  virtual Task<Result<std::vector<std::string>>> groups() = 0;  // every group of ours, by name
  virtual Task<Result<void>> kill_group(std::string name) = 0;  // waits until it is empty
  // Errors: kFailedPrecondition "group_not_empty".
  virtual Task<Result<void>> remove_group(std::string name) = 0;
};

}  // namespace blixard::env

#pragma once

// What the daemon and its launcher say to each other: orders as arguments, and reports back.

#include <cstdint>
#include <string_view>

namespace blixard::linux_side {

// The launcher is given descriptors 0 to 2 and this one, a pipe that closes at exec. It writes
// LaunchReports there: when it goes on as another process, and on failure.
inline constexpr int kStatusFd = 3;

// Before the word kOrdersEnd, behind which the program's path and its arguments stand.
inline constexpr std::string_view kGroupOrder = "group=";          // a cgroup v2 to be in
inline constexpr std::string_view kTasksOrder = "tasks=";          // `tasks` of a cgroup v1 to join
inline constexpr std::string_view kOutputOrder = "output=";        // a file
inline constexpr std::string_view kDirectoryOrder = "directory=";  // to work in
inline constexpr std::string_view kUserOrder = "user=";            // UID:GID, to become
inline constexpr std::string_view kMemberOrder = "member=";        // one more GID of that user
inline constexpr std::string_view kOrdersEnd = "--";

enum class LaunchStage : std::int32_t {
  // No failures: a child of the daemon goes on, and the launcher that it started ends. Each of the
  // two says so.
  kSplit,
  kBegun,
  kArguments,
  kGroup,
  kOutput,
  kDirectory,
  kUser,
  kExecute,
};

struct LaunchReport {
  LaunchStage stage = LaunchStage::kArguments;
  std::int32_t number = 0;  // errno; of kSplit the pid
};

}  // namespace blixard::linux_side

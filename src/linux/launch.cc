#include "linux/launch.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string_view>

#include "linux/system_error.h"

// launcher_image.S.
extern "C" {
extern const char blx_launcher_begin[];
extern const char blx_launcher_end[];
}

namespace blixard::linux_side {

const char* const kChildEnvironment[] = {
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", nullptr};

namespace {

constexpr int kUserGroupsMax = 64;  // as many as the launcher takes
constexpr std::size_t kUserBytes = 16384;

#ifndef MFD_EXEC
constexpr unsigned MFD_EXEC = 0x10U;  // Linux 6.3
#endif

Fd make_memory_file() {
  constexpr unsigned kFlags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  Fd file(memfd_create("blixard-launcher", kFlags | MFD_EXEC));
  if (!file && errno == EINVAL) file = Fd(memfd_create("blixard-launcher", kFlags));
  return file;
}

std::string order(std::string_view what, std::string_view value) {
  return std::string(what).append(value);
}

// Those the user database gives the user: access to /dev/kvm is often one of them.
std::vector<gid_t> groups_of(const env::Owner& owner) {
  passwd user{};
  passwd* found = nullptr;
  std::array<char, kUserBytes> text{};
  (void)getpwuid_r(owner.uid, &user, text.data(), text.size(), &found);
  std::vector<gid_t> groups(kUserGroupsMax);
  int count = kUserGroupsMax;
  const bool is_known =
      found != nullptr && getgrouplist(found->pw_name, owner.gid, groups.data(), &count) >= 0;
  if (!is_known) return {owner.gid};
  groups.resize(static_cast<std::size_t>(count));
  return groups;
}

}  // namespace

Result<Fd> open_launcher() {
  Fd file = make_memory_file();
  if (!file && errno != EACCES) {
    return fail(Code::kResourceExhausted, "process_limit", std::string(error_text(errno)));
  }
  if (!file) {
    return fail(Code::kFailedPrecondition, "launcher_refused",
                "nothing may be executed from memory (sysctl vm.memfd_noexec)");
  }
  std::string_view rest(blx_launcher_begin, blx_launcher_end);
  while (!rest.empty()) {
    const auto count =
        retry_interrupted([&] { return write(file.get(), rest.data(), rest.size()); });
    if (count < 0) {
      return fail(Code::kResourceExhausted, "process_limit", std::string(error_text(errno)));
    }
    rest.remove_prefix(static_cast<std::size_t>(count));
  }
  constexpr int kSeals = F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL;
  if (fcntl(file.get(), F_ADD_SEALS, kSeals) != 0) {
    return fail(Code::kInternal, "launch_failed", std::string(error_text(errno)));
  }
  return file;
}

std::string execute_path(const Fd& file) { return "/proc/self/fd/" + std::to_string(file.get()); }

std::vector<std::string> launch_arguments(const env::SpawnSpec& spec, const GroupPlaces& places) {
  std::vector<std::string> arguments{"blixard-launcher"};
  if (!places.group.empty()) arguments.push_back(order(kGroupOrder, places.group));
  for (const std::string& file : places.tasks_files)
    arguments.push_back(order(kTasksOrder, file));
  if (!spec.output_path.empty()) arguments.push_back(order(kOutputOrder, spec.output_path));
  arguments.push_back(order(kDirectoryOrder, spec.working_directory));
  if (spec.run_as) {
    arguments.push_back(order(
        kUserOrder, std::to_string(spec.run_as->uid) + ":" + std::to_string(spec.run_as->gid)));
    for (const gid_t group : groups_of(*spec.run_as))
      arguments.push_back(order(kMemberOrder, std::to_string(group)));
  }
  arguments.emplace_back(kOrdersEnd);
  arguments.push_back(spec.executable);
  arguments.insert(arguments.end(), spec.arguments.begin(), spec.arguments.end());
  return arguments;
}

Error launch_error(const LaunchReport& failure, const env::SpawnSpec& spec) {
  const int number = failure.number;
  switch (failure.stage) {
    case LaunchStage::kSplit:  // which is none, also below
    case LaunchStage::kBegun:
    case LaunchStage::kArguments:
      return {Code::kInternal, "launch_failed", "the launcher did not understand its arguments"};
    case LaunchStage::kGroup:
      if (number == ENOENT) {
        return {Code::kFailedPrecondition, "group_missing", "group " + spec.group};
      }
      return {Code::kFailedPrecondition, "group_refused",
              "join group " + spec.group + ": " + std::string(error_text(number))};
    case LaunchStage::kOutput:
      return file_error(number, "open", spec.output_path);
    case LaunchStage::kDirectory:
      return file_error(number, "change to", spec.working_directory);
    case LaunchStage::kUser:
      return {Code::kPermissionDenied, "user_change_refused", std::string(error_text(number))};
    case LaunchStage::kExecute:
      break;
  }
  const std::string detail = spec.executable + ": " + std::string(error_text(number));
  switch (number) {
    case ENOENT:
    case ENOTDIR:
      return {Code::kNotFound, "program_missing", detail};
    case EACCES:
    case EPERM:
      return {Code::kPermissionDenied, "program_refused", detail};
    case ENOMEM:
    case EAGAIN:
    case EMFILE:
    case ENFILE:
      return {Code::kResourceExhausted, "process_limit", detail};
    case E2BIG:
    case ENOEXEC:
      return {Code::kInvalidArgument, "program_invalid", detail};
    default:
      return {Code::kUnavailable, "launch_failed", detail};
  }
}

}  // namespace blixard::linux_side

// The launcher: makes a fresh process what a child of ours should be, then executes the wanted
// program. All of it happens in a process with one thread, where nothing of the daemon is held or
// shared, unlike between its fork and exec. Static and without any library, since each start of a
// guest waits for it; returns only on failure.

#include <fcntl.h>
#include <grp.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <string_view>

#include "linux/launcher/orders.h"

using namespace blixard::linux_side;

namespace {

constexpr std::size_t kOrdersMax = 64;  // of one kind

template <class T>
struct List {
  std::array<T, kOrdersMax> items{};
  std::size_t count = 0;

  bool add(T item) {
    if (count == items.size()) return false;
    items[count++] = item;
    return true;
  }
};

struct Orders {
  const char* group = nullptr;
  List<const char*> tasks_files;
  const char* output = nullptr;
  const char* directory = "/";
  bool changes_user = false;
  uid_t uid = 0;
  gid_t gid = 0;
  List<gid_t> members;
  char** program = nullptr;  // its argv, with the path as argv[0]
};

template <class T>
bool parse_number(std::string_view text, T& number) {
  const char* const end = text.data() + text.size();
  const auto [parsed, error] = std::from_chars(text.data(), end, number);
  return error == std::errc() && parsed == end;
}

bool parse_user(std::string_view text, Orders& orders) {
  const std::size_t colon = text.find(':');
  orders.changes_user = true;
  return colon != std::string_view::npos && parse_number(text.substr(0, colon), orders.uid) &&
         parse_number(text.substr(colon + 1), orders.gid);
}

bool parse_order(const char* argument, Orders& orders) {
  const std::string_view text = argument;
  if (text.starts_with(kTasksOrder)) return orders.tasks_files.add(argument + kTasksOrder.size());
  if (text.starts_with(kUserOrder)) return parse_user(text.substr(kUserOrder.size()), orders);
  if (text.starts_with(kMemberOrder)) {
    gid_t group = 0;
    return parse_number(text.substr(kMemberOrder.size()), group) && orders.members.add(group);
  }
  if (text.starts_with(kGroupOrder)) {
    orders.group = argument + kGroupOrder.size();
    return true;
  }
  if (text.starts_with(kOutputOrder)) {
    orders.output = argument + kOutputOrder.size();
    return true;
  }
  if (!text.starts_with(kDirectoryOrder)) return false;
  orders.directory = argument + kDirectoryOrder.size();
  return true;
}

bool parse_orders(int argc, char** argv, Orders& orders) {
  for (int i = 1; i < argc; ++i) {
    if (argv[i] == kOrdersEnd) {
      orders.program = argv + i + 1;
      return i + 1 < argc;
    }
    if (!parse_order(argv[i], orders)) return false;
  }
  return false;
}

int report(LaunchStage stage, int number) {
  const LaunchReport report{stage, number};
  // Nobody is left to tell if this fails.
  (void)!write(kStatusFd, &report, sizeof report);
  return 127;
}

void reset_signals() {
  struct sigaction standard{};
  standard.sa_handler = SIG_DFL;
  for (int number = 1; number < NSIG; ++number)
    (void)sigaction(number, &standard, nullptr);
  sigset_t none;
  sigemptyset(&none);
  (void)sigprocmask(SIG_SETMASK, &none, nullptr);
}

// What stays open on failure goes with the process.
bool join(int directory, const char* file) {
  const int fd = openat(directory, file, O_WRONLY | O_CLOEXEC);
  return fd >= 0 && write(fd, "0", 1) == 1;
}

enum class Place { kThere, kLeftToChild, kRefused };

// A process that moves into another group waits for all CPUs (7 ms and more) and stops every fork
// of the machine meanwhile; one that begins there does neither. So a child of the daemon begins
// there and goes on in our place (clone3 with CLONE_INTO_CGROUP, Linux 5.7). We move where there is
// no such call, as in containers that filter it. Whoever tells nobody any more that it went on ends
// here, by SIGPIPE.
Place enter_group(const char* directory) {
  const int group = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (group < 0) return Place::kRefused;
  clone_args how{};
  how.flags = CLONE_INTO_CGROUP | CLONE_PARENT;
  how.cgroup = static_cast<unsigned>(group);
  const long child = syscall(SYS_clone3, &how, sizeof how);
  if (child > 0) {
    (void)report(LaunchStage::kSplit, static_cast<int>(child));
    return Place::kLeftToChild;
  }
  if (child < 0) return join(group, "cgroup.procs") ? Place::kThere : Place::kRefused;
  (void)report(LaunchStage::kBegun, 0);
  return Place::kThere;
}

// By `tasks`, which moves one thread, and there is no other: without the wait of cgroup.procs.
bool join_tasks(const char* file) { return join(AT_FDCWD, file); }

bool redirect_output(const char* path) {
  constexpr int kFlags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
  const int fd = open(path, kFlags, 0640);
  if (fd < 0) return false;
  struct stat status{};
  if (fstat(fd, &status) != 0) return false;
  if (!S_ISREG(status.st_mode)) {
    errno = EINVAL;
    return false;
  }
  return dup2(fd, STDOUT_FILENO) >= 0 && dup2(fd, STDERR_FILENO) >= 0;
}

bool become_user(const Orders& orders) {
  return setgroups(orders.members.count, orders.members.items.data()) == 0 &&
         setresgid(orders.gid, orders.gid, orders.gid) == 0 &&
         setresuid(orders.uid, orders.uid, orders.uid) == 0 &&
         prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
}

}  // namespace

int main(int argc, char** argv, char** environment) {
  if (fcntl(kStatusFd, F_SETFD, FD_CLOEXEC) != 0) return 127;
  Orders orders;
  if (!parse_orders(argc, argv, orders)) return report(LaunchStage::kArguments, EINVAL);
  reset_signals();
  const Place place = orders.group != nullptr ? enter_group(orders.group) : Place::kThere;
  if (place == Place::kLeftToChild) return 0;
  if (place == Place::kRefused) return report(LaunchStage::kGroup, errno);
  (void)setsid();
  umask(0077);
  (void)close_range(kStatusFd + 1, ~0U, 0);
  for (std::size_t i = 0; i < orders.tasks_files.count; ++i)
    if (!join_tasks(orders.tasks_files.items[i])) return report(LaunchStage::kGroup, errno);
  if (orders.output != nullptr && !redirect_output(orders.output)) {
    return report(LaunchStage::kOutput, errno);
  }
  // Still with our own rights: the directory need not be reachable for the user.
  if (chdir(orders.directory) != 0) return report(LaunchStage::kDirectory, errno);
  if (orders.changes_user && !become_user(orders)) return report(LaunchStage::kUser, errno);
  execve(orders.program[0], orders.program, environment);
  return report(LaunchStage::kExecute, errno);
}

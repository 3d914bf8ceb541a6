#include "linux/groups.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <utility>

#include "linux/descriptor.h"
#include "linux/disk_calls.h"
#include "linux/pidfd_calls.h"
#include "linux/proc_stat.h"
#include "linux/system_error.h"

namespace blixard::linux_side {
namespace {

constexpr std::array<const char*, 3> kLimits{"memory", "cpu", "pids"};
constexpr std::uint64_t kCpuPeriodUs = 100'000;
constexpr std::string_view kOwnLeaf = "daemon";  // where our own process moves to, if it must

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const auto end = std::min(text.find(separator), text.size());
    if (end > 0) parts.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

bool holds_word(std::string_view words, std::string_view word, char separator) {
  const auto parts = split(words, separator);
  return std::ranges::find(parts, word) != parts.end();
}

bool exists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

bool write_kernel_file(const std::string& path, std::string_view value) {
  const Fd fd(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd) return false;
  return retry_interrupted([&] { return write(fd.get(), value.data(), value.size()); }) ==
         static_cast<ssize_t>(value.size());
}

bool make_or_find(const std::string& path) {
  return mkdir(path.c_str(), 0755) == 0 || errno == EEXIST;
}

// One that was killed kills whatever begins in it from then on (seen with Linux 6.18), so what is
// empty is made anew.
bool make_anew(const std::string& path) {
  if (mkdir(path.c_str(), 0755) == 0) return true;
  if (errno != EEXIST) return false;
  return rmdir(path.c_str()) == 0 ? mkdir(path.c_str(), 0755) == 0 : errno == EBUSY;
}

// Mount points of the cgroup trees.
struct Trees {
  std::string unified;
  std::map<std::string, std::string> by_limit;
};

Trees find_trees() {
  Trees trees;
  const std::string mounts = read_kernel_file("/proc/self/mountinfo");
  for (const std::string_view line : split(mounts, '\n')) {
    // "31 23 0:28 / /sys/fs/cgroup rw,relatime - cgroup2 cgroup2 rw,..."
    const auto dash = line.find(" - ");
    if (dash == std::string_view::npos) continue;
    const auto before = split(line.substr(0, dash), ' ');
    const auto after = split(line.substr(dash + 3), ' ');
    if (before.size() < 5 || after.size() < 3) continue;
    const std::string point(before[4]);
    if (after[0] == "cgroup2" && trees.unified.empty()) trees.unified = point;
    if (after[0] != "cgroup") continue;
    for (const char* limit : kLimits)
      if (holds_word(after[2], limit, ',')) trees.by_limit.emplace(limit, point);
  }
  return trees;
}

// Our place in the v2 tree, as the kernel shows it to us: "/" or "/system.slice/x.service".
std::string own_unified_path() {
  const std::string places = read_kernel_file("/proc/self/cgroup");
  for (const std::string_view line : split(places, '\n'))
    if (line.starts_with("0::/")) return std::string(line.substr(3));
  return "/";
}

// The service manager marks a cgroup that it leaves to us by an attribute; without root, being
// able to write there says the same.
bool is_delegated(const std::string& directory) {
  for (const char* attribute : {"trusted.delegate", "user.delegate"}) {
    char value = 0;
    if (getxattr(directory.c_str(), attribute, &value, 1) == 1 && value == '1') return true;
  }
  return geteuid() != 0 && access(directory.c_str(), W_OK) == 0 &&
         access((directory + "/cgroup.procs").c_str(), W_OK) == 0;
}

// Lets the children of `directory` have limits; gives those it may not have. A cgroup with
// processes of its own may not (the "no internal processes" rule), so if ours is there, it moves
// into a leaf first.
std::vector<std::string> enable_limits(const std::string& directory) {
  std::string available = read_kernel_file(directory + "/cgroup.controllers");
  std::ranges::replace(available, '\n', ' ');
  const std::string file = directory + "/cgroup.subtree_control";
  std::vector<std::string> missing;
  bool moved = false;
  for (const char* limit : kLimits) {
    const std::string order = std::string("+") + limit;
    errno = 0;
    bool enabled = holds_word(available, limit, ' ') && write_kernel_file(file, order);
    if (!enabled && errno == EBUSY && !std::exchange(moved, true)) {
      const std::string leaf = env::join_path(directory, kOwnLeaf);
      enabled = make_or_find(leaf) && write_kernel_file(leaf + "/cgroup.procs", "0") &&
                write_kernel_file(file, order);
    }
    if (!enabled) missing.emplace_back(limit);
  }
  return missing;
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words)
    text += (text.empty() ? "" : ", ") + word;
  return text;
}

// The cgroup below which our root goes: our own if it was delegated to us, else the tree's. An
// own path that ends in our leaf is left of an earlier call.
std::string choose_unified_root(const std::string& mount) {
  std::string own = own_unified_path();
  if (own.ends_with("/" + std::string(kOwnLeaf))) own.resize(own.size() - kOwnLeaf.size() - 1);
  if (own.size() > 1 && is_delegated(mount + own)) return mount + own;
  return mount;
}

std::string limit_text(std::uint64_t value, const char* unlimited) {
  return value == 0 ? unlimited : std::to_string(value);
}

struct Setting {
  std::string file;
  std::string value;
  bool is_optional = false;  // files that not every kernel has
};

// A limit whose files are missing is one that detect() already said we do not have.
std::vector<Setting> unified_settings(const env::GroupLimits& limits) {
  const std::uint64_t quota = limits.cpu_percent * kCpuPeriodUs / 100;
  return {{"memory.max", limit_text(limits.memory.value, "max"), true},
          {"memory.swap.max", limits.memory.value == 0 ? "max" : "0", true},
          {"memory.oom.group", "1", true},
          {"cpu.max", limit_text(quota, "max") + " " + std::to_string(kCpuPeriodUs), true},
          {"pids.max", limit_text(limits.pids, "max"), true}};
}

std::vector<Setting> limit_settings(const std::string& limit, const env::GroupLimits& limits) {
  if (limit == "memory") {
    const std::string memory = limit_text(limits.memory.value, "-1");
    // The sum with swap may never be the smaller one, whichever way the limit moves.
    return {{"memory.memsw.limit_in_bytes", "-1", true},
            {"memory.limit_in_bytes", memory},
            {"memory.memsw.limit_in_bytes", memory, true}};
  }
  if (limit == "cpu") {
    const std::uint64_t quota = limits.cpu_percent * kCpuPeriodUs / 100;
    return {{"cpu.cfs_period_us", std::to_string(kCpuPeriodUs)},
            {"cpu.cfs_quota_us", limit_text(quota, "-1")}};
  }
  return {{"pids.max", limit_text(limits.pids, "max")}};
}

Result<void> apply_settings(const std::string& directory, const std::vector<Setting>& settings) {
  for (const Setting& setting : settings) {
    const std::string path = env::join_path(directory, setting.file);
    if (write_kernel_file(path, setting.value)) continue;
    if (setting.is_optional && (errno == ENOENT || errno == EOPNOTSUPP)) continue;
    return fail(Code::kFailedPrecondition, "group_limit_refused",
                path + " = " + setting.value + ": " + std::string(error_text(errno)));
  }
  return {};
}

void kill_each(const std::string& directory) {
  const std::string file = directory + "/cgroup.procs";
  const std::string pids = read_kernel_file(file);
  for (const std::string_view word : split(pids, '\n')) {
    pid_t pid = 0;
    std::from_chars(word.data(), word.data() + word.size(), pid);
    if (pid <= 0) continue;
    const Fd fd = open_pidfd(pid);
    // Still in the group, so the descriptor means that process and no later one.
    if (!fd || !holds_word(read_kernel_file(file), word, '\n')) continue;
    (void)signal_pidfd(fd.get(), SIGKILL);
  }
}

}  // namespace

bool is_group_name(std::string_view name) {
  constexpr std::size_t kLengthMax = 100;
  const auto is_allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  };
  return !name.empty() && name.size() <= kLengthMax && name.front() != '.' &&
         std::ranges::all_of(name, is_allowed);
}

Groups::Groups(const std::string& group_root) {
  detect(group_root);
  if (support_ == Support::kNone) {
    remove_roots();
    unified_.clear();
    by_limit_.clear();
  }
}

Groups::~Groups() { remove_roots(); }

void Groups::remove_roots() const {
  if (!unified_.empty()) (void)rmdir(unified_.c_str());
  for (const auto& [limit, directory] : by_limit_)
    (void)rmdir(directory.c_str());
}

bool Groups::ensure_roots() const {
  if (!make_or_find(unified_)) return false;
  if (support_ == Support::kUnified && enable_limits(unified_).size() == kLimits.size()) {
    return false;
  }
  return std::ranges::all_of(by_limit_, [](const auto& tree) { return make_or_find(tree.second); });
}

void Groups::detect(const std::string& group_root) {
  if (!is_group_name(group_root)) {
    remark_ = "'" + group_root + "' is not a group name; processes are not limited";
    return;
  }
  const Trees trees = find_trees();
  if (trees.unified.empty()) {
    remark_ = "no cgroup v2 tree is mounted; processes are not limited";
    return;
  }
  const std::string root = choose_unified_root(trees.unified);
  const bool owns_limits = trees.by_limit.empty() && enable_limits(root).size() < kLimits.size();
  unified_ = env::join_path(root, group_root);
  if (!make_or_find(unified_)) {
    remark_ = "cannot make " + unified_ + ": " + std::string(error_text(errno)) +
              "; processes are not limited";
    return;
  }
  std::vector<std::string> missing;
  if (owns_limits) {
    missing = enable_limits(unified_);
    if (missing.size() < kLimits.size()) support_ = Support::kUnified;
  } else {
    missing = find_limit_trees(trees.by_limit, group_root);
    if (missing.size() < kLimits.size()) support_ = Support::kHybrid;
  }
  if (support_ == Support::kNone) {
    remark_ = "the limits of memory, cpu and pids are not ours to set in " + root +
              " (with systemd: Delegate=yes); processes are not limited";
  } else if (!missing.empty()) {
    remark_ = "processes have no limits of " + joined(missing);
  }
}

std::vector<std::string> Groups::find_limit_trees(const std::map<std::string, std::string>& trees,
                                                  const std::string& group_root) {
  std::vector<std::string> missing;
  for (const char* limit : kLimits) {
    const auto tree = trees.find(limit);
    const std::string directory =
        tree == trees.end() ? "" : env::join_path(tree->second, group_root);
    if (!directory.empty() && make_or_find(directory)) {
      by_limit_.emplace(limit, directory);
    } else {
      missing.emplace_back(limit);
    }
  }
  return missing;
}

std::vector<std::string> Groups::directories(const std::string& name) const {
  std::vector<std::string> all;
  for (const auto& [limit, root] : by_limit_) {
    const std::string directory = env::join_path(root, name);
    // Two limits may share one tree.
    if (std::ranges::find(all, directory) == all.end()) all.push_back(directory);
  }
  all.push_back(env::join_path(unified_, name));
  return all;
}

Result<void> Groups::make(const std::string& name, const env::GroupLimits& limits) const {
  if (!is_group_name(name)) return fail(Code::kInvalidArgument, "group_name_invalid", name);
  if (!ensure_roots()) return file_failure("make group", unified_);
  for (const std::string& directory : directories(name)) {
    if (!make_anew(directory)) return file_failure("make group", directory);
  }
  if (support_ == Support::kUnified) {
    return apply_settings(env::join_path(unified_, name), unified_settings(limits));
  }
  for (const auto& [limit, root] : by_limit_)
    BLX_TRY(apply_settings(env::join_path(root, name), limit_settings(limit, limits)));
  return {};
}

Result<std::vector<std::string>> Groups::list() const {
  std::vector<std::string> names;
  if (!exists(unified_)) return names;
  BLX_TRY(const auto entries, list_directory(unified_));
  for (const env::DirectoryEntry& entry : entries)
    if (entry.is_directory) names.push_back(entry.name);
  return names;
}

Result<GroupPlaces> Groups::places(const std::string& name) const {
  const auto missing = [&name] { return fail(Code::kFailedPrecondition, "group_missing", name); };
  if (!is_group_name(name)) return missing();
  GroupPlaces places{.group = env::join_path(unified_, name), .tasks_files = {}};
  if (!exists(places.group)) return missing();
  for (const std::string& directory : directories(name)) {
    if (directory == places.group) continue;
    places.tasks_files.push_back(env::join_path(directory, "tasks"));
    if (!exists(places.tasks_files.back())) return missing();
  }
  return places;
}

Result<void> Groups::kill(const std::string& name) const {
  if (!is_group_name(name)) return fail(Code::kInvalidArgument, "group_name_invalid", name);
  const std::string directory = env::join_path(unified_, name);
  if (!write_kernel_file(directory + "/cgroup.kill", "1")) kill_each(directory);
  return {};
}

Result<bool> Groups::is_empty(const std::string& name) const {
  const auto all = directories(name);
  return std::ranges::all_of(all, [](const std::string& directory) {
    return read_kernel_file(directory + "/cgroup.procs").empty();
  });
}

Result<void> Groups::remove(const std::string& name) const {
  if (!is_group_name(name)) return fail(Code::kInvalidArgument, "group_name_invalid", name);
  for (const std::string& directory : directories(name)) {
    if (rmdir(directory.c_str()) == 0 || errno == ENOENT) continue;
    if (errno == EBUSY) return fail(Code::kFailedPrecondition, "group_not_empty", directory);
    return file_failure("remove group", directory);
  }
  return {};
}

}  // namespace blixard::linux_side

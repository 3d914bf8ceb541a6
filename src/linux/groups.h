#pragma once

// Groups of processes as cgroups.
//
// kUnified: one v2 tree owns everything. kHybrid: limits by the v1 trees of memory, cpu and pids,
// and a group of the same name in the v2 tree for killing. kNone: names only.
//
// Where the groups live (choose_unified_root in groups.cc): below our own v2 cgroup if
// the service manager delegated it to us, else below /<group_root> of the tree. In the v1 trees
// always below /<group_root>: our own path there may differ after a restart, and groups must be
// found again.
//
// All calls block for a moment (kernel files) and run on the pool; none uses the loop.

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "env/process.h"

namespace blixard::linux_side {

// Where a process has to go to be in a group; nowhere without groups.
struct GroupPlaces {
  std::string group;                     // the directory in the v2 tree
  std::vector<std::string> tasks_files;  // of the v1 trees
};

class Groups {
 public:
  using Support = env::Process::GroupSupport;

  // Finds out by trying what this system allows.
  explicit Groups(const std::string& group_root);
  // Leaves no empty directory behind; groups stay.
  ~Groups();
  Groups(const Groups&) = delete;
  Groups& operator=(const Groups&) = delete;

  [[nodiscard]] Support support() const { return support_; }
  // Why not, or with what missing; one sentence for the log.
  [[nodiscard]] const std::string& remark() const { return remark_; }

  // Errors: kInvalidArgument "group_name_invalid", kFailedPrecondition "group_limit_refused".
  [[nodiscard]] Result<void> make(const std::string& name, const env::GroupLimits& limits) const;
  [[nodiscard]] Result<std::vector<std::string>> list() const;

  // Errors: kFailedPrecondition "group_missing".
  [[nodiscard]] Result<GroupPlaces> places(const std::string& name) const;

  // Sends SIGKILL to everything in it; fine if it is not there.
  [[nodiscard]] Result<void> kill(const std::string& name) const;
  // False while a process is in it, also one that is just ending.
  [[nodiscard]] Result<bool> is_empty(const std::string& name) const;
  // Errors: kFailedPrecondition "group_not_empty". Fine if it is not there.
  [[nodiscard]] Result<void> remove(const std::string& name) const;

 private:
  void detect(const std::string& group_root);
  // Gives the limits for which there is none.
  std::vector<std::string> find_limit_trees(const std::map<std::string, std::string>& trees,
                                            const std::string& group_root);
  void remove_roots() const;  // those that are empty
  // Another process with the same root may have removed it at its end.
  [[nodiscard]] bool ensure_roots() const;
  [[nodiscard]] std::vector<std::string> directories(const std::string& name) const;

  Support support_ = Support::kNone;
  std::string remark_;
  std::string unified_;                          // the directory of our groups in the v2 tree
  std::map<std::string, std::string> by_limit_;  // "memory" -> directory of our groups in v1
};

// [A-Za-z0-9._-], up to 100, and no hidden name.
bool is_group_name(std::string_view name);

}  // namespace blixard::linux_side

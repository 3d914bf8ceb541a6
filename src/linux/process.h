#pragma once

// env::Process: children through the launcher (launch.h), watched by pidfds.
//
// Every process that was started or adopted has one State, shared by its handles and by the watch
// on its pidfd. The watch reaps, whether or not anybody still holds a handle, so no zombie stays.

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "env/process.h"
#include "linux/descriptor.h"
#include "linux/groups.h"
#include "linux/pool.h"

namespace blixard::linux_side {

class Clock;
class Loop;

class Process final : public env::Process {
 public:
  Process(Loop& loop, Clock& clock, Pool& pool, const std::string& group_root);
  ~Process() override;

  env::Task<Result<std::unique_ptr<env::Child>>> spawn(env::SpawnSpec spec) override;
  env::Task<Result<std::unique_ptr<env::Child>>> adopt(env::ProcessId id) override;
  env::Task<Result<env::RunResult>> run(env::SpawnSpec spec, Instant deadline,
                                        std::size_t output_max) override;
  env::Task<Result<std::string>> find_program(std::string name) override;

  [[nodiscard]] GroupSupport group_support() const override { return groups_.support(); }
  [[nodiscard]] const std::string& group_remark() const { return groups_.remark(); }
  env::Task<Result<void>> make_group(std::string name, env::GroupLimits limits) override;
  env::Task<Result<std::vector<std::string>>> groups() override;
  env::Task<Result<void>> kill_group(std::string name) override;
  env::Task<Result<void>> remove_group(std::string name) override;

 private:
  class State;
  class Child;
  using StateRef = std::shared_ptr<State>;

  // `output`: both streams of the child; none: as the spec says.
  env::Task<Result<StateRef>> launch(env::SpawnSpec spec, Fd output);
  env::Task<Result<GroupPlaces>> places_of(std::string group);
  env::Task<Result<void>> launched(Fd status, const env::SpawnSpec& spec, StateRef& state);
  env::Task<Result<env::RunResult>> finish(StateRef state, Fd output, Instant deadline,
                                           std::size_t output_max);
  env::Task<void> collect(Fd& output, std::string& text, std::size_t output_max);
  static void kill_session(State& state);
  // Not cut short by cancellation.
  env::Task<void> end_now(StateRef state);
  env::Task<Result<void>> await_empty(std::string name);

  Result<StateRef> watch(std::int64_t pid, std::string group, bool is_child);
  Result<StateRef> watch_child(std::int64_t pid, const std::string& group);
  void watch_again(const StateRef& state);
  void reap(const StateRef& state);
  bool has_running(const std::string& group) const;

  Loop& loop_;
  Clock& clock_;
  Pool& pool_;
  Result<Fd> launcher_;
  std::string search_path_;
  Groups groups_;
  std::set<std::string> named_groups_;  // where there are no cgroups
  std::map<std::int64_t, StateRef> running_;
};

}  // namespace blixard::linux_side

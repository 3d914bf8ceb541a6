#include "node/vm/sim/pretended_host.h"

#include <utility>

namespace blixard::vm_sim {

struct PretendedProcesses::Running {
  Running(env::Executor& executor, env::Cancellation& all, env::ProcessId own, std::string within)
      : id(own), group(std::move(within)), alive(&all), ended(executor) {}

  env::ProcessId id;
  std::string group;
  env::Cancellation alive;  // requested: killed
  env::Signal ended;
  env::ExitStatus status;
  bool is_over = false;
};

class PretendedProcesses::Guest final : public env::Child {
 public:
  explicit Guest(std::shared_ptr<Running> process) : process_(std::move(process)) {}

  [[nodiscard]] env::ProcessId id() const override { return process_->id; }
  env::Task<Result<env::ExitStatus>> wait() override { return wait_for(process_); }
  Result<void> kill(env::Kill) override {
    if (process_->is_over) return fail(Code::kNotFound, "process_gone");
    process_->alive.request();
    return {};
  }
  Result<Usage> usage() override {
    if (process_->is_over) return fail(Code::kNotFound, "process_gone");
    return Usage{};
  }

 private:
  static env::Task<Result<env::ExitStatus>> wait_for(std::shared_ptr<Running> process) {
    while (!process->is_over)
      BLX_CO_TRY(co_await process->ended.wait());
    co_return process->status;
  }

  std::shared_ptr<Running> process_;
};

PretendedProcesses::PretendedProcesses(env::Env env, SimHypervisor& hypervisor)
    : env_(env),
      hypervisor_(hypervisor),
      life_(static_cast<std::uint64_t>(env.clock.wall().unix_ms)),
      scope_(env.executor, nullptr) {}

PretendedProcesses::~PretendedProcesses() = default;

env::Task<void> PretendedProcesses::close() {
  scope_.cancel();
  co_await scope_.join();
}

env::Task<void> PretendedProcesses::run_guest(std::shared_ptr<Running> process,
                                              env::SpawnSpec spec) {
  const int code =
      co_await hypervisor_.run_guest(env_, std::move(spec), process->id).under(process->alive);
  if (process->alive.requested()) {
    process->status.signal = 9;
  } else {
    process->status.exit_code = code;
  }
  process->is_over = true;
  processes_.erase(process->id.pid);
  if (const auto group = groups_.find(process->group); group != groups_.end()) {
    group->second.erase(process->id.pid);
  }
  process->ended.notify_all();
}

env::Task<Result<std::unique_ptr<env::Child>>> PretendedProcesses::spawn(env::SpawnSpec spec) {
  if (spec.executable != kSimHypervisorPath) co_return fail(Code::kNotFound, "program_missing");
  if (scope_.cancelled()) co_return fail(Code::kCancelled, "driver_closed");
  if (!spec.group.empty()) {
    const auto group = groups_.find(spec.group);
    if (group == groups_.end()) co_return fail(Code::kFailedPrecondition, "group_missing");
    group->second.insert(next_pid_);
  }
  const auto process = std::make_shared<Running>(
      env_.executor, scope_.cancellation(),
      env::ProcessId{.pid = next_pid_++, .start_ticks = life_}, spec.group);
  processes_.emplace(process->id.pid, process);
  scope_.spawn(run_guest(process, std::move(spec)));
  co_return std::make_unique<Guest>(process);
}

env::Task<Result<std::unique_ptr<env::Child>>> PretendedProcesses::adopt(env::ProcessId id) {
  const auto found = processes_.find(id.pid);
  if (found == processes_.end() || found->second->id != id) {
    co_return fail(Code::kNotFound, "process_gone");
  }
  co_return std::make_unique<Guest>(found->second);
}

env::Task<Result<env::RunResult>> PretendedProcesses::run(env::SpawnSpec, Instant, std::size_t) {
  co_return fail(Code::kNotFound, "program_missing");
}

env::Task<Result<std::string>> PretendedProcesses::find_program(std::string name) {
  if (name != env::last_part(kSimHypervisorPath)) {
    co_return fail(Code::kNotFound, "program_missing");
  }
  co_return std::string(kSimHypervisorPath);
}

env::Task<Result<void>> PretendedProcesses::make_group(std::string name, env::GroupLimits) {
  groups_.try_emplace(std::move(name));
  co_return Result<void>();
}

env::Task<Result<std::vector<std::string>>> PretendedProcesses::groups() {
  std::vector<std::string> names;
  names.reserve(groups_.size());
  for (const auto& [name, members] : groups_)
    names.push_back(name);
  co_return names;
}

env::Task<Result<void>> PretendedProcesses::kill_group(std::string name) {
  const auto group = groups_.find(name);
  if (group == groups_.end()) co_return Result<void>();
  std::vector<std::shared_ptr<Running>> members;
  for (const std::int64_t pid : group->second)
    members.push_back(processes_.at(pid));
  for (const auto& process : members)
    process->alive.request();
  for (const auto& process : members) {
    while (!process->is_over)
      BLX_CO_TRY(co_await process->ended.wait());
  }
  co_return Result<void>();
}

env::Task<Result<void>> PretendedProcesses::remove_group(std::string name) {
  const auto group = groups_.find(name);
  if (group == groups_.end()) co_return Result<void>();
  if (!group->second.empty()) co_return fail(Code::kFailedPrecondition, "group_not_empty");
  groups_.erase(group);
  co_return Result<void>();
}

env::Env PretendedProcesses::env() {
  return {.executor = env_.executor,
          .clock = env_.clock,
          .random = env_.random,
          .network = env_.network,
          .security = env_.security,
          .disk = env_.disk,
          .process = *this,
          .machine = env_.machine,
          .rare = env_.rare,
          .log = env_.log};
}

PretendedHost::PretendedHost(env::Env env, std::string directory, SimTimes times)
    : processes_(env, hypervisor_),
      driver_(processes_.env(), hypervisor_, std::move(directory),
              std::string(kSimHypervisorPath)) {
  hypervisor_.times = times;
  driver_.present_as(vm::Accelerator::kSimulated);
}

env::Task<void> PretendedHost::close() {
  co_await driver_.close();
  co_await processes_.close();
}

}  // namespace blixard::vm_sim

#include "sim/process.h"

#include <algorithm>
#include <array>

#include "sim/host.h"

namespace blixard::sim {

class ExitWait final : public Operation<env::ExitStatus> {
 public:
  ExitWait(Incarnation& owner, ProcessRecord& process) : Operation(owner), process_(process) {
    if (!completed()) process_.waiting.push_back(this);
  }
  ~ExitWait() override = default;

 protected:
  void withdraw() override { std::erase(process_.waiting, this); }

 private:
  ProcessRecord& process_;
};

namespace {

constexpr int kSignalTerminate = 15;
constexpr int kSignalKill = 9;
constexpr Duration kSpawnMin = 1ms;
constexpr Duration kSpawnMax = 5ms;
constexpr std::array<std::string_view, 7> kProgramDirectories = {
    "/usr/local/bin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/libexec"};

env::Task<void> play(ProcessTable& table, ProcessRecord& process) {
  co_await (*process.behaviour)(ProcessContext(process));
  table.end(process, {.exit_code = 0}, false);
}

class SimChild final : public env::Child {
 public:
  SimChild(Incarnation& owner, ProcessRecord& process) : owner_(owner), process_(process) {}

  env::ProcessId id() const override { return process_.id; }

  env::Task<Result<env::ExitStatus>> wait() override {
    if (!owner_.alive()) co_return crashed();
    if (!process_.ended) {
      ExitWait wait(owner_, process_);
      BLX_CO_TRY(co_await wait);
    }
    // Only a parent is told how.
    co_return process_.parent == &owner_ ? *process_.ended : env::ExitStatus{};
  }

  Result<void> kill(env::Kill how) override {
    BLX_TRY(check());
    if (how == env::Kill::kTerminate && process_.handles_terminate) {
      ++process_.terminates;
      process_.changed.notify_all();
      return {};
    }
    const int signal = how == env::Kill::kNow ? kSignalKill : kSignalTerminate;
    owner_.host().processes.end(process_, {.signal = signal}, false);
    return {};
  }

  Result<Usage> usage() override {
    BLX_TRY(check());
    return process_.usage;
  }

 private:
  Result<void> check() {
    if (!owner_.alive()) return crashed();
    if (process_.ended) return fail(Code::kNotFound, "process_gone");
    return {};
  }

  Incarnation& owner_;
  ProcessRecord& process_;
};

class SimProcess final : public env::Process {
 public:
  explicit SimProcess(Incarnation& owner) : owner_(owner) {}

  env::Task<Result<std::unique_ptr<env::Child>>> spawn(env::SpawnSpec spec) override {
    BLX_CO_TRY(ProcessRecord * process, co_await start(std::move(spec), nullptr));
    co_return std::make_unique<SimChild>(owner_, *process);
  }

  env::Task<Result<std::unique_ptr<env::Child>>> adopt(env::ProcessId id) override {
    if (!owner_.alive()) co_return crashed();
    ProcessRecord* process = table().find(id);
    if (process == nullptr) co_return fail(Code::kNotFound, "process_gone");
    co_return std::make_unique<SimChild>(owner_, *process);
  }

  env::Task<Result<env::RunResult>> run(env::SpawnSpec spec, Instant deadline,
                                        std::size_t output_max) override {
    Capture capture{.size_max = output_max};
    BLX_CO_TRY(ProcessRecord * process, co_await start(std::move(spec), &capture));
    SimChild child(owner_, *process);
    const env::Env env = owner_.env();
    const auto status =
        co_await env::with_deadline(env.executor, env.clock, deadline, child.wait());
    process->capture = nullptr;
    if (!status) {
      ignore(child.kill(env::Kill::kNow), "it may have ended by itself");
      co_return std::unexpected(status.error());
    }
    co_return env::RunResult{.status = *status, .output = std::move(capture.output)};
  }

  env::Task<Result<std::string>> find_program(std::string name) override {
    if (!owner_.alive()) co_return crashed();
    for (const auto directory : kProgramDirectories) {
      std::string path = env::join_path(directory, name);
      if (table().has_program(path)) co_return path;
    }
    co_return fail(Code::kNotFound, "program_missing", name + " is not installed");
  }

  GroupSupport group_support() const override { return owner_.host().processes.group_support; }

  env::Task<Result<void>> make_group(std::string name, env::GroupLimits limits) override {
    if (!owner_.alive()) co_return crashed();
    table().groups[name] = {.limits = limits, .was_killed = false};
    co_return Result<void>();
  }
  env::Task<Result<std::vector<std::string>>> groups() override {
    if (!owner_.alive()) co_return crashed();
    std::vector<std::string> names;
    for (const auto& [name, group] : table().groups)
      names.push_back(name);
    co_return names;
  }
  env::Task<Result<void>> kill_group(std::string name) override {
    if (!owner_.alive()) co_return crashed();
    for (ProcessRecord* process : table().members(name))
      table().end(*process, {.signal = kSignalKill}, false);
    const auto group = table().groups.find(name);
    if (group != table().groups.end()) group->second.was_killed = true;
    co_return Result<void>();
  }
  env::Task<Result<void>> remove_group(std::string name) override {
    if (!owner_.alive()) co_return crashed();
    if (!table().members(name).empty()) {
      co_return fail(Code::kFailedPrecondition, "group_not_empty", name + " has processes");
    }
    table().groups.erase(name);
    co_return Result<void>();
  }

 private:
  ProcessTable& table() { return owner_.host().processes; }

  // The process lives from the beginning of it: a daemon killed in between leaves one that it has
  // not heard of.
  env::Task<Result<ProcessRecord*>> start(env::SpawnSpec spec, Capture* capture) {
    if (!owner_.alive()) co_return crashed();
    BLX_CO_TRY(ProcessRecord * process, table().start(owner_, std::move(spec), capture));
    UncutPause pause(
        owner_, owner_.engine().now() + owner_.host().process_random.between(kSpawnMin, kSpawnMax));
    const auto paused = co_await pause;
    if (!paused) {
      process->capture = nullptr;
      co_return std::unexpected(paused.error());
    }
    co_return process;
  }

  Incarnation& owner_;
};

}  // namespace

const env::SpawnSpec& ProcessContext::spec() const { return record_->spec; }
env::ProcessId ProcessContext::id() const { return record_->id; }
env::Env ProcessContext::env() const { return record_->run.env(); }
void ProcessContext::set_usage(env::Child::Usage usage) const { record_->usage = usage; }

void ProcessContext::print(std::string_view text) const {
  if (record_->ended) return;
  if (Capture* capture = record_->capture; capture != nullptr) {
    capture->output.append(text.substr(0, capture->size_max - capture->output.size()));
    return;
  }
  if (record_->spec.output_path.empty()) return;
  FileSystem& files = record_->run.host().files;
  const auto file = files.open(record_->spec.output_path, env::OpenMode::kCreate);
  if (file) ignore(files.write(**file, (*file)->content.size(), text), "as a full disk would");
}

void ProcessContext::exit(int code) const {
  record_->run.host().processes.end(*record_, {.exit_code = code}, false);
}

void ProcessContext::die(int signal) const {
  record_->run.host().processes.end(*record_, {.signal = signal}, false);
}

env::Task<Result<void>> ProcessContext::terminate_requested() const {
  ProcessRecord& process = *record_;
  process.handles_terminate = true;
  while (process.terminates == 0)
    BLX_CO_TRY(co_await process.changed.wait());
  --process.terminates;
  co_return Result<void>();
}

void ProcessTable::install(std::string path, Behaviour behaviour) {
  programs_[std::move(path)] = std::make_shared<const Behaviour>(std::move(behaviour));
}

void ProcessTable::boot() {
  next_pid_ = 1000;
  groups.clear();
}

void ProcessTable::power_off() {
  while (!living_.empty())
    end(*living_.begin()->second, {}, true);
}

Result<ProcessRecord*> ProcessTable::start(Incarnation& parent, env::SpawnSpec spec,
                                           Capture* capture) {
  if (next_spawn_error) {
    Error error = *std::exchange(next_spawn_error, std::nullopt);
    return std::unexpected(std::move(error));
  }
  const auto program = programs_.find(spec.executable);
  if (program == programs_.end()) {
    return fail(Code::kNotFound, "program_missing", spec.executable + " does not exist");
  }
  if (!spec.group.empty()) {
    const auto group = groups.find(spec.group);
    if (group == groups.end()) return fail(Code::kFailedPrecondition, "group_missing", spec.group);
    if (group->second.was_killed) {
      return fail(Code::kFailedPrecondition, "group_killed", spec.group);
    }
    const std::uint32_t pids = group->second.limits.pids;
    if (pids != 0 && members(spec.group).size() >= pids) {
      return fail(Code::kResourceExhausted, "group_full", spec.group);
    }
  }
  const env::ProcessId id{
      .pid = ++next_pid_,
      .start_ticks = static_cast<std::uint64_t>((host_.engine.now() - host_.booted) / 10ms)};
  Incarnation& run =
      host_.add_incarnation(host_.name + "/" + std::string(env::last_part(spec.executable)) + "/" +
                                std::to_string(host_.boots) + "/" + std::to_string(id.pid),
                            spec.run_as.value_or(parent.owner()));
  auto process = std::make_unique<ProcessRecord>(run, std::move(spec), id);
  process->parent = &parent;
  process->behaviour = program->second;
  process->capture = capture;
  ProcessRecord* started = process.get();
  records_.push_back(std::move(process));
  living_[id.pid] = started;
  run.scope().spawn(play(*this, *started));
  return started;
}

void ProcessTable::end(ProcessRecord& process, env::ExitStatus status, bool silent) {
  if (process.ended) return;
  process.ended = status;
  living_.erase(process.id.pid);
  process.run.end(silent);
  for (ExitWait* wait : std::exchange(process.waiting, {}))
    wait->finish(status);
}

ProcessRecord* ProcessTable::find(env::ProcessId id) {
  const auto process = living_.find(id.pid);
  return process != living_.end() && process->second->id == id ? process->second : nullptr;
}

std::vector<ProcessRecord*> ProcessTable::members(std::string_view group) {
  std::vector<ProcessRecord*> found;
  for (const auto& [pid, process] : living_) {
    // Names alone are in the head of the daemon that gave them.
    const bool is_forgotten =
        group_support == env::Process::GroupSupport::kNone && !process->parent->alive();
    if (process->spec.group == group && !is_forgotten) found.push_back(process);
  }
  return found;
}

std::unique_ptr<env::Process> make_process(Incarnation& owner) {
  return std::make_unique<SimProcess>(owner);
}

}  // namespace blixard::sim

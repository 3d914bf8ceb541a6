#include "linux/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>

#include <boost/asio/posix/stream_descriptor.hpp>

#include "base/limits.h"
#include "env/sync.h"
#include "linux/clock.h"
#include "linux/event_loop.h"
#include "linux/launch.h"
#include "linux/pidfd_calls.h"
#include "linux/proc_stat.h"
#include "linux/spawn.h"
#include "linux/system_error.h"

namespace blixard::linux_side {
namespace {

using Descriptor = asio::posix::stream_descriptor;

// What a dead process may have left in its pipe: more than a pipe holds.
constexpr std::size_t kLastReads = 64;

Error process_gone(std::int64_t pid) {
  return {Code::kNotFound, "process_gone", "pid " + std::to_string(pid)};
}

}  // namespace

class Process::State {
 public:
  State(Loop& loop, Descriptor descriptor, env::ProcessId process, std::string in_group, bool child)
      : pidfd(std::move(descriptor)),
        id(process),
        group(std::move(in_group)),
        is_child(child),
        changed(loop) {}

  // Readable from the process's end on.
  [[nodiscard]] bool is_over() {
    if (ended) return true;
    pollfd poll_for{pidfd.native_handle(), POLLIN, 0};
    return retry_interrupted([&] { return poll(&poll_for, 1, 0); }) == 1;
  }

  Result<void> signal(int number) {
    if (is_over()) return std::unexpected(process_gone(id.pid));
    if (signal_pidfd(pidfd.native_handle(), number) == 0) return {};
    if (errno == ESRCH) return std::unexpected(process_gone(id.pid));
    return fail(Code::kPermissionDenied, "signal_refused", std::string(error_text(errno)));
  }

  Descriptor pidfd;
  env::ProcessId id;
  std::string group;
  bool is_child;
  std::optional<env::ExitStatus> ended;
  env::Signal changed;
};

class Process::Child final : public env::Child {
 public:
  explicit Child(StateRef state) : state_(std::move(state)) {}

  [[nodiscard]] env::ProcessId id() const override { return state_->id; }
  env::Task<Result<env::ExitStatus>> wait() override { return wait_for(state_); }
  Result<void> kill(env::Kill how) override {
    return state_->signal(how == env::Kill::kNow ? SIGKILL : SIGTERM);
  }
  Result<Usage> usage() override {
    if (const auto usage = read_usage(state_->id)) return *usage;
    return std::unexpected(process_gone(state_->id.pid));
  }

  static env::Task<Result<env::ExitStatus>> wait_for(StateRef state) {
    while (!state->ended)
      BLX_CO_TRY(co_await state->changed.wait());
    co_return *state->ended;
  }

 private:
  StateRef state_;
};

Process::Process(Loop& loop, Clock& clock, Pool& pool, const std::string& group_root)
    : loop_(loop), clock_(clock), pool_(pool), launcher_(open_launcher()), groups_(group_root) {
  const char* path = std::getenv("PATH");
  search_path_ = path != nullptr ? path : "/usr/local/bin:/usr/bin:/bin";
  search_path_ += ":/usr/sbin:/usr/libexec";
}

Process::~Process() = default;

Result<Process::StateRef> Process::watch(std::int64_t pid, std::string group, bool is_child) {
  Fd fd = open_pidfd(static_cast<pid_t>(pid));
  if (!fd) {
    if (errno == ESRCH || errno == EINVAL) return std::unexpected(process_gone(pid));
    return fail(Code::kResourceExhausted, "process_limit", std::string(error_text(errno)));
  }
  // After pidfd_open: whoever has this pid now is who the descriptor means.
  const auto stat = read_proc_stat(pid);
  if (!stat) return std::unexpected(process_gone(pid));
  Descriptor descriptor(loop_.io());
  ErrorCode error;
  descriptor.assign(fd.get(), error);
  if (error) return fail(Code::kResourceExhausted, "process_limit", error.message());
  (void)fd.release();
  auto state =
      std::make_shared<State>(loop_, std::move(descriptor), env::ProcessId{pid, stat->start_ticks},
                              std::move(group), is_child);
  running_[pid] = state;
  watch_again(state);
  return state;
}

// One that nothing would ever reap is ended.
Result<Process::StateRef> Process::watch_child(std::int64_t pid, const std::string& group) {
  Result<StateRef> state = watch(pid, group, true);
  if (!state) discard_child(pid);
  return state;
}

void Process::watch_again(const StateRef& state) {
  state->pidfd.async_wait(Descriptor::wait_read, [this, state](const ErrorCode& error) {
    if (!error) reap(state);
  });
}

void Process::reap(const StateRef& state) {
  siginfo_t info{};
  const auto pidfd = static_cast<id_t>(state->pidfd.native_handle());
  const int result =
      retry_interrupted([&] { return waitid(P_PIDFD, pidfd, &info, WEXITED | WNOHANG); });
  if (result == 0 && info.si_pid == 0) {
    watch_again(state);
    return;
  }
  // Of who is not our child only the end itself can be known.
  state->ended = result == 0 ? exit_status_of(info) : env::ExitStatus{};
  state->changed.notify_all();
  if (const auto found = running_.find(state->id.pid);
      found != running_.end() && found->second == state) {
    running_.erase(found);
  }
}

env::Task<Result<std::unique_ptr<env::Child>>> Process::spawn(env::SpawnSpec spec) {
  BLX_CO_TRY(StateRef state, co_await launch(std::move(spec), Fd()));
  co_return std::make_unique<Child>(std::move(state));
}

env::Task<Result<Process::StateRef>> Process::launch(env::SpawnSpec spec, Fd output) {
  BLX_CO_TRY(check_spec(spec));
  if (!launcher_) co_return std::unexpected(launcher_.error());
  BLX_CO_TRY(const GroupPlaces places, co_await places_of(spec.group));
  BLX_CO_TRY(Pipe status, make_pipe());
  BLX_CO_TRY(const std::int64_t pid, co_await pool_.run([&] {
    return spawn_launcher(*launcher_, launch_arguments(spec, places), output.get(),
                          status.write_end.get());
  }));
  status.write_end.reset();
  output.reset();
  Result<StateRef> state = watch_child(pid, spec.group);
  if (!state) co_return std::move(state);
  Result<void> result =
      co_await env::with_deadline(loop_, clock_, clock_.monotonic() + limits::kLaunchTimeout,
                                  launched(std::move(status.read_end), spec, *state));
  if (result) co_return std::move(state);
  ignore((*state)->signal(SIGKILL), "it may have ended by itself");
  co_return std::unexpected(std::move(result).error());
}

// Returns when the launcher has executed the program or said why not. `state` becomes that of the
// process in which it did, also of one that only then must not go on.
env::Task<Result<void>> Process::launched(Fd status, const env::SpawnSpec& spec, StateRef& state) {
  Descriptor pipe(loop_.io());
  ErrorCode error;
  const int number = status.get();
  pipe.assign(number, error);
  if (error) co_return fail(Code::kResourceExhausted, "process_limit", error.message());
  (void)status.release();
  std::optional<LaunchReport> failure;
  bool has_split = false;
  bool has_begun = false;
  while (true) {
    const auto ready = co_await wait_ready(loop_, pipe, Descriptor::wait_read);
    LaunchReport report;
    const ssize_t count = retry_interrupted([&] { return read(number, &report, sizeof report); });
    if (count == 0) break;
    if (count < 0 && errno == EAGAIN) {
      BLX_CO_TRY(ready);
    } else if (count != sizeof report) {
      co_return fail(Code::kInternal, "launch_failed", "the launcher's words are not understood");
    } else if (report.stage == LaunchStage::kSplit) {
      has_split = true;
      BLX_CO_TRY(state, watch_child(report.number, spec.group));
    } else if (report.stage == LaunchStage::kBegun) {
      has_begun = true;
    } else {
      failure = report;
    }
  }
  if (failure) co_return std::unexpected(launch_error(*failure, spec));
  if (has_split && !has_begun)
    co_return fail(Code::kFailedPrecondition, "group_killed", spec.group);
  co_return Result<void>();
}

env::Task<Result<std::unique_ptr<env::Child>>> Process::adopt(env::ProcessId id) {
  if (const auto found = running_.find(id.pid);
      found != running_.end() && found->second->id == id) {
    co_return std::make_unique<Child>(found->second);
  }
  if (id.pid <= 0) co_return std::unexpected(process_gone(id.pid));
  const auto stat = read_proc_stat(id.pid);
  if (!stat || stat->start_ticks != id.start_ticks || stat->state == 'Z') {
    co_return std::unexpected(process_gone(id.pid));
  }
  BLX_CO_TRY(StateRef state, watch(id.pid, "", false));
  // The pid may have changed hands since the first look.
  if (state->id != id) co_return std::unexpected(process_gone(id.pid));
  co_return std::make_unique<Child>(std::move(state));
}

env::Task<Result<env::RunResult>> Process::run(env::SpawnSpec spec, Instant deadline,
                                               std::size_t output_max) {
  BLX_CO_TRY(Pipe output, make_pipe());
  spec.output_path.clear();
  BLX_CO_TRY(StateRef state, co_await launch(std::move(spec), std::move(output.write_end)));
  co_return co_await finish(std::move(state), std::move(output.read_end), deadline, output_max);
}

env::Task<Result<env::RunResult>> Process::finish(StateRef state, Fd output, Instant deadline,
                                                  std::size_t output_max) {
  env::RunResult result;
  env::Scope reading(loop_, co_await env::this_cancellation());
  reading.spawn(collect(output, result.output, output_max));
  Result<env::ExitStatus> status =
      co_await env::with_deadline(loop_, clock_, deadline, Child::wait_for(state));
  if (!status) co_await end_now(state);
  // A grandchild may hold the pipe open for ever; what the child wrote is in it by now.
  reading.cancel();
  co_await reading.join();
  for (std::size_t i = 0; i < kLastReads; ++i)
    if (!read_some_output(output.get(), result.output, output_max)) break;
  BLX_CO_TRY(result.status, std::move(status));
  co_return std::move(result);
}

env::Task<void> Process::collect(Fd& output, std::string& text, std::size_t output_max) {
  // A second descriptor of the pipe: the caller reads on from the first.
  Descriptor pipe(loop_.io());
  ErrorCode error;
  Fd own(fcntl(output.get(), F_DUPFD_CLOEXEC, 0));
  pipe.assign(own.get(), error);
  if (error) co_return;
  const int number = own.release();
  while (true) {
    if (!co_await wait_ready(loop_, pipe, Descriptor::wait_read)) co_return;
    if (!read_some_output(number, text, output_max) && errno != EAGAIN) co_return;
  }
}

// What a child of ours started too. The session's id stays taken while the child is not reaped.
void Process::kill_session(State& state) {
  if (state.is_child && !state.ended) (void)::kill(-static_cast<pid_t>(state.id.pid), SIGKILL);
  ignore(state.signal(SIGKILL), "it may have ended by itself");
}

env::Task<void> Process::end_now(StateRef state) {
  kill_session(*state);
  env::Cancellation uncancelled;
  const auto status =
      co_await env::with_deadline(loop_, clock_, clock_.monotonic() + limits::kKillTimeout,
                                  Child::wait_for(state))
          .under(uncancelled);
  ignore(status, "one that cannot be killed now is reaped when it ends");
}

env::Task<Result<std::string>> Process::find_program(std::string name) {
  co_return co_await pool_.run([&] { return find_in_path(name, search_path_); });
}

env::Task<Result<GroupPlaces>> Process::places_of(std::string group) {
  if (group.empty()) co_return GroupPlaces();
  if (group_support() != GroupSupport::kNone) {
    co_return co_await pool_.run([&] { return groups_.places(group); });
  }
  if (named_groups_.contains(group)) co_return GroupPlaces();
  co_return fail(Code::kFailedPrecondition, "group_missing", std::move(group));
}

env::Task<Result<void>> Process::make_group(std::string name, env::GroupLimits limits) {
  if (group_support() != GroupSupport::kNone) {
    co_return co_await pool_.run([&] { return groups_.make(name, limits); });
  }
  if (!is_group_name(name)) co_return fail(Code::kInvalidArgument, "group_name_invalid", name);
  named_groups_.insert(std::move(name));
  co_return Result<void>();
}

env::Task<Result<std::vector<std::string>>> Process::groups() {
  if (group_support() != GroupSupport::kNone) {
    co_return co_await pool_.run([&] { return groups_.list(); });
  }
  co_return std::vector<std::string>(named_groups_.begin(), named_groups_.end());
}

bool Process::has_running(const std::string& group) const {
  for (const auto& [pid, state] : running_)
    if (state->group == group) return true;
  return false;
}

env::Task<Result<void>> Process::kill_group(std::string name) {
  if (group_support() != GroupSupport::kNone) {
    BLX_CO_TRY(co_await pool_.run([&] { return groups_.kill(name); }));
  } else {
    for (const auto& [pid, state] : running_) {
      if (state->group == name) kill_session(*state);
    }
  }
  Result<void> result = co_await env::with_deadline(
      loop_, clock_, clock_.monotonic() + limits::kKillTimeout, await_empty(name));
  if (!result && result.error().code() == Code::kDeadlineExceeded) {
    co_return fail(Code::kDeadlineExceeded, "group_not_empty", std::move(name));
  }
  co_return std::move(result);
}

env::Task<Result<void>> Process::await_empty(std::string name) {
  Duration pause = 1ms;
  while (true) {
    bool is_empty = !has_running(name);
    if (is_empty && group_support() != GroupSupport::kNone) {
      BLX_CO_TRY(is_empty, co_await pool_.run([&] { return groups_.is_empty(name); }));
    }
    if (is_empty) co_return Result<void>();
    BLX_CO_TRY(co_await clock_.sleep(pause));
    pause = std::min<Duration>(2 * pause, 50ms);
    // Without cgroup.kill a fork may have escaped the first round.
    if (group_support() != GroupSupport::kNone) {
      BLX_CO_TRY(co_await pool_.run([&] { return groups_.kill(name); }));
    }
  }
}

env::Task<Result<void>> Process::remove_group(std::string name) {
  if (group_support() != GroupSupport::kNone) {
    co_return co_await pool_.run([&] { return groups_.remove(name); });
  }
  if (has_running(name)) co_return fail(Code::kFailedPrecondition, "group_not_empty", name);
  named_groups_.erase(name);
  co_return Result<void>();
}

}  // namespace blixard::linux_side

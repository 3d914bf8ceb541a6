#include "node/vm/qemu/stop_ladder.h"

#include <algorithm>

#include "node/vm/qemu/agent_client.h"

namespace blixard::qemu {
namespace {

using vm::EndReason;

constexpr Duration kCommandPatience = 1s;
constexpr Duration kQuitPatience = 2s;
constexpr Duration kKillPatience = 5s;

bool has_ended(const RunningVm& vm) { return vm.ended(); }
bool has_exited(const RunningVm& vm) { return vm.exited(); }

// True: the guest ended within this rung.
Result<bool> within(const Result<void>& waited) {
  if (waited) return true;
  if (waited.error().code() == Code::kDeadlineExceeded) return false;
  return std::unexpected(waited.error());
}

env::Task<Result<void>> ask_agent(env::Env env, std::string socket, Instant deadline) {
  AgentClient agent(env, std::move(socket));
  co_return co_await agent.shutdown(deadline);
}

// The question runs beside the wait: a guest that obeys at once may never answer it.
env::Task<Result<bool>> rung_agent(env::Env env, RunningVm& vm, Duration patience,
                                   std::string socket) {
  if (patience <= Duration{}) co_return false;
  vm.set_rung(EndReason::kStoppedByAgent);
  const Instant deadline = env.clock.monotonic() + patience;
  env::Scope asking(env.executor, co_await env::this_cancellation());
  constexpr auto kAsk = [](env::Env world, std::string path, Instant until) -> env::Task<void> {
    ignore(co_await ask_agent(world, std::move(path), until), "the guest's end is what counts");
  };
  asking.spawn(kAsk(env, std::move(socket), deadline));
  const auto waited = co_await vm.wait(deadline, has_ended);
  asking.cancel();
  co_await asking.join();
  co_return within(waited);
}

env::Task<Result<bool>> rung_button(env::Env env, RunningVm& vm, Duration patience) {
  if (patience <= Duration{}) co_return false;
  vm.set_rung(EndReason::kStoppedByButton);
  const Instant deadline = env.clock.monotonic() + patience;
  const auto pressed = co_await vm.execute("system_powerdown", kCommandPatience);
  if (!pressed && pressed.error().code() == Code::kCancelled) {
    co_return std::unexpected(pressed.error());
  }
  co_return within(co_await vm.wait(deadline, has_ended));
}

}  // namespace

env::Task<Result<void>> end_process(env::Env env, RunningVm& vm, Duration patience) {
  if (vm.exited()) co_return Result<void>();
  if (patience > Duration{}) {
    vm.set_rung(EndReason::kStoppedByQuit);
    const Instant deadline = env.clock.monotonic() + patience;
    const auto told = co_await vm.execute("quit", std::min(patience, kCommandPatience));
    const bool is_cancelled = !told && told.error().code() == Code::kCancelled;
    if (is_cancelled) co_return std::unexpected(told.error());
    BLX_CO_TRY(const bool exited, within(co_await vm.wait(deadline, has_exited)));
    if (exited) co_return Result<void>();
  }
  vm.set_rung(EndReason::kStoppedByKill);
  ignore(vm.child().kill(env::Kill::kNow), "it may have ended just now");
  const Instant deadline = env.clock.monotonic() + kKillPatience;
  BLX_CO_TRY(const bool exited, within(co_await vm.wait(deadline, has_exited)));
  if (!exited) co_return fail(Code::kDeadlineExceeded, "kill_failed");
  co_return Result<void>();
}

env::Task<void> quit_whoever_serves(env::Env env, std::string monitor_socket) {
  const Instant deadline = env.clock.monotonic() + kQuitPatience;
  const auto endpoint = env::Endpoint::unix_socket(std::move(monitor_socket));
  auto stream = co_await env.network.dial(endpoint, deadline);
  if (!stream) co_return;
  QmpClient client(env.executor, env.clock, *std::move(stream), [](const Event&) {});
  env::Scope scope(env.executor, nullptr);
  scope.spawn(client.run());
  if (co_await client.handshake(deadline)) {
    ignore(co_await client.execute("quit", {}, deadline), "it may close before it answers");
    ignore(co_await client.wait_closed(deadline), "the caller looks at what is left");
  }
  client.close();
  scope.cancel();
  co_await scope.join();
}

env::Task<Result<EndReason>> climb_stop_ladder(env::Env env, RunningVm& vm, vm::StopLadder ladder,
                                               std::string agent_socket) {
  if (vm.phase() == vm::Phase::kPaused) {
    const auto resumed = co_await vm.execute("cont", kCommandPatience);
    if (!resumed && resumed.error().code() == Code::kCancelled) {
      co_return std::unexpected(resumed.error());
    }
  }
  bool ended = vm.ended();
  if (!ended) {
    BLX_CO_TRY(ended, co_await rung_agent(env, vm, ladder.agent, std::move(agent_socket)));
  }
  if (!ended) {
    BLX_CO_TRY(ended, co_await rung_button(env, vm, ladder.button));
  }
  // Of a guest that has ended, QEMU stays with the reason until it is told to go.
  BLX_CO_TRY(co_await end_process(env, vm, ended ? kQuitPatience : ladder.quit));
  co_return vm.end();
}

}  // namespace blixard::qemu

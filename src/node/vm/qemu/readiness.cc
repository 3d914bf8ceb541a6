#include "node/vm/qemu/readiness.h"

#include <optional>
#include <utility>

#include "base/limits.h"
#include "env/scope.h"
#include "node/vm/qemu/agent_client.h"
#include "node/vm/qemu/console.h"

namespace blixard::qemu {
namespace {

env::Task<void> ask(env::Env env, RunningVm& vm, std::string socket, Instant deadline,
                    std::optional<Identity> identity, std::optional<Result<void>>& answer) {
  AgentClient agent(env, std::move(socket));
  answer = identity ? co_await agent.identify(*std::move(identity), deadline)
                    : co_await agent.ping(deadline);
  if (*answer) vm.set_ready();
  vm.wake();
}

}  // namespace

env::Task<Result<void>> wait_for_agent(env::Env env, RunningVm& vm, std::string agent_socket,
                                       Instant deadline, std::optional<Identity> identity) {
  std::optional<Result<void>> answer;
  env::Scope asking(env.executor, co_await env::this_cancellation());
  asking.spawn(ask(env, vm, std::move(agent_socket), deadline, std::move(identity), answer));
  const auto settled = [&answer](const RunningVm& running) { return answer || running.ended(); };
  const auto waited = co_await vm.wait(Instant::never(), settled);  // ask() has the deadline
  asking.cancel();
  co_await asking.join();

  if (!waited) co_return waited;
  if (vm.ended()) {
    const vm::Status status = co_await vm.status();
    co_return fail(Code::kFailedPrecondition, "guest_ended",
                   std::string(vm::end_reason_name(status.end)) + ": " + status.detail);
  }
  if (*answer || answer->error().code() != Code::kDeadlineExceeded) co_return *answer;
  const auto console = co_await vm.console_tail(limits::kOutputTailBytes);
  const std::string lines = console ? last_lines(*console, limits::kOutputTailBytes) : "";
  co_return fail(Code::kDeadlineExceeded, "guest_not_ready",
                 "the guest's agent did not answer in time; console: " + lines);
}

}  // namespace blixard::qemu

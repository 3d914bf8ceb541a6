#include "node/vm/sim/sim_hypervisor.h"

#include <vector>

namespace blixard::vm_sim {
namespace {

constexpr int kQuitExit = 0;
constexpr int kFailedExit = 1;

// The value of "blx.test=" in a kernel command line.
std::string test_mode(std::string_view cmdline) {
  constexpr std::string_view kKey = "blx.test=";
  const std::size_t at = cmdline.find(kKey);
  if (at == std::string_view::npos) return {};
  const std::string_view value = cmdline.substr(at + kKey.size());
  return std::string(value.substr(0, value.find(' ')));
}

}  // namespace

SimGuest* SimHypervisor::find(env::ProcessId id) {
  const auto found = guests_.find(id.pid);
  return found != guests_.end() ? found->second : nullptr;
}

void SimHypervisor::tell(env::ProcessId id) {
  for (Listener* listener : std::set<Listener*>(listeners_))
    listener->guest_changed(id);
}

env::Task<int> SimHypervisor::run_guest(env::Env env, env::SpawnSpec spec, env::ProcessId id) {
  SimGuest guest(env.executor);
  const auto uuid = spec.arguments.empty() ? std::nullopt : Uuid::parse(spec.arguments.front());
  if (!uuid || spec.arguments.size() != 2 || fail_next_starts) co_return kFailedExit;
  guest.uuid = *uuid;
  guest.process = id;
  guests_[id.pid] = &guest;
  const int code = co_await serve(env, guest, test_mode(spec.arguments.back()));
  guests_.erase(id.pid);
  tell(id);
  co_return code;
}

// True: it goes on.
env::Task<bool> SimHypervisor::boot(env::Env env, SimGuest& guest, const std::string& mode) {
  if (!co_await env.clock.sleep(times.monitor)) co_return false;
  while (hang_next_starts) {
    if (!co_await env.clock.sleep(1h)) co_return false;
  }
  guest.monitor_answers = true;
  tell(guest.process);
  const Instant booted = env.clock.monotonic() + times.boot;
  while (!guest.quit_wanted && env.clock.monotonic() < booted) {
    const auto asked =
        co_await env::with_deadline(env.executor, env.clock, booted, guest.asked.wait());
    if (!asked && asked.error().code() == Code::kCancelled) co_return false;
  }
  guest.booted = true;
  guest.agent_answers = mode != "hang-agent" && mode != "no-agent";
  guest.console = "init: ready\n";
  tell(guest.process);
  co_return true;
}

env::Task<int> SimHypervisor::serve(env::Env env, SimGuest& guest, std::string mode) {
  if (!co_await boot(env, guest, mode)) co_return kFailedExit;
  const Instant fault = env.clock.monotonic() + times.fault;
  const bool will_panic = mode == "panic" || mode == "exit-init";
  while (!guest.quit_wanted) {
    const bool is_over = guest.end != vm::Phase::kStarting;
    const Instant now = env.clock.monotonic();
    if (!is_over && !guest.paused && guest.shutdown_wanted && mode != "ignore-shutdown") {
      if (!co_await env.clock.sleep(times.obey)) co_return kFailedExit;
      guest.end = vm::Phase::kEnded;
    } else if (!is_over && !guest.paused && will_panic && now >= fault) {
      guest.console += "Kernel panic - not syncing: as ordered\n";
      guest.end = vm::Phase::kPanicked;
    } else {
      const bool is_due = will_panic && !is_over && !guest.paused;
      const auto asked =
          is_due ? co_await env::with_deadline(env.executor, env.clock, fault, guest.asked.wait())
                 : co_await guest.asked.wait();
      if (!asked && asked.error().code() == Code::kCancelled) co_return kFailedExit;
      continue;
    }
    guest.agent_answers = false;
    tell(guest.process);
  }
  ignore(co_await env.clock.sleep(times.quit), "it ends in any case");
  co_return kQuitExit;
}

}  // namespace blixard::vm_sim

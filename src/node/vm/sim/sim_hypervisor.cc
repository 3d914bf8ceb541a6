#include "node/vm/sim/sim_hypervisor.h"

#include <utility>

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

// Until then, unless it is told to quit before. False: it ends.
env::Task<bool> stay_until(env::Env env, SimGuest& guest, Instant end) {
  while (!guest.quit_wanted && env.clock.monotonic() < end) {
    const auto asked =
        co_await env::with_deadline(env.executor, env.clock, end, guest.asked.wait());
    if (!asked && asked.error().code() == Code::kCancelled) co_return false;
  }
  co_return true;
}

// Until it is told to, or to quit. False: it ends.
env::Task<bool> stay_for(SimGuest& guest, const bool& wish) {
  while (!guest.quit_wanted && !wish) {
    if (!co_await guest.asked.wait()) co_return false;
  }
  co_return true;
}

// What a clone comes up as. Memory that is not what was saved is still some guest's.
env::Task<Result<Soul>> read_soul(env::Env env, std::string folder) {
  BLX_CO_TRY(const std::string ram,
             co_await env.disk.read_file(env::join_path(folder, kRamFile), kSoulBytes));
  BLX_CO_TRY(const std::string state,
             co_await env.disk.read_file(env::join_path(folder, kStateFile), kSoulBytes));
  auto soul = Soul::decode(ram, env.clock.wall());
  if (soul && state == image::digest_text(image::digest_of(ram))) co_return soul;
  co_return Soul{.name = "garbled", .machine_id = {}, .mac = {}, .boot_id = {}};
}

}  // namespace

std::vector<std::string> GuestArguments::encode() const {
  return {uuid.text(), cmdline, name, clone_of, is_resumed ? "resumed" : ""};
}

std::optional<GuestArguments> GuestArguments::decode(const std::vector<std::string>& arguments) {
  if (arguments.size() != 5) return std::nullopt;
  const auto uuid = Uuid::parse(arguments[0]);
  if (!uuid) return std::nullopt;
  return GuestArguments{*uuid, arguments[1], arguments[2], arguments[3], !arguments[4].empty()};
}

SimGuest* SimHypervisor::find(env::ProcessId id) {
  const auto found = guests_.find(id.pid);
  return found != guests_.end() ? found->second : nullptr;
}

void SimHypervisor::tell(env::ProcessId id) {
  for (Listener* listener : std::set<Listener*>(listeners_))
    listener->guest_changed(id);
}

Result<void> SimHypervisor::identify(SimGuest& guest, const Identity& identity) {
  Soul& soul = guest.soul;
  const bool is_other = soul.name != identity.was && soul.name != identity.name;
  if (agent_refuses_identity || is_other) {
    return fail(Code::kFailedPrecondition, "identity_refused",
                is_other ? "another guest: " + soul.name : "not now");
  }
  soul.add_entropy(identity.entropy);
  soul.late_ms = 0;
  soul.machine_id = machine_id(identity.uuid);
  soul.mac = mac_address(identity.uuid);
  soul.name = identity.name;
  guest.identified = true;
  return {};
}

void SimHypervisor::pause(SimGuest& guest, WallTime now) {
  if (!std::exchange(guest.paused, true)) guest.paused_at = now;
  tell(guest.process);
}

void SimHypervisor::go_on(SimGuest& guest, WallTime now) {
  if (std::exchange(guest.paused, false)) {
    guest.soul.late_ms += now.unix_ms - guest.paused_at.unix_ms;
    if (guest.agent_answers && !agent_refuses_identity) guest.soul.late_ms = 0;
  }
  guest.run_wanted = true;
  guest.asked.notify_all();
  tell(guest.process);
}

env::Task<int> SimHypervisor::run_guest(env::Env env, env::SpawnSpec spec, env::ProcessId id) {
  SimGuest guest(env.executor);
  const auto arguments = GuestArguments::decode(spec.arguments);
  if (!arguments || fail_next_starts) co_return kFailedExit;
  guest.uuid = arguments->uuid;
  guest.process = id;
  guest.clone_of = arguments->clone_of;
  guest.is_resumed = arguments->is_resumed;
  // A stream of its own: a guest changes nobody else's random numbers.
  const auto random = env.random.fork(guest.uuid.text() + " " + std::to_string(id.pid));
  guest.soul = Soul::born(arguments->name, guest.uuid, random->hex(32));
  guests_[id.pid] = &guest;
  const int code = co_await serve(env, guest, test_mode(arguments->cmdline));
  guests_.erase(id.pid);
  tell(id);
  co_return code;
}

// True: it goes on, as of the functions below.
env::Task<bool> SimHypervisor::come_up(env::Env env, SimGuest& guest) {
  if (!co_await env.clock.sleep(times.monitor)) co_return false;
  while (hang_next_starts) {
    if (!co_await env.clock.sleep(1h)) co_return false;
  }
  guest.monitor_answers = true;
  tell(guest.process);
  co_return guest.is_loaded_one() ? co_await load(env, guest) : co_await boot(env, guest);
}

env::Task<bool> SimHypervisor::boot(env::Env env, SimGuest& guest) {
  if (!co_await stay_until(env, guest, env.clock.monotonic() + times.boot)) co_return false;
  guest.console = "init: ready\n";
  co_return true;
}

env::Task<bool> SimHypervisor::load(env::Env env, SimGuest& guest) {
  if (!co_await stay_for(guest, guest.load_wanted)) co_return false;
  if (!co_await stay_until(env, guest, env.clock.monotonic() + times.load)) co_return false;
  if (fail_next_loads) co_return false;
  const WallTime now = env.clock.wall();
  auto soul = guest.is_resumed ? Soul::decode_saved(guest.saved, now)
                               : co_await read_soul(env, guest.clone_of);
  if (!soul) co_return false;
  guest.soul = *std::move(soul);
  if (stale_clones) guest.soul.name = "stale";
  guest.loaded = true;
  guest.paused = true;
  guest.paused_at = now;
  tell(guest.process);
  if (!co_await stay_for(guest, guest.run_wanted)) co_return false;
  co_return co_await stay_until(env, guest, env.clock.monotonic() + times.answer);
}

env::Task<int> SimHypervisor::serve(env::Env env, SimGuest& guest, std::string mode) {
  if (!co_await come_up(env, guest)) co_return kFailedExit;
  if (!guest.quit_wanted) {
    guest.booted = true;
    guest.agent_answers = mode != "hang-agent" && mode != "no-agent";
    tell(guest.process);
  }
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

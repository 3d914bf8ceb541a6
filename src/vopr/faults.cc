#include "vopr/faults.h"

#include <utility>
#include <vector>

#include <fmt/format.h>

namespace blixard::vopr {
namespace {

constexpr Bytes kWholeDisk{std::uint64_t{100} << 30};

}  // namespace

Faults::Faults(Cluster& cluster, Operator& owner)
    : cluster_(cluster), operator_(owner), intruder_(cluster) {}

// Bookkeeping.

void Faults::done(const Step& step, const Site& site) {
  cluster_.recorder().note_step(site.number, Event::kStep, step.action,
                                std::string(facts_of(step.action).name));
}

void Faults::skip(const Step& step, const Site& site, const char* why) {
  cluster_.recorder().note_step(site.number, Event::kSkipped, step.action,
                                fmt::format("{}: {}", facts_of(step.action).name, why));
}

void Faults::lasts(const Step& step, const Site& site, env::Scope& scope,
                   std::function<void()> undo) {
  Recorder& recorder = cluster_.recorder();
  const ActionFacts& facts = facts_of(step.action);
  std::string text(facts.name);
  if (facts.uses.amount) text += fmt::format(" {}", step.amount);
  recorder.note_step(site.number, Event::kStep, step.action, std::move(text),
                     facts.uses.other ? step.other : 0, recorder.elapsed() + step.length);
  recorder.begin(step.action);
  const std::uint64_t number = ++next_;
  lasting_[number] = {.action = step.action, .site = site.number, .undo = std::move(undo)};
  scope.spawn(end_later(number, step.length));
}

env::Task<void> Faults::end_later(std::uint64_t number, Duration length) {
  if (co_await cluster_.pause(length)) end(number);
}

void Faults::end(std::uint64_t number) {
  auto found = lasting_.extract(number);
  if (found.empty()) return;
  const Lasting& lasting = found.mapped();
  lasting.undo();
  cluster_.recorder().end(lasting.action);
  cluster_.recorder().note_step(lasting.site, Event::kHealed, lasting.action,
                                std::string(facts_of(lasting.action).name));
}

void Faults::heal() {
  while (!lasting_.empty())
    end(lasting_.begin()->first);
  cluster_.world().heal_all();
  for (const auto& site : cluster_.sites()) {
    site->machine->disk_faults().fail_next_sync_below.clear();
    site->machine->disk_faults().misdirect_next_write_below.clear();
    site->machine->set_drift(0);
    site->machine->set_wall_offset(0s);
    site->qemu.faults.noise.clear();
    if (!site->lost()) cluster_.start(*site);
  }
}

void Faults::strike(const Step& step, env::Scope& scope) {
  Site* site = cluster_.resolve(step.node);
  if (site == nullptr) return;
  switch (facts_of(step.action).group) {
    case Group::kMachine:
      return on_machine(step, *site, scope);
    case Group::kClock:
      return on_clock(step, *site, scope);
    case Group::kLink:
      return on_link(step, *site, scope);
    case Group::kDisk:
      return on_disk(step, *site, scope);
    case Group::kGuest:
      return on_guest(step, *site, scope);
    default:
      done(step, *site);
      scope.spawn(intruder_.act(step));
  }
}

// Machines and clocks.

// Nobody starts its daemon for a while.
void Faults::hold(Site& site, const Step& step, env::Scope& scope) {
  ++site.holds;
  lasts(step, site, scope, [this, &site] {
    --site.holds;
    if (!site.lost()) cluster_.start(site);
  });
}

void Faults::on_machine(const Step& step, Site& site, env::Scope& scope) {
  if (step.action == Action::kCrashAll) {
    for (const auto& one : cluster_.sites()) {
      if (!one->running) continue;
      one->number % 2 == 0 ? cluster_.crash(*one) : cluster_.lose_power(*one);
      hold(*one, step, scope);
    }
    return;
  }
  if (!site.belongs || site.holds > 0) return skip(step, site, "it is down");
  switch (step.action) {
    case Action::kCrash:
      if (site.machine->running()) cluster_.crash(site);
      return hold(site, step, scope);
    case Action::kPowerLoss:
      cluster_.lose_power(site);
      return hold(site, step, scope);
    case Action::kFreeze:
      if (!site.running) return skip(step, site, "it does not run");
      site.machine->freeze_daemon();
      return lasts(step, site, scope, [&site, life = site.lives] {
        if (site.lives == life) site.machine->thaw_daemon();
      });
    case Action::kReplaceDisk:
      if (!operator_.may_lose(site)) return skip(step, site, "too much would be lost");
      cluster_.lose_power(site);
      site.damaged = site.given_up = true;
      return hold(site, step, scope);
    default:
      if (!site.running) return skip(step, site, "it does not run");
      done(step, site);
      scope.spawn(restart(step, site));
  }
}

env::Task<void> Faults::restart(const Step& step, Site& site) {
  ++site.holds;
  co_await cluster_.stop(site);
  co_await cluster_.pause(step.length);
  --site.holds;
  cluster_.start(site);
}

void Faults::on_clock(const Step& step, Site& site, env::Scope& scope) {
  const auto sign = step.amount % 2 == 0 ? 1 : -1;
  if (step.action == Action::kWallJump) {
    site.machine->set_wall_offset(
        sign * std::chrono::milliseconds(static_cast<std::int64_t>(step.amount)));
    return done(step, site);
  }
  site.machine->set_drift(sign * static_cast<int>(step.amount));
  lasts(step, site, scope, [&site] { site.machine->set_drift(0); });
}

// Links.

Site* Faults::other_of(const Step& step, const Site& site) {
  Site* other = cluster_.resolve(step.other);
  return other == &site ? nullptr : other;
}

void Faults::cut_off(Site& site, bool hears) {
  for (const auto& other : cluster_.sites()) {
    if (other.get() == &site) continue;
    cluster_.world().partition_one_way(*site.machine, *other->machine);
    if (!hears) cluster_.world().partition_one_way(*other->machine, *site.machine);
  }
}

void Faults::on_link(const Step& step, Site& site, env::Scope& scope) {
  sim::World& world = cluster_.world();
  sim::Machine& from = *site.machine;
  if (step.action == Action::kWeather) {
    const auto percent = static_cast<std::uint32_t>(step.amount);
    cluster_.weather() = {.lost_percent = percent,
                          .doubled_percent = percent / 2,
                          .delayed_percent = percent,
                          .delay_max = 20ms * percent};
    return lasts(step, site, scope, [this] { cluster_.weather() = {}; });
  }
  if (step.action == Action::kSplit) {
    for (const auto& one : cluster_.sites()) {
      for (const auto& two : cluster_.sites()) {
        const bool one_left = (step.amount >> (one->number - 1) & 1) != 0;
        const bool two_left = (step.amount >> (two->number - 1) & 1) != 0;
        if (one_left && !two_left) world.partition(*one->machine, *two->machine);
      }
    }
    return lasts(step, site, scope, [&world] { world.heal_all(); });
  }
  if (step.action == Action::kIsolate || step.action == Action::kIsolateOneWay) {
    cut_off(site, step.action == Action::kIsolateOneWay);
    return lasts(step, site, scope, [this, &site] {
      for (const auto& other : cluster_.sites())
        cluster_.world().heal(*site.machine, *other->machine);
    });
  }
  Site* other = other_of(step, site);
  if (other == nullptr) return skip(step, site, "there is no other");
  sim::Machine& to = *other->machine;
  const auto restore = [&world, &from, &to] { world.restore_link(from, to); };
  switch (step.action) {
    case Action::kCut:
    case Action::kCutOneWay:
      step.action == Action::kCut ? world.partition(from, to) : world.partition_one_way(from, to);
      return lasts(step, site, scope, [&world, &from, &to] { world.heal(from, to); });
    case Action::kSlowLink:
      world.set_latency(from, to, 1ms,
                        std::chrono::milliseconds(static_cast<std::int64_t>(step.amount)));
      return lasts(step, site, scope, restore);
    case Action::kLossyLink:
      world.set_loss(from, to, static_cast<std::uint32_t>(step.amount));
      return lasts(step, site, scope, restore);
    case Action::kNarrowLink:
      world.set_bandwidth(from, to, Bytes(step.amount << 10));
      return lasts(step, site, scope, restore);
    case Action::kDamagedBytes:
      world.set_damage(from, to, step.amount);
      return lasts(step, site, scope, restore);
    case Action::kClog:
      world.clog(from, to);
      return lasts(step, site, scope, [&world, &from, &to] { world.unclog(from, to); });
    case Action::kReset:
      world.reset_connections(from, to);
      return done(step, site);
    default:
      world.half_open(from, to);
      return done(step, site);
  }
}

// Disks.

void Faults::on_disk(const Step& step, Site& site, env::Scope& scope) {
  sim::Machine& machine = *site.machine;
  const std::string log = site.data() + "/log";
  switch (step.action) {
    case Action::kSlowDisk:
      machine.disk_faults().slowdown = static_cast<std::uint32_t>(step.amount);
      return lasts(step, site, scope, [&machine] { machine.disk_faults().slowdown = 1; });
    case Action::kFailedSync:
      machine.disk_faults().fail_next_sync_below = log;
      site.disk_trouble = true;
      return done(step, site);
    case Action::kFullDisk:
      machine.set_disk_capacity(Bytes(step.amount << 10));
      site.disk_trouble = true;
      return lasts(step, site, scope, [&machine] { machine.set_disk_capacity(kWholeDisk); });
    case Action::kReadWriteErrors:
      machine.disk_faults().io_error_below = site.data();
      site.disk_trouble = true;
      return lasts(step, site, scope, [&machine] { machine.disk_faults().io_error_below.clear(); });
    case Action::kBitRot:
      if (!operator_.may_lose(site)) return skip(step, site, "too much would be lost");
      site.damaged = machine.rot(log, step.amount).has_value();
      return done(step, site);
    default:
      if (!operator_.may_lose(site)) return skip(step, site, "too much would be lost");
      machine.misdirect_next_write(log, step.amount);
      site.damaged = true;
      return done(step, site);
  }
}

// Guests.

void Faults::on_guest(const Step& step, Site& site, env::Scope& scope) {
  sim::QemuFaults& faults = site.qemu.faults;
  switch (step.action) {
    case Action::kStartsFail:
      faults.starts_fail = true;
      return lasts(step, site, scope, [&faults] { faults.starts_fail = false; });
    case Action::kStartsHang:
      faults.starts_hang = true;
      return lasts(step, site, scope, [&faults] { faults.starts_hang = false; });
    case Action::kSlowBoots: {
      const auto times = static_cast<std::int64_t>(step.amount);
      faults.boot = {site.boot.least * times, site.boot.most * times};
      return lasts(step, site, scope, [&faults, &site] { faults.boot = site.boot; });
    }
    case Action::kMonitorNoise:
      faults.noise = sim::kMonitorNoise[step.amount % sim::kMonitorNoise.size()].text;
      return done(step, site);
    case Action::kMonitorSilent:
      faults.monitor_silent = true;
      return lasts(step, site, scope, [&faults] { faults.monitor_silent = false; });
    case Action::kGuestIgnores:
      faults.ignores_shutdown = faults.ignores_button = true;
      return lasts(step, site, scope,
                   [&faults] { faults.ignores_shutdown = faults.ignores_button = false; });
    case Action::kSpawnFails:
      site.machine->fail_next_spawn(Error(Code::kResourceExhausted, "no_memory"));
      site.spawn_trouble = true;
      return done(step, site);
    default:
      break;
  }
  std::vector<env::ProcessId> here;
  for (const Cluster::Guest& guest : cluster_.guests()) {
    if (guest.site == site.number) here.push_back(guest.process);
  }
  if (here.empty()) return skip(step, site, "no guest is there");
  const env::ProcessId one = here[step.amount % here.size()];
  done(step, site);
  switch (step.action) {
    case Action::kGuestPanics:
      site.qemu.panic(one);
      return;
    case Action::kGuestPowersOff:
      site.qemu.power_off(one);
      return;
    case Action::kMemoryPressure: {
      const auto largest = site.qemu.largest();
      return site.machine->kill_process(largest ? largest->process : one);
    }
    default:
      return site.machine->kill_process(one);
  }
}

}  // namespace blixard::vopr

#include "vopr/faults.h"

#include <algorithm>
#include <utility>
#include <vector>

#include <fmt/format.h>

namespace blixard::vopr {
namespace {

constexpr Bytes kWholeDisk{std::uint64_t{100} << 30};
// Of a link with which nothing is wrong (sim/link.h).
constexpr Duration kLatencyLeast = 100us;
constexpr Duration kLatencyMost = 1ms;

Weather weather_of(std::uint32_t percent) {
  return {.lost_percent = percent,
          .doubled_percent = percent / 2,
          .delayed_percent = percent,
          .delay_max = 20ms * percent};
}

}  // namespace

Faults::Faults(Cluster& cluster, Operator& owner)
    : cluster_(cluster), operator_(owner), intruder_(cluster) {}

// Bookkeeping.

void Faults::done(const Step& step, const Site& site) {
  const ActionFacts& facts = facts_of(step.action);
  cluster_.recorder().note_step(site.number, Event::kStep, step.action, std::string(facts.name),
                                facts.uses.other ? step.other : 0);
}

void Faults::skip(const Step& step, const Site& site, const char* why) {
  cluster_.recorder().note_step(site.number, Event::kSkipped, step.action,
                                fmt::format("{}: {}", facts_of(step.action).name, why));
}

void Faults::lasts(const Step& step, const Site& site, env::Scope& scope, Change change) {
  Recorder& recorder = cluster_.recorder();
  const ActionFacts& facts = facts_of(step.action);
  std::string text(facts.name);
  if (facts.uses.amount) text += fmt::format(" {}", step.amount);
  recorder.note_step(site.number, Event::kStep, step.action, std::move(text),
                     facts.uses.other ? step.other : 0, recorder.elapsed() + step.length);
  recorder.begin(step.action);
  const std::uint64_t number = ++next_;
  lasting_[number] = {.action = step.action, .site = site.number, .change = std::move(change)};
  scope.spawn(end_later(number, step.length));
}

void Faults::sets(const Step& step, const Site& site, env::Scope& scope, std::function<void()> make,
                  std::function<void()> undo) {
  make();
  lasts(step, site, scope,
        {.what = fmt::format("{} {} {}", facts_of(step.action).name, site.number, step.other),
         .make = std::move(make),
         .undo = std::move(undo)});
}

env::Task<void> Faults::end_later(std::uint64_t number, Duration length) {
  if (co_await cluster_.pause(length)) end(number);
}

void Faults::end(std::uint64_t number) {
  auto found = lasting_.extract(number);
  if (found.empty()) return;
  const Lasting& lasting = found.mapped();
  const Lasting* newest = nullptr;
  bool is_newer = false;
  for (const auto& [other, one] : lasting_) {
    if (lasting.change.what.empty() || one.change.what != lasting.change.what) continue;
    newest = &one;
    is_newer = other > number;
  }
  if (newest == nullptr)
    lasting.change.undo();
  else if (!is_newer)
    newest->change.make();
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
    set_wall(*site, 0s);
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
    case Group::kTemplate:
      return on_template(step, *site, scope);
    case Group::kSaved:
      return on_saved(step, *site, scope);
    default:
      done(step, *site);
      scope.spawn(intruder_.act(step));
  }
}

// Machines and clocks.

// Nobody starts its daemon for a while.
void Faults::hold(Site& site, const Step& step, env::Scope& scope) {
  ++site.holds;
  lasts(step, site, scope, {.undo = [this, &site] {
          --site.holds;
          if (!site.lost()) cluster_.start(site);
        }});
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
      // One that is stopped meanwhile goes on at its time, or it would never end.
      return sets(
          step, site, scope,
          [&site, life = site.lives] {
            site.lives == life ? site.machine->freeze_daemon() : site.machine->thaw_daemon();
          },
          [&site] { site.machine->thaw_daemon(); });
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
  cluster_.recorder().begin(step.action);
  if (site.running) co_await cluster_.stop(site);  // an upgrade may have come first
  co_await cluster_.pause(step.length);
  cluster_.recorder().end(step.action);
  --site.holds;
  cluster_.start(site);
}

void Faults::set_wall(Site& site, Duration offset) {
  if (site.wall_offset == offset) return;
  site.wall_offset = offset;
  ++site.wall_jumps;
  site.machine->set_wall_offset(offset);
}

void Faults::on_clock(const Step& step, Site& site, env::Scope& scope) {
  const auto sign = step.amount % 2 == 0 ? 1 : -1;
  if (step.action == Action::kWallJump) {
    set_wall(site, sign * std::chrono::milliseconds(static_cast<std::int64_t>(step.amount)));
    return done(step, site);
  }
  const int drift = sign * static_cast<int>(step.amount);
  sets(
      step, site, scope, [&site, drift] { site.machine->set_drift(drift); },
      [&site] { site.machine->set_drift(0); });
}

// Links.

Site* Faults::other_of(const Step& step, const Site& site) {
  Site* other = cluster_.resolve(step.other);
  return other == &site ? nullptr : other;
}

sim::Machine& Faults::machine(std::uint32_t number) {
  return *cluster_.sites().at(number - 1)->machine;
}

std::vector<Faults::Direction> Faults::cut_by(const Step& step, const Site& site,
                                              const Site* other) const {
  std::vector<Direction> directions;
  const auto is_left = [&](const Site& one) { return (step.amount >> (one.number - 1) & 1) != 0; };
  for (const auto& from : cluster_.sites()) {
    for (const auto& to : cluster_.sites()) {
      if (from == to) continue;
      const bool leaves = from.get() == &site;
      const bool arrives = to.get() == &site;
      bool is_cut = false;
      switch (step.action) {
        case Action::kCut:
          is_cut = (leaves && to.get() == other) || (arrives && from.get() == other);
          break;
        case Action::kCutOneWay:
          is_cut = leaves && to.get() == other;
          break;
        case Action::kIsolate:
          is_cut = leaves || arrives;
          break;
        case Action::kIsolateOneWay:
          is_cut = leaves;
          break;
        default:  // split
          is_cut = is_left(*from) != is_left(*to);
      }
      if (is_cut) directions.emplace_back(from->number, to->number);
    }
  }
  return directions;
}

void Faults::cut(const Step& step, const Site& site, env::Scope& scope,
                 const std::vector<Direction>& directions) {
  for (const Direction& direction : directions) {
    ++cuts_[direction];
    cluster_.world().partition_one_way(machine(direction.first), machine(direction.second));
  }
  lasts(step, site, scope, {.undo = [this, directions] {
          for (const Direction& direction : directions)
            mend_cut(direction);
        }});
}

// The world mends both directions; what passes the other one is not delivered before it is cut
// again.
void Faults::mend_cut(Direction direction) {
  const auto [from, to] = direction;
  if (--cuts_[direction] > 0) return;
  cluster_.world().heal(machine(from), machine(to));
  if (cuts_[{to, from}] > 0) cluster_.world().partition_one_way(machine(to), machine(from));
}

void Faults::on_link(const Step& step, Site& site, env::Scope& scope) {
  Site* other = facts_of(step.action).uses.other ? other_of(step, site) : nullptr;
  switch (step.action) {
    case Action::kWeather: {
      const auto percent = static_cast<std::uint32_t>(step.amount);
      Weather& weather = cluster_.weather();  // everybody's, whoever the step is noted at
      weather = weather_of(percent);
      return lasts(step, site, scope,
                   {.what = "weather",
                    .make = [&weather, percent] { weather = weather_of(percent); },
                    .undo = [&weather] { weather = {}; }});
    }
    case Action::kIsolate:
    case Action::kIsolateOneWay:
    case Action::kSplit:
      return cut(step, site, scope, cut_by(step, site, nullptr));
    default:
      break;
  }
  if (other == nullptr) return skip(step, site, "there is no other");
  Step known = step;  // also of the leader, whoever that is
  known.other = other->number;
  if (step.action == Action::kCut || step.action == Action::kCutOneWay)
    return cut(known, site, scope, cut_by(known, site, other));
  on_one_link(known, site, *other, scope);
}

void Faults::on_one_link(const Step& step, Site& site, Site& other, env::Scope& scope) {
  sim::World& world = cluster_.world();
  sim::Machine& from = *site.machine;
  sim::Machine& to = *other.machine;
  switch (step.action) {
    case Action::kSlowLink: {
      const auto most = std::chrono::milliseconds(static_cast<std::int64_t>(step.amount));
      return sets(
          step, site, scope, [&world, &from, &to, most] { world.set_latency(from, to, 1ms, most); },
          [&world, &from, &to] { world.set_latency(from, to, kLatencyLeast, kLatencyMost); });
    }
    case Action::kLossyLink: {
      const auto percent = static_cast<std::uint32_t>(step.amount);
      return sets(
          step, site, scope, [&world, &from, &to, percent] { world.set_loss(from, to, percent); },
          [&world, &from, &to] { world.set_loss(from, to, 0); });
    }
    case Action::kNarrowLink: {
      const Bytes a_second(step.amount << 10);
      return sets(
          step, site, scope,
          [&world, &from, &to, a_second] { world.set_bandwidth(from, to, a_second); },
          [&world, &from, &to] { world.set_bandwidth(from, to, Bytes(0)); });
    }
    case Action::kDamagedBytes: {
      const std::uint64_t one_in = step.amount;
      return sets(
          step, site, scope, [&world, &from, &to, one_in] { world.set_damage(from, to, one_in); },
          [&world, &from, &to] { world.set_damage(from, to, 0); });
    }
    case Action::kClog: {
      world.clog(from, to);
      const auto [low, high] = std::minmax(site.number, other.number);
      return lasts(step, site, scope,
                   {.what = fmt::format("clog {} {}", low, high),
                    .make = [&world, &from, &to] { world.clog(from, to); },
                    .undo = [&world, &from, &to] { world.unclog(from, to); }});
    }
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
      return sets(
          step, site, scope,
          [&machine, times = static_cast<std::uint32_t>(step.amount)] {
            machine.disk_faults().slowdown = times;
          },
          [&machine] { machine.disk_faults().slowdown = 1; });
    case Action::kFailedSync:
      machine.disk_faults().fail_next_sync_below = log;
      site.disk_trouble = true;
      return done(step, site);
    case Action::kFullDisk:
      site.disk_trouble = true;
      return sets(
          step, site, scope,
          [&machine, capacity = Bytes(step.amount << 10)] { machine.set_disk_capacity(capacity); },
          [&machine] { machine.set_disk_capacity(kWholeDisk); });
    case Action::kReadWriteErrors:
      site.disk_trouble = true;
      return sets(
          step, site, scope,
          [&machine, below = site.data()] { machine.disk_faults().io_error_below = below; },
          [&machine] { machine.disk_faults().io_error_below.clear(); });
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

}  // namespace blixard::vopr

#include "test/conformance/consensus/nemesis.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace blixard::consensus_sim {
Nemesis::Nemesis(Cluster& cluster, Clients& clients)
    : cluster_(cluster), clients_(clients), random_(cluster.random()) {
  for (const std::uint32_t weight : cluster.settings().weights)
    weight_sum_ += weight;
}

env::Task<void> Nemesis::run() {
  env::Scope scope(cluster_.env().executor, co_await env::this_cancellation());
  while (co_await cluster_.pause(cluster_.up_to(cluster_.settings().fault_gap))) {
    const Fault fault = choose();
    ++counts_[static_cast<std::size_t>(fault)];
    BLX_LOG(cluster_.env().log, kDebug, "fault: {}", name(fault));
    strike(fault, scope);
  }
  co_await scope.join();
}

Fault Nemesis::choose() {
  std::uint64_t at = random_.below(weight_sum_);
  for (std::size_t i = 0; i < kFaults; ++i) {
    const std::uint32_t weight = cluster_.settings().weights[i];
    if (at < weight) return static_cast<Fault>(i);
    at -= weight;
  }
  return Fault::kCrash;
}

Daemon& Nemesis::victim() {
  if (random_.one_in(3)) {
    if (Daemon* leader = cluster_.leader()) return *leader;
  }
  return *cluster_.daemons()[random_.below(cluster_.daemons().size())];
}

Daemon& Nemesis::other_than(const Daemon& daemon) {
  auto& daemons = cluster_.daemons();
  const std::size_t at = random_.below(daemons.size() - 1);
  return *daemons[at + 1 < daemon.number ? at : at + 1];
}

env::Task<void> Nemesis::undo_later(std::function<void()> undo) {
  if (co_await cluster_.pause(cluster_.up_to(cluster_.settings().fault_length))) undo();
}

void Nemesis::after(env::Scope& scope, std::function<void()> undo) {
  scope.spawn(undo_later(std::move(undo)));
}

void Nemesis::strike(Fault fault, env::Scope& scope) {
  switch (fault) {
    case Fault::kCrash:
    case Fault::kPowerLoss: {
      Daemon& daemon = victim();
      if (!daemon.id || daemon.removed) return;
      fault == Fault::kCrash ? cluster_.crash(daemon) : cluster_.lose_power(daemon);
      after(scope, [this, &daemon] { cluster_.start(daemon); });
      return;
    }
    case Fault::kCrashAll:
      for (const auto& daemon : cluster_.daemons()) {
        if (!daemon->running) continue;
        random_.one_in(2) ? cluster_.crash(*daemon) : cluster_.lose_power(*daemon);
        after(scope, [this, one = daemon.get()] { cluster_.start(*one); });
      }
      return;
    case Fault::kTransfer:
      scope.spawn(transfer());
      return;
    case Fault::kJoin:
      scope.spawn(join());
      return;
    case Fault::kPromote:
      scope.spawn(promote());
      return;
    case Fault::kRemove:
      scope.spawn(remove());
      return;
    case Fault::kSlowDisk:
    case Fault::kFailedSync:
    case Fault::kFullDisk:
    case Fault::kWallJump:
      strike_disk(fault, scope);
      return;
    default:
      strike_network(fault, scope);
  }
}

void Nemesis::cut_off(Daemon& daemon, bool one_way, bool heals) {
  for (const auto& other : cluster_.daemons()) {
    if (other.get() == &daemon) continue;
    if (heals) {
      cluster_.world().heal(*daemon.machine, *other->machine);
    } else if (one_way) {
      cluster_.world().partition_one_way(*daemon.machine, *other->machine);
    } else {
      cluster_.world().partition(*daemon.machine, *other->machine);
    }
  }
}

void Nemesis::strike_network(Fault fault, env::Scope& scope) {
  sim::World& world = cluster_.world();
  Daemon& daemon = victim();
  Daemon& other = other_than(daemon);
  const auto heal = [&world, &daemon, &other] { world.heal(*daemon.machine, *other.machine); };
  switch (fault) {
    case Fault::kCutLink:
      world.partition(*daemon.machine, *other.machine);
      after(scope, heal);
      return;
    case Fault::kCutOneWay:
      world.partition_one_way(*daemon.machine, *other.machine);
      after(scope, heal);
      return;
    case Fault::kIsolate:
      cut_off(daemon, random_.one_in(3), false);
      after(scope, [this, &daemon] { cut_off(daemon, false, true); });
      return;
    case Fault::kSplit: {
      std::vector<bool> left;
      for (std::size_t i = 0; i < cluster_.daemons().size(); ++i)
        left.push_back(random_.one_in(2));
      for (const auto& one : cluster_.daemons()) {
        for (const auto& two : cluster_.daemons()) {
          if (left[one->number - 1] && !left[two->number - 1]) {
            world.partition(*one->machine, *two->machine);
          }
        }
      }
      after(scope, [&world] { world.heal_all(); });
      return;
    }
    case Fault::kSlowLink: {
      const Duration most = random_.between(5ms, 400ms);
      world.set_latency(*daemon.machine, *other.machine, 1ms, most);
      after(scope,
            [&world, &daemon, &other] { world.restore_link(*daemon.machine, *other.machine); });
      return;
    }
    case Fault::kReset:
      world.reset_connections(*daemon.machine, *other.machine);
      return;
    default: {
      const auto percent = [&] {
        return random_.one_in(3) ? 0 : static_cast<std::uint32_t>(random_.below(30));
      };
      cluster_.weather() = {.lost_percent = percent(),
                            .doubled_percent = percent(),
                            .delayed_percent = percent(),
                            .delay_max = random_.between(5ms, 500ms)};
      after(scope, [this] { cluster_.weather() = {}; });
    }
  }
}

void Nemesis::strike_disk(Fault fault, env::Scope& scope) {
  Daemon& daemon = victim();
  sim::Machine& machine = *daemon.machine;
  switch (fault) {
    case Fault::kSlowDisk:
      machine.disk_faults().slowdown = static_cast<std::uint32_t>(2 + random_.below(60));
      after(scope, [&machine] { machine.disk_faults().slowdown = 1; });
      return;
    case Fault::kFailedSync:
      machine.disk_faults().fail_next_sync_below = "/log";
      daemon.sync_failed = true;
      return;
    case Fault::kFullDisk:
      machine.set_disk_capacity(Bytes(random_.below(4u << 20)));
      daemon.disk_was_full = true;
      after(scope, [&machine] { machine.set_disk_capacity(Bytes(std::uint64_t{1} << 40)); });
      return;
    default:
      machine.set_wall_offset(random_.between(-1h, 1h));
  }
}

void Nemesis::heal() {
  sim::World& world = cluster_.world();
  world.heal_all();
  cluster_.weather() = {};
  for (const auto& daemon : cluster_.daemons()) {
    for (const auto& other : cluster_.daemons())
      world.restore_link(*daemon->machine, *other->machine);
    daemon->machine->disk_faults().slowdown = 1;
    daemon->machine->disk_faults().fail_next_sync_below.clear();
    daemon->machine->set_disk_capacity(Bytes(std::uint64_t{1} << 40));
    if (!daemon->removed) cluster_.start(*daemon);
  }
}

}  // namespace blixard::consensus_sim

// What happens to a cluster by chance: its plan, its clients, its faults.

#include <algorithm>
#include <span>
#include <utility>

#include "core/raft/configuration.h"
#include "test/conformance/raft/core_sim.h"
#include "test/conformance/raft/core_sim_scripts.h"

namespace blixard::core_sim {
namespace {

constexpr std::uint64_t kFinishTicksMax = 1500;

struct Weighted {
  Fault fault;
  std::uint64_t weight;
};

constexpr Weighted kCalmFaults[] = {
    {Fault::kIsolate, 2},  {Fault::kHeal, 3},     {Fault::kCrash, 3},  {Fault::kSlowDisk, 1},
    {Fault::kTransfer, 2}, {Fault::kSnapshot, 3}, {Fault::kChange, 2},
};

constexpr Weighted kHardFaults[] = {
    {Fault::kIsolate, 4},      {Fault::kSplit, 3},    {Fault::kOneWay, 4},   {Fault::kHeal, 8},
    {Fault::kCrash, 8},        {Fault::kCrashAll, 1}, {Fault::kSlowDisk, 5}, {Fault::kWeather, 3},
    {Fault::kTransfer, 5},     {Fault::kChange, 7},   {Fault::kSnapshot, 8}, {Fault::kCampaign, 3},
    {Fault::kForgetLeader, 1}, {Fault::kEvict, 4},
};

Fault pick(std::span<const Weighted> faults, Chance& chance) {
  std::uint64_t sum = 0;
  for (const Weighted& one : faults)
    sum += one.weight;
  std::uint64_t at = chance.below(sum);
  for (const Weighted& one : faults) {
    if (at < one.weight) return one.fault;
    at -= one.weight;
  }
  return Fault::kHeal;
}

Weather hard_weather(Chance& chance) {
  Weather weather;
  weather.loss = chance.one_in(3) ? 0 : chance.below(150);
  weather.duplicate = chance.one_in(2) ? 0 : chance.below(100);
  weather.straggler = chance.one_in(2) ? 0 : chance.below(80);
  weather.shorten = chance.one_in(2) ? 0 : chance.below(200);
  weather.delay_min = 1;
  weather.delay_max = chance.between(1, 2 * kTick);
  weather.straggler_max = weather.delay_max + chance.between(1, 40 * kTick);
  return weather;
}

raft::Config config_of(Chance& chance) {
  constexpr std::size_t kMessageBytes[] = {0, 60, 200, std::size_t{1} << 20};
  raft::Config config;
  config.heartbeat_ticks = static_cast<int>(chance.between(1, 3));
  config.message_bytes_max = kMessageBytes[chance.below(4)];
  config.inflight_messages_max = chance.between(1, 8);
  config.inflight_bytes_max = chance.one_in(2) ? chance.between(64, 400) : 1 << 20;
  config.committed_bytes_max = chance.between(50, 4000);
  config.uncommitted_bytes_max = chance.between(100, 4000);
  config.unstable_bytes_max = chance.one_in(2) ? chance.between(100, 1000) : 1 << 20;
  config.pending_reads_max = chance.between(1, 32);
  config.applies_before_durable = !chance.one_in(4);
  const bool guarded = !chance.one_in(8);  // the rules of safety do not depend on these two
  config.pre_vote = guarded;
  config.check_quorum = guarded;
  return config;
}

}  // namespace

const char* name_of(Fault fault) {
  constexpr const char* kNames[] = {"isolate",   "split",    "one-way", "heal",     "crash",
                                    "crash-all", "disk",     "weather", "transfer", "change",
                                    "snapshot",  "campaign", "forget",  "evict"};
  static_assert(std::size(kNames) == static_cast<std::size_t>(Fault::kCount));
  return kNames[static_cast<std::size_t>(fault)];
}

Plan plan_of(Mix mix, std::uint64_t seed) {
  Plan plan;
  plan.seed = mixed(seed + 1, static_cast<std::uint64_t>(mix) + 77);
  Chance chance(plan.seed);
  const std::uint64_t nodes = chance.one_in(3) ? 5 : 3;
  for (std::uint64_t id = 1; id <= nodes; ++id)
    plan.initial.voters.emplace_back(id);
  plan.config.election_ticks = 10;
  if (mix == Mix::kQuiet) return plan;
  plan.hard = mix == Mix::kHard;
  plan.config = config_of(chance);
  plan.length = 220 * kTick;
  plan.disk_max = plan.hard ? chance.between(1, 15) : chance.between(1, 5);
  plan.apply_max = chance.one_in(2) ? 0 : chance.below(20);
  plan.client_every = chance.between(kTick, 4 * kTick);
  plan.fault_every = plan.hard ? chance.between(4 * kTick, 16 * kTick) : 40 * kTick;
  plan.weather.delay_max = chance.between(1, kTick / 2);
  if (plan.hard) {
    plan.weather = hard_weather(chance);
  } else {
    plan.config.pre_vote = plan.config.check_quorum = true;
    plan.weather.loss = chance.below(10);
  }
  return plan;
}

void Sim::run_mix() {
  mixing_ = true;
  if (plan_.client_every != 0) push(kTick, {.kind = EventKind::kClient});
  if (plan_.fault_every != 0) push(plan_.fault_every, {.kind = EventKind::kFault});
  run_for(plan_.length);
  end_of_faults();
}

void Sim::end_of_faults() {
  mixing_ = false;
  heal();
  set_weather({.delay_min = 1, .delay_max = 3, .straggler_max = 3});
  // Without the two, who has an old configuration may campaign forever; safety never needed them.
  const bool guarded = plan_.config.pre_vote;
  plan_.config.pre_vote = plan_.config.check_quorum = true;
  for (std::uint64_t id = 1; id < kNodesMax; ++id) {
    nodes_[id].slowness = 1;
    nodes_[id].disk_free_at = std::min(nodes_[id].disk_free_at, now_ + kTick);
    if (!guarded) crash(id);
    restart(id);
  }
}

std::uint64_t Sim::random_up() {
  std::uint64_t up[kNodesMax];
  std::uint64_t count = 0;
  for (std::uint64_t id = 1; id < kNodesMax; ++id)
    if (nodes_[id].core != nullptr) up[count++] = id;
  return count == 0 ? 0 : up[chance_.below(count)];
}

void Sim::client() {
  if (!mixing_) return;
  push(chance_.between(1, plan_.client_every * 2), {.kind = EventKind::kClient});
  std::uint64_t at = chance_.one_in(4) ? random_up() : leader();
  if (at == 0) at = random_up();
  if (at == 0) return;
  const std::uint64_t count = chance_.one_in(12) ? chance_.between(8, 24) : chance_.between(0, 3);
  for (std::uint64_t one = 0; one < count && !failed(); ++one)
    propose(at, chance_.one_in(4) ? chance_.below(100) : 0);
  if (chance_.one_in(2) && !failed()) read(chance_.one_in(2) ? random_up() : at);
}

void Sim::fault() {
  if (!mixing_) return;
  push(chance_.between(1, plan_.fault_every * 2), {.kind = EventKind::kFault});
  const Fault fault = plan_.hard ? pick(kHardFaults, chance_) : pick(kCalmFaults, chance_);
  ++sums_.faults[static_cast<std::size_t>(fault)];
  inject(fault);
}

void Sim::inject(Fault fault) {
  const std::uint64_t any = random_up();
  switch (fault) {
    case Fault::kIsolate:
    case Fault::kSplit:
    case Fault::kOneWay:
      return partition(fault);
    case Fault::kHeal:
      return heal();
    case Fault::kCrash:
      return crash_for_a_while(chance_.one_in(2) && leader() != 0 ? leader() : any);
    case Fault::kCrashAll:
      for (std::uint64_t id = 1; id < kNodesMax; ++id)
        crash_for_a_while(id);
      return;
    case Fault::kSlowDisk:
      if (any != 0) nodes_[any].slowness = chance_.one_in(3) ? 1 : chance_.between(2, 30);
      return;
    case Fault::kWeather:
      return set_weather(hard_weather(chance_));
    case Fault::kTransfer:
      if (leader() != 0) transfer(leader(), 1 + chance_.below(kNodesMax - 1));
      return;
    case Fault::kChange:
      return change_members();
    case Fault::kSnapshot:
      if (any != 0) snapshot(any, chance_.one_in(2) ? 0 : chance_.below(12));
      return;
    case Fault::kCampaign:
      if (any == 0) return;
      ignore(nodes_[any].core->campaign(), "may be refused");
      return take_outputs(nodes_[any]);
    case Fault::kForgetLeader:
      if (any == 0) return;
      ignore(nodes_[any].core->forget_leader(), "may be refused");
      return take_outputs(nodes_[any]);
    case Fault::kEvict:
      if (any == 0) return;
      nodes_[any].evicted = true;
      return nodes_[any].disk.forget_below(nodes_[any].disk.last());
    case Fault::kCount:
      return;
  }
}

void Sim::partition(Fault fault) {
  if (!chance_.one_in(3)) heal();
  const std::uint64_t leading = leader();
  const std::uint64_t victim =
      leading != 0 && chance_.one_in(2) ? leading : 1 + chance_.below(kNodesMax - 1);
  if (fault == Fault::kIsolate) return isolate(victim);
  if (fault == Fault::kOneWay) {
    const bool hears = chance_.one_in(2);
    for (std::uint64_t other = 1; other < kNodesMax; ++other) {
      if (other == victim || chance_.one_in(3)) continue;
      network_.cut(hears ? victim : other, hears ? other : victim, true);
    }
    return;
  }
  const std::uint64_t side = chance_.next();
  for (std::uint64_t a = 1; a < kNodesMax; ++a) {
    for (std::uint64_t b = a + 1; b < kNodesMax; ++b)
      if (((side >> a) & 1) != ((side >> b) & 1)) cut_both(a, b);
  }
}

void Sim::crash_for_a_while(std::uint64_t id) {
  if (id == 0 || nodes_[id].core == nullptr) return;
  crash(id);
  push(chance_.one_in(2) ? chance_.between(1, kTick) : chance_.between(kTick, 40 * kTick),
       {.kind = EventKind::kRestart, .node = static_cast<std::uint32_t>(id)});
}

std::uint64_t Sim::free_id(const raft::ConfState& now) const {
  for (std::uint64_t id = 1; id < kNodesMax; ++id) {
    if (!removed_.contains(id) && !raft::contains(raft::members(now), NodeId(id))) return id;
  }
  return 0;
}

void Sim::change_members() {
  const std::uint64_t at = leader();
  if (at == 0) return;
  const raft::ConfState now = nodes_[at].configuration;
  if (raft::is_joint(now)) return change(at, {});
  change(at, random_change(now));
  // What must wait for this one.
  if (!failed() && nodes_[at].core != nullptr && chance_.one_in(3)) change(at, random_change(now));
}

raft::ConfChange Sim::random_change(const raft::ConfState& now) {
  using Type = raft::ConfChangeType;
  raft::ConfChange change;
  change.transition = static_cast<raft::ConfTransition>(chance_.below(3));
  const std::uint64_t fresh = free_id(now);
  const NodeId voter = now.voters[chance_.below(now.voters.size())];
  const bool may_shrink = now.voters.size() > 2;
  switch (chance_.below(5)) {
    case 0:
      if (fresh != 0) change.changes.push_back({Type::kAddVoter, NodeId(fresh)});
      break;
    case 1:
      if (fresh != 0) change.changes.push_back({Type::kAddLearner, NodeId(fresh)});
      break;
    case 2:
      if (!now.learners.empty()) change.changes.push_back({Type::kAddVoter, now.learners.front()});
      break;
    case 3:
      if (may_shrink)
        change.changes.push_back({chance_.one_in(2) ? Type::kRemove : Type::kAddLearner, voter});
      break;
    default:
      if (may_shrink) change.changes.push_back({Type::kRemove, voter});
      if (fresh != 0) change.changes.push_back({Type::kAddVoter, NodeId(fresh)});
      break;
  }
  if (change.changes.empty()) change.changes.push_back({Type::kUpdate, voter});
  return change;
}

Summary run(Mix mix, std::uint64_t seed) {
  Plan plan = plan_of(mix, seed);
  if (mix == Mix::kHard && seed % kScriptedOneIn == 0) {
    const Script& script = scripts()[(seed / kScriptedOneIn) % scripts().size()];
    adjust(plan, script);
    Sim sim(plan);
    script.play(sim);
    sim.release();
    if (!sim.failed() && script.goes_on) sim.run_mix();
    if (!sim.failed() && script.goes_on) sim.finish(kFinishTicksMax);
    return sim.summary();
  }
  Sim sim(plan);
  sim.run_mix();
  if (!sim.failed()) sim.finish(kFinishTicksMax);
  return sim.summary();
}

}  // namespace blixard::core_sim

#include "test/conformance/raft/core_sim_scripts.h"

#include <algorithm>
#include <string_view>

namespace blixard::core_sim {
namespace {

using raft::Message;
using raft::MessageType;

constexpr std::uint64_t kProgressTicks = 400;

void begin(Sim& sim) {
  sim.stop_clocks(true);
  sim.settle();
}

bool has_entry(const Message& message, LogIndex from) {
  return message.type == MessageType::kAppend && !message.entries.empty() &&
         message.entries.back().index >= from;
}

raft::ConfChange add(std::uint64_t id) {
  raft::ConfChange change;
  change.changes.push_back({raft::ConfChangeType::kAddVoter, NodeId(id)});
  return change;
}

// Figure 8 of the paper: an entry of an earlier term is on a majority, and yet it is overwritten.
void figure_8(Sim& sim) {
  begin(sim);
  if (!sim.elect(1)) return;
  for (const std::uint64_t other : {3, 4, 5})
    sim.cut_both(1, other);
  const std::uint64_t count = sim.chance().between(1, 3);
  for (std::uint64_t at = 0; at < count; ++at)
    sim.propose(1, sim.chance().below(30));  // on 1 and 2 only
  sim.settle();
  sim.crash(1);
  sim.heal();
  sim.set_drop([](const Message& message) {
    return message.from == NodeId(5) && message.type == MessageType::kAppend;
  });
  if (!sim.elect(5)) return;
  sim.crash(5);  // its first entry is nowhere else
  sim.restart(1);
  // What 1 finds in its log reaches 3 and 4, its own first entry nobody.
  const LogIndex own = sim.core(1)->last_index().next();
  sim.set_drop([own, &sim](const Message& message) {
    if (message.from != NodeId(1) || message.type != MessageType::kAppend) return false;
    if (message.to != NodeId(3) && message.to != NodeId(4)) return true;
    // Where it cannot be appended it only asks where the logs meet.
    return has_entry(message, own) && sim.core(message.to.value)->last_index() >= message.index;
  });
  if (!sim.elect(1)) return;
  sim.tick(1, 2);
  sim.settle();
  sim.crash(1);
  sim.set_drop({});
  sim.restart(5);
  if (!sim.elect(5)) return;
  sim.settle();
  sim.restart(1);
  sim.settle();
}

// Entries of an old leader are on their way to a disk; a new leader's take their places. The old
// write completes while the new ones are committed but not written.
void append_race(Sim& sim) {
  begin(sim);
  if (!sim.elect(1)) return;
  const std::uint64_t count = sim.chance().between(1, 4);
  for (const std::uint64_t other : {2, 4, 5})
    sim.cut_both(1, other);
  sim.hold_disk(3, true);
  for (std::uint64_t at = 0; at < count; ++at)
    sim.propose(1);  // under way to the disk of 3
  sim.settle();
  sim.isolate(1);
  sim.cut_both(2, 3);
  if (!sim.elect(2)) return;
  for (std::uint64_t at = 0; at < count + 1; ++at)
    sim.propose(2);  // committed by 2, 4 and 5
  sim.settle();
  sim.heal();
  sim.isolate(1);
  for (int at = 0; at < 6; ++at) {
    sim.tick(2, 2);
    sim.settle();
  }
  for (std::uint64_t at = 0; at < count; ++at) {
    sim.complete_one(3);
    sim.settle();
  }
  sim.hold_disk(3, false);
  sim.settle();
  sim.heal();
}

// A log with a long tail that nobody else has meets a leader who writes on from before it.
void divergent_tail(Sim& sim) {
  begin(sim);
  if (!sim.elect(1)) return;
  const std::uint64_t shared = sim.chance().between(1, 4);
  for (std::uint64_t at = 0; at < shared; ++at)
    sim.propose(1);
  sim.settle();
  sim.isolate(1);
  const std::uint64_t tail = sim.chance().between(3, 8);
  for (std::uint64_t at = 0; at < tail; ++at)
    sim.propose(1);
  sim.settle();
  if (!sim.elect(2)) return;
  const std::uint64_t newer = sim.chance().between(1, 10);
  for (std::uint64_t at = 0; at < newer; ++at)
    sim.propose(2);
  sim.settle();
  sim.heal();
  sim.set_weather({.shorten = 600, .delay_min = 1, .delay_max = 4, .straggler_max = 4});
  for (int at = 0; at < 10 && !sim.failed(); ++at) {
    sim.tick(2, 1);
    sim.settle();
  }
}

// Two changes under way at once: what the second makes of the first has majorities that do not
// meet those of the old configuration.
void two_changes(Sim& sim) {
  begin(sim);
  if (!sim.elect(1)) return;
  sim.settle();
  sim.isolate(3);
  const LogIndex first_change = sim.core(1)->last_index().next();
  sim.hold_disk(2, true);
  sim.change(1, add(4));
  sim.change(1, add(5));
  // 2 gets both, but never hears that they are committed.
  sim.set_drop([first_change](const Message& message) {
    return message.from == NodeId(1) && message.to == NodeId(2) && message.commit >= first_change;
  });
  sim.settle();
  sim.hold_disk(2, false);
  sim.settle();
  for (int at = 0; at < 4; ++at) {
    sim.tick(1, 1);
    sim.settle();
  }
  sim.heal();
  for (const std::uint64_t here : {1, 4, 5}) {
    for (const std::uint64_t there : {2, 3})
      sim.cut_both(here, there);
  }
  sim.propose(1);
  sim.settle();
  for (int at = 0; at < 4; ++at) {
    sim.tick(1, 1);
    sim.settle();
  }
  if (sim.failed()) return;
  if (sim.elect(2)) sim.propose(2);
  sim.settle();
  sim.heal();
  sim.set_drop({});
}

// A node that was cut off for long comes back to a cluster that works.
void returning_node(Sim& sim) {
  sim.stop_clocks(false);
  sim.run_for(60 * kTick);
  const std::uint64_t leader = sim.leader();
  if (leader == 0) return sim.checker().violate("progress", "nobody leads a quiet cluster");
  const Term term = sim.core(leader)->term();
  const std::uint64_t away = 1 + leader % 3;
  sim.isolate(away);
  sim.run_for(sim.chance().between(40, 120) * kTick);
  if (sim.chance().one_in(2)) {
    sim.crash(away);
    sim.restart(away);
  }
  sim.heal();
  sim.run_for(60 * kTick);
  if (sim.leader() == leader && sim.core(leader)->term() == term) return;
  sim.checker().violate("stable-leader", "a node that came back took leadership from who led");
}

// A learner was promoted and does not know it; without its vote nobody can lead.
void unaware_voter(Sim& sim) {
  begin(sim);
  if (!sim.elect(1)) return;
  sim.isolate(3);
  sim.propose(1);
  sim.change(1, add(3));
  sim.settle();
  for (int at = 0; at < 4; ++at) {
    sim.tick(1, 1);
    sim.settle();
  }
  sim.crash(1);
  sim.heal();
  sim.release();
  sim.finish(kProgressTicks, {2, 3});
  sim.restart(1);
}

// Leadership is to go to a node whose log is behind.
void lagging_successor(Sim& sim) {
  begin(sim);
  if (!sim.elect(1)) return;
  sim.isolate(3);
  const std::uint64_t missed = sim.chance().between(1, 6);
  for (std::uint64_t at = 0; at < missed; ++at)
    sim.propose(1);
  sim.settle();
  sim.heal();
  sim.transfer(1, 3);
  sim.settle();
}

// A new leader is asked before it committed anything: it may not know what was acknowledged.
void early_read(Sim& sim) {
  begin(sim);
  if (!sim.elect(1)) return;
  // 2 and 3 have what 1 commits but are not told.
  const LogIndex known = sim.core(1)->last_index();
  sim.set_drop([known](const Message& message) {
    return message.from == NodeId(1) && message.commit > known;
  });
  const std::uint64_t untold = sim.chance().between(1, 4);
  for (std::uint64_t at = 0; at < untold; ++at)
    sim.propose(1);
  sim.settle();
  sim.crash(1);
  // Nothing can be committed, but heartbeats are answered.
  sim.set_drop([](const Message& message) { return message.type == MessageType::kAppend; });
  if (!sim.elect(2)) return;
  sim.read(2);
  sim.read(3);
  sim.settle();
  sim.tick(2, 4);
  sim.settle();
  sim.set_drop({});
  sim.restart(1);
}

// A node with a slow disk gets the votes of all others and crashes before its disk has the term:
// it must not have led it, because it will ask for the same votes again.
void forgotten_term(Sim& sim) {
  begin(sim);
  sim.hold_disk(1, true);
  sim.set_drop([](const Message& message) {  // 5 alone gets what it writes
    return message.type == MessageType::kAppend && message.to != NodeId(5);
  });
  if (sim.elect(1)) sim.propose(1, sim.chance().below(20));
  sim.settle();
  sim.crash(1);
  sim.hold_disk(1, false);
  sim.restart(1);
  if (!sim.elect(1)) return;
  sim.propose(1, 50);
  sim.settle();
}

constexpr Script kScripts[] = {
    {.name = "figure-8", .voters = 5, .one_entry_a_message = true, .play = figure_8},
    {.name = "append-race",
     .voters = 5,
     .one_entry_a_message = false,
     .applies_before_durable = false,
     .play = append_race},
    {.name = "divergent-tail", .one_entry_a_message = true, .play = divergent_tail},
    {.name = "two-changes", .play = two_changes},
    {.name = "returning-node", .goes_on = false, .play = returning_node},
    {.name = "unaware-voter", .voters = 2, .learners = 1, .play = unaware_voter},
    {.name = "lagging-successor", .play = lagging_successor},
    {.name = "early-read", .play = early_read},
    {.name = "forgotten-term", .voters = 5, .play = forgotten_term},
};

}  // namespace

std::span<const Script> scripts() { return kScripts; }

const Script* find_script(const char* name) {
  const auto* found = std::find_if(std::begin(kScripts), std::end(kScripts), [&](const Script& s) {
    return std::string_view(s.name) == name;
  });
  return found == std::end(kScripts) ? nullptr : found;
}

void adjust(Plan& plan, const Script& script) {
  plan.initial = {};
  for (std::uint64_t id = 1; id <= script.voters; ++id)
    plan.initial.voters.emplace_back(id);
  for (std::uint64_t id = script.voters + 1; id <= script.voters + script.learners; ++id)
    plan.initial.learners.emplace_back(id);
  raft::Config config;
  config.applies_before_durable = script.applies_before_durable;
  if (script.one_entry_a_message) config.message_bytes_max = 0;
  config.inflight_messages_max = plan.config.inflight_messages_max;
  plan.config = config;
  plan.weather = {.delay_min = 1, .delay_max = 4, .straggler_max = 4};
  plan.disk_max = 4;
  plan.apply_max = 0;
}

Summary run(const Script& script, std::uint64_t seed) {
  Plan plan = plan_of(Mix::kQuiet, seed);
  adjust(plan, script);
  Sim sim(plan);
  script.play(sim);
  return sim.summary();
}

}  // namespace blixard::core_sim

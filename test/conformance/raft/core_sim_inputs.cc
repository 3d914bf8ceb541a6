// What scripts, clients and the end of a run do with a cluster.

#include <algorithm>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "core/raft/configuration.h"
#include "test/conformance/raft/core_sim.h"

namespace blixard::core_sim {

std::uint64_t Sim::leader() const {
  std::uint64_t best = 0;
  for (std::uint64_t id = 1; id < kNodesMax; ++id) {
    if (nodes_[id].core == nullptr || !nodes_[id].core->is_leader()) continue;
    if (best == 0 || nodes_[id].core->term() > nodes_[best].core->term()) best = id;
  }
  return best;
}

bool Sim::elect(std::uint64_t id) {
  constexpr int kNever = 1 << 24;
  for (int round = 0; round < 6 && !failed(); ++round) {
    if (core(id) == nullptr) return false;
    if (core(id)->is_leader()) return true;
    for (std::uint64_t other = 1; other < kNodesMax; ++other) {
      if (other == id || nodes_[other].core == nullptr) continue;
      nodes_[other].core->set_election_timeout(kNever);
      tick(other, plan_.config.election_ticks + 1);
    }
    settle();
    if (core(id) == nullptr || failed()) return false;
    ignore(nodes_[id].core->campaign(), "seen by its role");
    take_outputs(nodes_[id]);
    settle();
  }
  return core(id) != nullptr && core(id)->is_leader();
}

void Sim::propose(std::uint64_t id, std::size_t bytes) {
  Node& node = nodes_[id];
  if (node.core == nullptr) return;
  std::vector<raft::Entry> entries(1);
  std::string payload = fmt::format("{:08x}", next_id_++);
  payload.append(bytes, '.');
  entries.front().payload = Payload(std::move(payload));
  ignore(node.core->propose(std::move(entries)), "clients try again with another one");
  take_outputs(node);
}

void Sim::read(std::uint64_t id) {
  Node& node = nodes_[id];
  if (node.core == nullptr) return;
  const std::uint64_t sequence = next_id_++;
  checker_.reads(sequence);
  node.core->read_index({id, sequence});
  take_outputs(node);
}

void Sim::change(std::uint64_t id, const raft::ConfChange& change) {
  for (const raft::ConfChangeSingle& single : change.changes) {
    if (single.type == raft::ConfChangeType::kRemove) {
      removed_.insert(single.node.value);
    } else if (!nodes_[single.node.value].started) {
      start(single.node.value);
    }
  }
  if (nodes_[id].core == nullptr) return;
  ignore(nodes_[id].core->propose(change), "may be refused");
  take_outputs(nodes_[id]);
}

void Sim::transfer(std::uint64_t id, std::uint64_t to) {
  if (nodes_[id].core == nullptr) return;
  nodes_[id].core->transfer_leader(NodeId(to));
  take_outputs(nodes_[id]);
}

void Sim::isolate(std::uint64_t id) {
  for (std::uint64_t other = 1; other < kNodesMax; ++other)
    if (other != id) cut_both(id, other);
}

void Sim::cut_both(std::uint64_t a, std::uint64_t b) {
  network_.cut(a, b, true);
  network_.cut(b, a, true);
}

bool Sim::all_applied(const std::vector<std::uint64_t>& members, LogIndex index) const {
  return std::all_of(members.begin(), members.end(), [&](std::uint64_t id) {
    return nodes_[id].core != nullptr && nodes_[id].applied >= index;
  });
}

// What the end waits for: an entry of this leader, in a configuration that is not joint.
LogIndex Sim::propose_marker(std::uint64_t id) {
  Node& node = nodes_[id];
  if (raft::is_joint(node.configuration)) {
    change(id, {});
    return {};
  }
  propose(id);
  return node.core->is_leader() ? node.core->last_index() : LogIndex();
}

void Sim::finish(std::uint64_t ticks_max, std::vector<std::uint64_t> members) {
  const Time began = now_;
  const bool newest = members.empty();
  LogIndex goal;
  std::uint64_t leading = 0;
  Term term;
  while (!failed()) {
    const std::uint64_t now_leads = leader();
    if (now_leads != 0) {
      const Term now_term = nodes_[now_leads].core->term();
      if (!goal || leading != now_leads || term != now_term) goal = propose_marker(now_leads);
      leading = now_leads;
      term = now_term;
    }
    run_for(kTick * 2);
    if (newest) {
      members.clear();
      for (const NodeId id : raft::members(checker_.newest_configuration()))
        members.push_back(id.value);
    }
    sums_.finish_ticks = (now_ - began) / kTick;
    if (goal && goal.value < checker_.history().size() &&
        checker_.history()[goal.value].term == term && all_applied(members, goal))
      return;
    if (sums_.finish_ticks > ticks_max) {
      return checker_.violate(
          "progress",
          fmt::format("nothing is committed and applied by all within {} ticks", ticks_max));
    }
  }
}

Summary Sim::summary() const {
  Summary summary = sums_;
  summary.elections = checker_.elections();
  summary.commits = checker_.history().size() - 1;
  summary.reads = checker_.answered_reads();
  summary.hash = mixed(mixed(hash_, checker_.history().back().chain), now_);
  summary.violation = checker_.violation();
  summary.violated_at = violated_at_;
  return summary;
}

}  // namespace blixard::core_sim

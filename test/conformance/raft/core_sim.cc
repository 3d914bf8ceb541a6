#include "test/conformance/raft/core_sim.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/assert.h"
#include "core/raft/conf_change.h"
#include "core/raft/configuration.h"

namespace blixard::core_sim {
namespace {

constexpr Time kReportDelay = 3;
constexpr std::size_t kAppliedAtOnce = 4;

}  // namespace

Sim::Sim(const Plan& plan) : plan_(plan), chance_(plan.seed), checker_(plan.initial) {
  network_.set_weather(plan.weather);
  messages_.reserve(256);
  for (const NodeId id : raft::members(plan.initial))
    start(id.value);
}

void Sim::push(Time delay, Event event) {
  event.at = now_ + delay;
  event.order = ++order_;
  if (event.kind != EventKind::kTick && event.kind != EventKind::kClient &&
      event.kind != EventKind::kFault && event.kind != EventKind::kRestart)
    ++quiet_events_;
  queue_.push_back(event);
  std::push_heap(queue_.begin(), queue_.end(), [](const Event& a, const Event& b) {
    return a.at != b.at ? a.at > b.at : a.order > b.order;
  });
}

bool Sim::step_event() {
  if (queue_.empty() || failed()) return false;
  std::pop_heap(queue_.begin(), queue_.end(), [](const Event& a, const Event& b) {
    return a.at != b.at ? a.at > b.at : a.order > b.order;
  });
  const Event event = queue_.back();
  queue_.pop_back();
  now_ = std::max(now_, event.at);
  ++sums_.events;
  handle(event);
  if (failed() && violated_at_ == 0) violated_at_ = now_;
  return true;
}

void Sim::run_for(Time time) {
  const Time end = now_ + time;
  while (!queue_.empty() && queue_.front().at <= end && step_event()) {
  }
  now_ = std::max(now_, end);
}

void Sim::settle() {
  BLX_ASSERT(clocks_stopped_);
  // Clocks that are due meanwhile do nothing and go on.
  for (std::uint64_t guard = 0; quiet_events_ > 0 && guard < 100'000; ++guard) {
    if (!step_event()) return;
  }
}

bool Sim::is_alive(const Event& event) const {
  const Node& node = nodes_[event.node];
  return node.core != nullptr && node.life == event.life;
}

void Sim::handle(const Event& event) {
  if (event.kind == EventKind::kClient) return client();
  if (event.kind == EventKind::kFault) return fault();
  if (event.kind == EventKind::kRestart) return restart(event.node);
  if (event.kind != EventKind::kTick) --quiet_events_;
  if (event.kind == EventKind::kDeliver) return deliver(event);
  if (!is_alive(event)) return;
  Node& node = nodes_[event.node];
  switch (event.kind) {
    case EventKind::kTick:
      push(kTick + (chance_.one_in(16) ? chance_.below(3) : 0), event);
      if (!clocks_stopped_) tick(event.node, 1);
      return;
    case EventKind::kDisk:
      return disk_done(node);
    case EventKind::kApply:
      return apply_queued(node);
    case EventKind::kSaved:
      return saved(node, event);
    case EventKind::kLoaded:
      node.loading = false;
      node.disk.forget_below(LogIndex());
      node.core->entries_loaded();
      return take_outputs(node);
    case EventKind::kReport:
      node.core->report_snapshot(NodeId(event.value), event.flag);
      return take_outputs(node);
    case EventKind::kUnreachable:
      node.core->report_unreachable(NodeId(event.value));
      return take_outputs(node);
    default:
      return;
  }
}

void Sim::start(std::uint64_t id) {
  Node& node = nodes_[id];
  node.started = true;
  node.config = plan_.config;
  node.config.id = NodeId(id);
  node.config.seed = chance_.next();
  const std::optional<raft::SnapshotMeta> snapshot = node.disk.snapshot();
  node.applied = snapshot ? snapshot->index : LogIndex();
  node.configuration = snapshot ? snapshot->configuration : plan_.initial;
  node.view.load(node.disk);
  node.to_apply.clear();
  node.applying = node.loading = false;
  node.disk_free_at = now_;
  auto made = raft::Core::make(node.config, node.disk,
                               {node.disk.hard_state(), node.configuration, node.applied}, nullptr);
  if (!made) {
    checker_.violate("restart", fmt::format("node {}: {}", id, made.error().message()));
    return;
  }
  node.core = std::move(*made);
  node.commit = node.core->commit();
  checker_.commits(NodeId(id), node.core->term(), LogIndex(), node.commit, node.view);
  push(1 + chance_.below(kTick),
       {.kind = EventKind::kTick, .node = static_cast<std::uint32_t>(id), .life = node.life});
  take_outputs(node);
}

void Sim::crash(std::uint64_t id) {
  Node& node = nodes_[id];
  if (node.core == nullptr) return;
  node.core.reset();
  ++node.life;
  if (!node.disk.crash(chance_.below(node.disk.under_way() + 1)))
    checker_.violate("disk", fmt::format("node {} writes behind a gap", id));
  trace(id * 31 + 7);
}

void Sim::restart(std::uint64_t id) {
  if (nodes_[id].core == nullptr && nodes_[id].started) start(id);
}

void Sim::tick(std::uint64_t id, int times) {
  Node& node = nodes_[id];
  for (int at = 0; at < times && node.core != nullptr && !failed(); ++at) {
    ++sums_.ticks;
    node.core->tick();
    take_outputs(node);
    if (node.core->is_leader()) checker_.window(node.config.id, node.core->status(), node.config);
  }
}

void Sim::take_outputs(Node& node) {
  while (node.core->has_output() && !failed()) {
    raft::Output out = node.core->take_output();
    if (out.append) take_append(node, std::move(*out.append));
    note_commit(node);
    if (out.soft_state && out.soft_state->role == raft::Role::kLeader) {
      checker_.leads(node.config.id, node.core->term(), node.view);
      trace(node.core->term().value * 131 + node.config.id.value);
    }
    send(node, out.messages);
    for (const raft::ReadState& answer : out.reads)
      checker_.answers(node.config.id, answer);
    if (!out.committed.empty()) take_committed(node, out.committed);
  }
  if (node.evicted && !failed()) load_wanted(node);
}

void Sim::load_wanted(Node& node) {
  if (node.loading || node.core->entries_wanted().empty()) return;
  node.loading = true;
  push(chance_.between(plan_.disk_min, plan_.disk_max) * node.slowness,
       {.kind = EventKind::kLoaded,
        .node = static_cast<std::uint32_t>(node.config.id.value),
        .life = node.life});
}

void Sim::note_commit(Node& node) {
  const LogIndex commit = node.core->commit();
  if (commit == node.commit) return;
  checker_.commits(node.config.id, node.core->term(), node.commit, commit, node.view);
  node.commit = commit;
}

void Sim::take_append(Node& node, raft::Append append) {
  if (append.snapshot) {
    checker_.snapshots(node.config.id, *append.snapshot);
    node.view.reset(append.snapshot->index, append.snapshot->term);
    node.to_apply.clear();  // the snapshot has it
    ++sums_.installs;
  }
  for (const raft::Entry& entry : append.entries) {
    if (failed()) return;
    const std::uint64_t hash = hash_of(entry);
    if (entry.index <= node.view.base()) {
      checker_.violate("log-matching", "an entry before the snapshot is written again");
      return;
    }
    checker_.appends(node.config.id, node.view, entry, hash);
    if (failed()) return;
    node.view.append(entry.index, {entry.term, hash});
  }
  const bool synced = append.must_sync;
  node.disk.submit(std::move(append));
  if (node.disk_held) return;
  const Time latency = synced ? chance_.between(plan_.disk_min, plan_.disk_max) * node.slowness : 0;
  node.disk_free_at = std::max(node.disk_free_at, now_ + latency);
  schedule_disk(node);
}

void Sim::schedule_disk(Node& node) {
  const Time delay = node.disk_free_at > now_ ? node.disk_free_at - now_ : 0;
  push(delay, {.kind = EventKind::kDisk,
               .node = static_cast<std::uint32_t>(node.config.id.value),
               .life = node.life});
}

void Sim::hold_disk(std::uint64_t id, bool held) {
  Node& node = nodes_[id];
  node.disk_held = held;
  for (std::size_t at = 0; !held && node.core != nullptr && at < node.disk.under_way(); ++at)
    schedule_disk(node);
}

void Sim::release() {
  drop_ = {};
  clocks_stopped_ = false;
  for (std::uint64_t id = 1; id < kNodesMax; ++id)
    release(nodes_[id]);
}

void Sim::release(Node& node) {
  if (node.core == nullptr) return;
  if (node.disk_held) hold_disk(node.config.id.value, false);
  const int ticks = plan_.config.election_ticks;
  node.core->set_election_timeout(ticks +
                                  static_cast<int>(chance_.below(static_cast<unsigned>(ticks))));
}

void Sim::complete_one(std::uint64_t id) {
  if (nodes_[id].core != nullptr) disk_done(nodes_[id]);
}

void Sim::disk_done(Node& node) {
  if (node.disk.under_way() == 0) return;
  std::optional<raft::Append> append = node.disk.complete();
  if (!append) {
    checker_.violate("disk", fmt::format("node {} writes behind a gap", node.config.id.value));
    return;
  }
  trace(append->mark.last.value * 17 + node.config.id.value);
  if (append->snapshot && append->snapshot->index > node.applied) {
    node.applied = append->snapshot->index;
    node.configuration = append->snapshot->configuration;
  }
  for (raft::Message& message : append->responses) {
    check_message(node, message);
    if (message.to == node.config.id) {
      ignore(node.core->step(std::move(message)), "its own");
    } else {
      post(std::move(message));
    }
  }
  if (failed()) return;
  node.core->appended(append->mark);
  take_outputs(node);
}

const LogView* Sim::view_of_leader(Term term) const {
  for (const Node& node : nodes_) {
    if (node.core != nullptr && node.core->is_leader() && node.core->term() == term)
      return &node.view;
  }
  return nullptr;
}

void Sim::check_message(const Node& node, const raft::Message& message) {
  if (message.type == raft::MessageType::kAppendResponse ||
      message.type == raft::MessageType::kVoteResponse) {
    checker_.promises(message, node.disk, view_of_leader(message.term));
  } else if (message.type == raft::MessageType::kTimeoutNow) {
    checker_.hands_over(node.config.id, message.to, node.core->last_index(), node.core->term(),
                        nodes_[message.to.value].disk);
  }
}

void Sim::send(Node& node, std::vector<raft::Message>& messages) {
  for (raft::Message& message : messages) {
    check_message(node, message);
    if (failed()) return;
    // A member that is newer than the snapshot cannot install it; it needs one that knows it.
    const bool useless =
        message.type == raft::MessageType::kSnapshot &&
        !raft::contains(raft::members(message.snapshot->configuration), message.to);
    if (useless) snapshot(node.config.id.value, 0);
    post(std::move(message));
  }
}

void Sim::post(raft::Message message) {
  const std::uint64_t from = message.from.value;
  const std::uint64_t to = message.to.value;
  // A forwarded wish names who wishes; it leaves from the node that forwards it, which is as good.
  const bool dropped = (drop_ && drop_(message)) || from >= kNodesMax || to >= kNodesMax;
  const Network::Fate fate = dropped ? Network::Fate{} : network_.fate(chance_, from, to);
  const bool is_snapshot = message.type == raft::MessageType::kSnapshot;
  if (fate.copies == 0 && from < kNodesMax) {
    Event event{.kind = EventKind::kReport,
                .node = static_cast<std::uint32_t>(from),
                .life = nodes_[from].life,
                .value = to};
    if (is_snapshot) {
      push(kReportDelay * 4, event);
    } else if (chance_.one_in(8)) {
      event.kind = EventKind::kUnreachable;
      push(kReportDelay, event);
    }
  }
  network_.shorten(chance_, message);
  for (std::size_t copy = 0; copy < fate.copies; ++copy) {
    std::uint64_t place = messages_.size();
    if (free_messages_.empty()) {
      messages_.emplace_back();
    } else {
      place = free_messages_.back();
      free_messages_.pop_back();
    }
    const bool is_last = copy + 1 == fate.copies;
    messages_[place] = is_last ? std::move(message) : message;
    push(fate.delay[copy],
         {.kind = EventKind::kDeliver, .life = nodes_[from].life, .value = place});
  }
}

void Sim::deliver(const Event& event) {
  raft::Message message = std::move(messages_[event.value]);
  free_messages_.push_back(event.value);
  Node& node = nodes_[message.to.value];
  trace((static_cast<std::uint64_t>(message.type) << 32) + (message.term.value << 16) +
        message.index.value * 64 + message.from.value * 8 + message.to.value);
  if (message.type == raft::MessageType::kSnapshot) {
    push(kReportDelay, {.kind = EventKind::kReport,
                        .flag = node.core != nullptr,
                        .node = static_cast<std::uint32_t>(message.from.value),
                        .life = event.life,
                        .value = message.to.value});
  }
  if (node.core == nullptr) return;
  ignore(node.core->step(std::move(message)), "told by what follows");
  take_outputs(node);
}

void Sim::take_committed(Node& node, std::vector<raft::Entry>& entries) {
  for (raft::Entry& entry : entries) {
    checker_.applies(node.config.id, entry);
    node.to_apply.push_back(std::move(entry));
  }
  if (node.applying || failed()) return;
  node.applying = true;
  push(chance_.below(plan_.apply_max + 1),
       {.kind = EventKind::kApply,
        .node = static_cast<std::uint32_t>(node.config.id.value),
        .life = node.life});
}

void Sim::apply_queued(Node& node) {
  for (std::size_t at = 0; at < kAppliedAtOnce && !node.to_apply.empty(); ++at) {
    const raft::Entry entry = std::move(node.to_apply.front());
    node.to_apply.pop_front();
    if (entry.index <= node.applied) continue;
    if (entry.index != node.applied.next()) {
      checker_.violate("applied", fmt::format("node {} leaves out {}", node.config.id.value,
                                              node.applied.next().value));
      return;
    }
    node.applied = entry.index;
    if (entry.kind != raft::EntryKind::kNormal) {
      const Result<raft::ConfChange> change = raft::decode_conf_change(entry.payload.view());
      if (!change) return checker_.violate("applied", "a change that cannot be read");
      if (const auto applied = node.core->apply_conf_change(*change)) {
        if (node.configuration != *applied) ++sums_.changes;
        node.configuration = *applied;
      }
      checker_.configures(node.config.id, entry.index, node.configuration);
    }
  }
  node.core->applied(node.applied);
  node.applying = !node.to_apply.empty();
  if (node.applying) {
    push(chance_.below(plan_.apply_max + 1),
         {.kind = EventKind::kApply,
          .node = static_cast<std::uint32_t>(node.config.id.value),
          .life = node.life});
  }
  take_outputs(node);
}

void Sim::snapshot(std::uint64_t id, std::uint64_t keep) {
  Node& node = nodes_[id];
  if (node.core == nullptr || !node.applied || node.applied > node.disk.last()) return;
  const std::optional<Term> term = node.disk.term(node.applied);
  // A tail that is being overwritten may still be there.
  if (!term || *term != checker_.history()[node.applied.value].term) return;
  push(chance_.between(plan_.disk_min, plan_.disk_max) * 2 * node.slowness,
       {.kind = EventKind::kSaved,
        .node = static_cast<std::uint32_t>(id),
        .life = node.life,
        .value = (node.applied.value << 16) + keep});
}

void Sim::saved(Node& node, const Event& event) {
  const LogIndex index(event.value >> 16);
  const std::uint64_t keep = event.value & 0xffff;
  raft::SnapshotMeta meta{index, checker_.history()[index.value].term,
                          checker_.configuration_at(index)};
  node.disk.save_snapshot(std::move(meta));
  if (index.value > keep) node.disk.compact(LogIndex(index.value - keep));
}

}  // namespace blixard::core_sim

#include "test/conformance/raft/lockstep/group.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include "base/assert.h"
#include "core/raft/conf_change.h"

namespace blixard::raft::lockstep {
namespace {

Payload payload_of(std::size_t number) {
  std::string bytes(number % 4 * kPayloadUnit, '\0');
  for (std::size_t i = 0; i < 8 && !bytes.empty(); ++i)
    bytes[i] = static_cast<char>(number >> (8 * i));
  return Payload(std::move(bytes));
}

std::vector<NodeId> ids_of(std::uint64_t mask) {
  std::vector<NodeId> ids;
  for (std::uint64_t id = 1; id < 64; ++id) {
    if ((mask >> id & 1) != 0) ids.emplace_back(id);
  }
  return ids;
}

std::uint64_t code_of(const Result<void>& result) {
  if (result) return 0;
  if (result.error().reason() == "proposal_dropped") return 1;
  return result.error().reason() == "peer_unknown" ? 2 : 3;
}

}  // namespace

std::string Seen::text() const {
  std::string text = fmt::format(
      "{} worlds, {} elections won, {} entries applied, {} changes ({} joint, {} refused), "
      "{} snapshots installed, {} reads, {} proposals dropped\ninputs:",
      worlds, leaders, committed, changes, joint, refused_changes, snapshots, reads,
      dropped_proposals);
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const std::string words = describe({.op = static_cast<Op>(i)});
    text += fmt::format(" {}={}", words.substr(0, words.find(' ')), inputs[i]);
  }
  text += "\nmessages delivered by type:";
  for (std::size_t i = 1; i <= static_cast<std::size_t>(MessageType::kPropose); ++i)
    text += fmt::format(" {}={}", i, delivered[i]);
  return text;
}

ConfChange changes_of(const Input& input) {
  ConfChange change;
  const bool old_kind = (input.flags & kYes) != 0;
  if (!old_kind) change.transition = static_cast<ConfTransition>(input.a >> 8);
  const std::uint32_t count = old_kind ? 1 : input.a & 0xff;
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::uint64_t packed = input.b >> (16 * i);
    change.changes.push_back(
        {static_cast<ConfChangeType>((packed & 3) + 1), NodeId(packed >> 4 & 0xfff)});
  }
  return change;
}

Group::Group() {
  for (std::size_t i = 0; i < kPayloads; ++i)
    payloads_.push_back(payload_of(i));
}

void Group::begin(const Settings& settings) {
  settings_ = settings;
  nodes_.clear();
  pool_.clear();
  overflow_ = 0;
  small_bytes_ = 0;
  ++seen_.worlds;
  const ConfState conf{ids_of(settings.voters), ids_of(settings.learners), {}, {}, false};
  for (std::uint64_t id = 1; id <= settings.nodes; ++id) {
    auto node = std::make_unique<Node>();
    node->id = NodeId(id);
    if (((settings.voters | settings.learners) >> id & 1) != 0) {
      node->conf = conf;
      node->applied = LogIndex(settings.boot_index);
      node->disk.install({node->applied, Term(1), conf});
      node->disk.set_hard_state({Term(1), NodeId(), node->applied});
    }
    start(*node);
    nodes_.push_back(std::move(node));
  }
  canon_.begin(false);
}

void Group::start(Node& node) {
  Config config;
  config.id = node.id;
  config.seed = node.id.value;
  config.election_ticks = static_cast<int>(settings_.election_ticks);
  config.heartbeat_ticks = static_cast<int>(settings_.heartbeat_ticks);
  config.pre_vote = settings_.pre_vote != 0;
  config.check_quorum = settings_.check_quorum != 0;
  config.step_down_on_removal = false;
  config.forwards_proposals = settings_.no_forwarding == 0;
  config.lease_reads = settings_.leases != 0;
  config.message_bytes_max = settings_.message_bytes;
  config.committed_bytes_max = settings_.committed_bytes;
  config.uncommitted_bytes_max = settings_.uncommitted_bytes;
  config.unstable_bytes_max = kUnlimited;
  config.inflight_messages_max = settings_.inflight;
  config.inflight_bytes_max = 0;
  config.pending_reads_max = kUnlimited;
  config.series = Series::v3_4();
  auto core =
      Core::make(config, node.disk, {node.disk.hard_state(), node.conf, node.applied}, nullptr);
  BLX_ASSERT(core.has_value());
  node.core = std::move(*core);
}

void Group::send(Message message) {
  if (pool_.size() < kPoolMax) {
    pool_.push_back(std::move(message));
    return;
  }
  pool_[overflow_++ % kPoolMax] = std::move(message);
}

void Group::remove(std::size_t slot) {
  pool_.erase(pool_.begin() + static_cast<std::ptrdiff_t>(slot));
}

void Group::apply(Node& node, const Entry& entry) {
  node.applied = entry.index;
  ++seen_.committed;
  if (entry.kind == EntryKind::kNormal) return;
  const auto change = decode_conf_change(entry.payload.view());
  BLX_ASSERT(change.has_value());
  auto conf = node.core->apply_conf_change(*change);
  if (conf) {
    node.conf = std::move(*conf);
    ++seen_.changes;
    if (!node.conf.voters_outgoing.empty()) ++seen_.joint;
  } else {
    ++seen_.refused_changes;
  }
  canon_.put("refused", conf ? 0 : 1);
  canon_.conf("applied conf", node.conf);
}

bool Group::ready(Node& node) {
  if (!node.core->has_output()) return false;
  Output output = node.core->take_output();
  // Only reads that were refused: the reference drops those without a word.
  if (!output.soft_state && !output.append && output.messages.empty() && output.committed.empty() &&
      output.reads.empty()) {
    return false;
  }
  std::vector<Message> messages = std::move(output.messages);
  std::vector<Message> own;
  if (output.append) {
    for (Message& response : output.append->responses)
      (response.to == node.id ? own : messages).push_back(std::move(response));
  }
  canon_.ready(output, messages);
  seen_.reads += output.reads.size();
  if (output.soft_state && output.soft_state->role == Role::kLeader) ++seen_.leaders;
  if (output.append) {
    const Append& append = *output.append;
    if (append.hard_state) node.disk.set_hard_state(*append.hard_state);
    if (append.snapshot) {
      node.disk.install(*append.snapshot);
      node.conf = append.snapshot->configuration;
      node.applied = append.snapshot->index;
      ++seen_.snapshots;
    }
    node.disk.append(append.entries);
    for (const Entry& entry : append.entries) {
      if (node.core->is_leader() && entry.payload.size() < kPayloadUnit) {
        small_bytes_ += entry_bytes(entry);
      }
    }
  }
  for (Message& message : messages)
    send(std::move(message));
  for (const Entry& entry : output.committed)
    apply(node, entry);
  for (Message& response : own)
    ignore(node.core->step(std::move(response)), "what it says to itself is fine");
  if (output.append) node.core->appended(output.append->mark);
  if (!output.committed.empty()) node.core->applied(output.committed.back().index);
  return true;
}

void Group::tick(Node& node, std::uint32_t times) {
  for (std::uint32_t i = 0; i < times; ++i) {
    // The reference draws its timeouts where nobody can see it, so on neither side one is reached.
    if (!node.core->is_leader()) {
      node.core->set_election_timeout(std::numeric_limits<int>::max());
    }
    node.core->tick();
  }
}

std::uint64_t Group::propose(const Input& input, Node& node) {
  std::vector<Entry> entries;
  entries.reserve(input.b);
  for (std::uint64_t i = 0; i < input.b; ++i)
    entries.push_back({.term = {}, .index = {}, .payload = payloads_[(input.a + i) % kPayloads]});
  return code_of(node.core->propose(std::move(entries)));
}

std::uint64_t Group::deliver(const Input& input, Node& node) {
  Message message = pool_.at(input.a);
  if ((input.flags & kKeep) == 0) remove(input.a);
  BLX_ASSERT(message.to == node.id);
  ++seen_.delivered[static_cast<std::size_t>(message.type)];
  return code_of(node.core->step(std::move(message)));
}

void Group::restart(Node& node, bool from_snapshot) {
  if (from_snapshot) {
    node.conf = node.disk.newest_snapshot().configuration;
    node.applied = node.disk.newest_snapshot().index;
  }
  start(node);
}

std::uint64_t Group::act(const Input& input, Node& node) {
  const bool yes = (input.flags & kYes) != 0;
  Core& core = *node.core;
  switch (input.op) {
    case Op::kWorld:
      break;
    case Op::kCampaign:
      return code_of(core.campaign());
    case Op::kPropose:
      return propose(input, node);
    case Op::kProposeChange:
      return code_of(core.propose(changes_of(input),
                                  yes ? EntryKind::kConfigurationV1 : EntryKind::kConfiguration));
    case Op::kReadIndex:
      core.read_index({node.id.value, input.b});
      break;
    case Op::kTransfer:
      core.transfer_leader(NodeId(input.a));
      break;
    case Op::kTick:
      tick(node, input.a);
      break;
    case Op::kDeliver:
      return deliver(input, node);
    case Op::kDrop:
      remove(input.a);
      break;
    case Op::kRestart:
      restart(node, yes);
      break;
    case Op::kCompact:
      node.disk.take_snapshot(node.applied, node.conf);
      node.disk.compact(LogIndex(input.b));
      break;
    case Op::kUnreachable:
      core.report_unreachable(NodeId(input.a));
      break;
    case Op::kSnapshotStatus:
      core.report_snapshot(NodeId(input.a), yes);
      break;
    case Op::kReady:
      return ready(node) ? 1 : 0;
    case Op::kSnapshotAvailable:
      node.disk.set_available(yes);
      break;
  }
  return 0;
}

std::uint64_t Group::step(const Input& input) {
  canon_.begin((input.flags & kText) != 0);
  ++seen_.inputs[static_cast<std::size_t>(input.op)];
  Node& node = *nodes_.at(input.node - 1U);
  const std::uint64_t result = act(input, node);
  if (input.op == Op::kPropose && result == 1) ++seen_.dropped_proposals;
  canon_.put("result", result);
  bool handled = input.op == Op::kReady || input.op == Op::kRestart;
  if ((input.flags & kSettle) != 0) {
    while (ready(node))
      handled = true;
  }
  look(node, handled);
  return canon_.digest();
}

void Group::look(const Node& node, bool handled) {
  const Status status = node.core->status();
  canon_.note("\nnode");
  canon_.put("id", node.id.value);
  canon_.put("role", static_cast<std::uint64_t>(status.soft_state.role));
  canon_.put("leader", status.soft_state.leader.value);
  canon_.put("term", status.hard_state.term.value);
  canon_.put("vote", status.hard_state.vote.value);
  canon_.put("commit", status.hard_state.commit.value);
  canon_.put("applied", status.applied.value);
  canon_.put("transferee", status.transferee.value);
  const bool leads = status.soft_state.role == Role::kLeader;
  if (!leads && !handled) return;
  canon_.put("first", node.disk.first().value);
  canon_.put("last", node.disk.last().value);
  canon_.put("last term", node.disk.term(node.disk.last()).value_or(Term()).value);
  canon_.lists(status.configuration);
  if (!leads) return;
  for (const auto& [id, progress] : *status.progress)
    canon_.progress(id, progress);
}

}  // namespace blixard::raft::lockstep

#include "test/conformance/raft/lockstep/canon.h"

#include <fmt/format.h>

#include "base/assert.h"
#include "core/raft/conf_change.h"

namespace blixard::raft::lockstep {
namespace {

std::uint64_t kind_of(EntryKind kind) {
  switch (kind) {
    case EntryKind::kNormal:
      return 0;
    case EntryKind::kConfigurationV1:
      return 1;
    case EntryKind::kConfiguration:
      return 2;
  }
  return 99;
}

std::uint64_t first_bytes(std::string_view bytes) {
  std::uint64_t number = 0;
  for (std::size_t i = 0; i < 8; ++i) {
    number |= std::uint64_t{static_cast<unsigned char>(bytes[i])} << (8 * i);
  }
  return number;
}

}  // namespace

void Canon::begin(bool with_text) {
  digest_ = 0x9e3779b97f4a7c15ULL;
  with_text_ = with_text;
  text_.clear();
}

std::string Canon::words(const Message& message) {
  Canon canon;
  canon.begin(true);
  canon.message(message);
  return canon.text_;
}

void Canon::write(std::string_view name, std::uint64_t value) {
  text_ += fmt::format("{}={} ", name, value);
}

void Canon::note(std::string_view text) {
  if (with_text_) text_.append(text) += '\n';
}

void Canon::ids(std::string_view name, const std::vector<NodeId>& ids) {
  put(name, ids.size());
  for (const NodeId id : ids)
    put("", id.value);
}

void Canon::conf(std::string_view name, const ConfState& conf) {
  note(name);
  lists(conf);
  put("auto", conf.auto_leave ? 1 : 0);
}

void Canon::lists(const ConfState& conf) {
  ids("voters", conf.voters);
  ids("learners", conf.learners);
  ids("outgoing", conf.voters_outgoing);
  ids("next", conf.learners_next);
}

void Canon::read(ReadId read) {
  put("read", read.origin);
  put("", read.sequence);
}

void Canon::entry(const Entry& entry) {
  put("entry", entry.index.value);
  put("term", entry.term.value);
  put("type", kind_of(entry.kind));
  if (entry.kind != EntryKind::kNormal) {
    const auto change = decode_conf_change(entry.payload.view());
    BLX_ASSERT(change.has_value());
    put("transition", static_cast<std::uint64_t>(change->transition));
    put("changes", change->changes.size());
    for (const ConfChangeSingle& one : change->changes) {
      put("type", static_cast<std::uint64_t>(one.type) - 1);
      put("node", one.node.value);
    }
    return;
  }
  put("bytes", entry.payload.size());
  if (entry.payload.size() >= 8) put("content", first_bytes(entry.payload.view()));
}

void Canon::entries(std::string_view name, const std::vector<Entry>& entries) {
  put(name, entries.size());
  for (const Entry& one : entries)
    entry(one);
}

void Canon::snapshot(const SnapshotMeta* snapshot) {
  put("snapshot", snapshot == nullptr ? 0 : snapshot->index.value);
  if (snapshot == nullptr || !snapshot->index) return;
  put("term", snapshot->term.value);
  conf("conf", snapshot->configuration);
}

void Canon::message(const Message& message) {
  put("\nmessage", static_cast<std::uint64_t>(message.type));
  put("from", message.from.value);
  put("to", message.to.value);
  put("term", message.term.value);
  put("log term", message.log_term.value);
  put("index", message.index.value);
  put("commit", message.commit.value);
  put("reject", message.reject ? 1 : 0);
  put("hint", message.reject_hint.value);
  switch (message.type) {
    case MessageType::kVote:
    case MessageType::kPreVote:
      put("transfer", message.transfer ? 1 : 0);
      break;
    case MessageType::kHeartbeat:
    case MessageType::kHeartbeatResponse:
    case MessageType::kReadIndex:
    case MessageType::kReadIndexResponse:
      read(message.read);
      break;
    case MessageType::kSnapshot:
      snapshot(message.snapshot ? &*message.snapshot : nullptr);
      break;
    default:
      entries("entries", message.entries);
  }
}

void Canon::ready(const Output& output, const std::vector<Message>& messages) {
  note("\nready");
  put("soft", output.soft_state ? 1 : 0);
  if (output.soft_state) {
    put("leader", output.soft_state->leader.value);
    put("role", static_cast<std::uint64_t>(output.soft_state->role));
  }
  put("hard", output.hard_state ? 1 : 0);
  if (output.hard_state) {
    put("term", output.hard_state->term.value);
    put("vote", output.hard_state->vote.value);
    put("commit", output.hard_state->commit.value);
  }
  static const std::vector<Entry> none;
  const bool installs = output.append && output.append->snapshot;
  snapshot(installs ? &*output.append->snapshot : nullptr);
  entries("append", output.append ? output.append->entries : none);
  entries("committed", output.committed);
  put("sync", installs || (output.append && output.append->must_sync) ? 1 : 0);
  put("reads", output.reads.size());
  for (const ReadState& state : output.reads) {
    read(state.read);
    put("at", state.index.value);
  }
  put("messages", messages.size());
  for (const Message& one : messages)
    message(one);
}

void Canon::progress(NodeId node, const Progress& progress) {
  put("\nprogress", node.value);
  put("match", progress.match.value);
  put("next", progress.next.value);
  put("state", static_cast<std::uint64_t>(progress.state));
  put("pending", progress.pending_snapshot.value);
  put("active", progress.recent_active ? 1 : 0);
  put("paused", progress.flow_paused ? 1 : 0);
  put("learner", progress.is_learner ? 1 : 0);
  put("inflight", progress.inflights.count());
}

}  // namespace blixard::raft::lockstep

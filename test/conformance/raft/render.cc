#include "test/conformance/raft/render.h"

#include <array>
#include <utility>

#include <fmt/format.h>

#include "core/raft/conf_change.h"

namespace blixard::raft::interaction {
namespace {

using Named = std::pair<MessageType, std::string_view>;
constexpr std::array kMessageNames{
    Named{MessageType::kAppend, "MsgApp"},
    Named{MessageType::kAppendResponse, "MsgAppResp"},
    Named{MessageType::kVote, "MsgVote"},
    Named{MessageType::kVoteResponse, "MsgVoteResp"},
    Named{MessageType::kPreVote, "MsgPreVote"},
    Named{MessageType::kPreVoteResponse, "MsgPreVoteResp"},
    Named{MessageType::kSnapshot, "MsgSnap"},
    Named{MessageType::kHeartbeat, "MsgHeartbeat"},
    Named{MessageType::kHeartbeatResponse, "MsgHeartbeatResp"},
    Named{MessageType::kTimeoutNow, "MsgTimeoutNow"},
    Named{MessageType::kReadIndex, "MsgReadIndex"},
    Named{MessageType::kReadIndexResponse, "MsgReadIndexResp"},
    Named{MessageType::kTransferLeader, "MsgTransferLeader"},
    Named{MessageType::kPropose, "MsgProp"},
    Named{MessageType::kForgetLeader, "MsgForgetLeader"},
    Named{MessageType::kCampaign, "MsgHup"},
    Named{MessageType::kBeat, "MsgBeat"},
    Named{MessageType::kCheckQuorum, "MsgCheckQuorum"},
    Named{MessageType::kUnreachable, "MsgUnreachable"},
    Named{MessageType::kSnapshotStatus, "MsgSnapStatus"},
};

// As Go prints a list of numbers.
std::string listed(const std::vector<NodeId>& nodes) {
  std::string text = "[";
  for (const NodeId node : nodes)
    text += fmt::format("{}{}", text.size() > 1 ? " " : "", node.value);
  return text + "]";
}

char letter_of(ConfChangeType type) {
  switch (type) {
    case ConfChangeType::kAddVoter:
      return 'v';
    case ConfChangeType::kAddLearner:
      return 'l';
    case ConfChangeType::kRemove:
      return 'r';
    case ConfChangeType::kUpdate:
      return 'u';
  }
  return '?';
}

std::string described_change(const Entry& entry) {
  const Result<ConfChange> change = decode_conf_change(entry.payload.view());
  if (!change) return " " + change.error().message();
  std::string text;
  for (const ConfChangeSingle& single : change->changes)
    text += fmt::format(" {}{}", letter_of(single.type), single.node.value);
  return text;
}

std::string described_entries(const std::vector<Entry>& entries, Form form,
                              std::string_view indent) {
  if (entries.empty()) return {};
  if (entries.size() == 1) return fmt::format(" Entries:[{}]", describe(entries.front()));
  std::string text = " Entries:[";
  for (std::size_t i = 0; i < entries.size(); ++i) {
    if (form == Form::kCurrent) {
      text += fmt::format("\n{}  {}", indent, describe(entries[i]));
    } else {
      text += (i == 0 ? "" : ", ") + describe(entries[i]);
    }
  }
  return text + (form == Form::kCurrent ? fmt::format("\n{}]", indent) : "]");
}

std::string described_snapshot(const std::optional<SnapshotMeta>& snapshot, Form form,
                               std::string_view indent) {
  if (!snapshot || !snapshot->index) return {};
  if (form == Form::k34) return " Snapshot: " + describe(*snapshot);
  return fmt::format("\n{}  Snapshot: {}", indent, describe(*snapshot));
}

std::string described_reads(const Output& output) {
  std::string text;
  for (const ReadState& state : output.reads) {
    text += fmt::format("{}{{{} {}/{}}}", text.empty() ? "ReadStates [" : " ", state.index.value,
                        state.read.origin, state.read.sequence);
  }
  if (!text.empty()) text += "]\n";
  for (const ReadId& refused : output.refused_reads)
    text += fmt::format("RefusedRead {}/{}\n", refused.origin, refused.sequence);
  return text;
}

}  // namespace

ProgressRules rules_of(Form form) {
  return form == Form::k34 ? ProgressRules::v3_4() : ProgressRules{};
}

std::string quoted(std::string_view bytes) {
  std::string text = "\"";
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      text += '\\';
      text += c;
    } else if (c == '\n') {
      text += "\\n";
    } else if (c == '\t') {
      text += "\\t";
    } else if (c == '\r') {
      text += "\\r";
    } else if (byte < 0x20 || byte >= 0x7f) {
      text += fmt::format("\\x{:02x}", byte);
    } else {
      text += c;
    }
  }
  return text + '"';
}

std::string_view name_of(Role role) {
  switch (role) {
    case Role::kFollower:
      return "StateFollower";
    case Role::kPreCandidate:
      return "StatePreCandidate";
    case Role::kCandidate:
      return "StateCandidate";
    case Role::kLeader:
      return "StateLeader";
  }
  return "?";
}

std::string_view name_of(MessageType type) {
  for (const auto& [known, name] : kMessageNames) {
    if (known == type) return name;
  }
  return "?";
}

std::optional<MessageType> message_type(std::string_view name) {
  for (const auto& [type, known] : kMessageNames) {
    if (known == name) return type;
  }
  return std::nullopt;
}

std::string describe(const HardState& state) {
  const std::string vote = state.vote ? fmt::format(" Vote:{}", state.vote.value) : std::string();
  return fmt::format("Term:{}{} Commit:{}", state.term.value, vote, state.commit.value);
}

std::string describe(const SoftState& state) {
  return fmt::format("Lead:{} State:{}", state.leader.value, name_of(state.role));
}

std::string describe(const SnapshotMeta& snapshot) {
  const ConfState& conf = snapshot.configuration;
  return fmt::format(
      "Index:{} Term:{} ConfState:Voters:{} VotersOutgoing:{} Learners:{} LearnersNext:{} "
      "AutoLeave:{}",
      snapshot.index.value, snapshot.term.value, listed(conf.voters), listed(conf.voters_outgoing),
      listed(conf.learners), listed(conf.learners_next), conf.auto_leave);
}

std::string describe(const Entry& entry) {
  const std::string place = fmt::format("{}/{} ", entry.term.value, entry.index.value);
  switch (entry.kind) {
    case EntryKind::kNormal:
      return place + "EntryNormal " + quoted(entry.payload.view());
    case EntryKind::kConfiguration:
      return place + "EntryConfChangeV2" + described_change(entry);
    case EntryKind::kConfigurationV1:
      return place + "EntryConfChange" + described_change(entry);
  }
  return place + "?";
}

std::string describe(const std::vector<Entry>& entries) {
  std::string text;
  for (const Entry& entry : entries)
    text += describe(entry) + "\n";
  return text;
}

std::string describe(const Message& message, Form form, std::string_view indent) {
  std::string text = fmt::format("{}{:x}->{:x} {} Term:{} Log:{}/{}", indent, message.from.value,
                                 message.to.value, name_of(message.type), message.term.value,
                                 message.log_term.value, message.index.value);
  if (message.reject) text += fmt::format(" Rejected (Hint: {})", message.reject_hint.value);
  if (message.commit) text += fmt::format(" Commit:{}", message.commit.value);
  // The reference has the context of a read in the message and does not show it; we do.
  if (!message.read.none())
    text += fmt::format(" Read:{}/{}", message.read.origin, message.read.sequence);
  text += described_entries(message.entries, form, indent);
  text += described_snapshot(message.snapshot, form, indent);
  return text;
}

std::optional<std::string> describe_appended(NodeId node, const Append& append,
                                             std::string_view indent) {
  if (!append.mark.last && !append.mark.snapshot) return std::nullopt;
  return fmt::format("{}AppendThread->{:x} MsgStorageAppendResp Term:{} Log:{}/{}{}", indent,
                     node.value, append.mark.term.value, append.mark.last_term.value,
                     append.mark.last.value,
                     described_snapshot(append.snapshot, Form::kCurrent, indent));
}

std::string describe_append(NodeId node, const Append& append, Responses shown) {
  const HardState state = append.hard_state.value_or(HardState{});
  std::string text = fmt::format("{:x}->AppendThread MsgStorageAppend Term:{} Log:0/0", node.value,
                                 state.term.value);
  if (state.commit) text += fmt::format(" Commit:{}", state.commit.value);
  if (state.vote) text += fmt::format(" Vote:{}", state.vote.value);
  text += described_entries(append.entries, Form::kCurrent, "");
  text += described_snapshot(append.snapshot, Form::kCurrent, "");
  const std::optional<std::string> appended = describe_appended(node, append, "  ");
  if (shown == Responses::kHidden || (append.responses.empty() && !appended)) return text;
  text += " Responses:[";
  for (const Message& response : append.responses)
    text += "\n" + describe(response, Form::kCurrent, "  ");
  if (appended) text += "\n" + *appended;
  return text + "\n]";
}

std::string describe_applied(NodeId node, const std::vector<Entry>& entries,
                             std::string_view indent) {
  return fmt::format("{}ApplyThread->{:x} MsgStorageApplyResp Term:0 Log:0/0{}", indent, node.value,
                     described_entries(entries, Form::kCurrent, indent));
}

std::string describe_apply(NodeId node, const std::vector<Entry>& entries, Responses shown) {
  std::string text = fmt::format("{:x}->ApplyThread MsgStorageApply Term:0 Log:0/0{}", node.value,
                                 described_entries(entries, Form::kCurrent, ""));
  if (shown == Responses::kShown)
    text += fmt::format(" Responses:[\n{}\n]", describe_applied(node, entries, "  "));
  return text;
}

std::string describe_ready(const Output& output, bool must_sync,
                           const std::vector<std::string>& messages) {
  std::string text;
  if (output.soft_state) text += describe(*output.soft_state) + "\n";
  if (output.hard_state) text += "HardState " + describe(*output.hard_state) + "\n";
  text += described_reads(output);
  if (output.append && !output.append->entries.empty())
    text += "Entries:\n" + describe(output.append->entries);
  if (output.append && output.append->snapshot)
    text += "Snapshot " + describe(*output.append->snapshot) + "\n";
  if (!output.committed.empty()) text += "CommittedEntries:\n" + describe(output.committed);
  if (!messages.empty()) text += "Messages:\n";
  for (const std::string& message : messages)
    text += message + "\n";
  if (text.empty()) return "<empty Ready>";
  return fmt::format("Ready MustSync={}:\n{}", must_sync, text);
}

}  // namespace blixard::raft::interaction

#include "core/raft/message_check.h"

#include "core/raft/configuration.h"

namespace blixard::raft {
namespace {

std::unexpected<Error> invalid(const char* why) {
  return fail(Code::kInvalidArgument, "message_invalid", why);
}

bool is_known(EntryKind kind) {
  return kind == EntryKind::kNormal || kind == EntryKind::kConfiguration ||
         kind == EntryKind::kConfigurationV1;
}

bool is_known(MessageType type) {
  return type >= MessageType::kAppend && type <= MessageType::kSnapshotStatus;
}

// Those that ask a leader for something carry no term; everything else speaks for one.
bool has_no_term(MessageType type) {
  return type == MessageType::kPropose || type == MessageType::kReadIndex;
}

// What a node says to itself through Append::responses, and a forwarded wish that it shall lead.
bool may_come_from_self(MessageType type) {
  return type == MessageType::kAppendResponse || type == MessageType::kVoteResponse ||
         type == MessageType::kPreVoteResponse || type == MessageType::kTransferLeader;
}

Result<void> check_numbers(const Message& message) {
  if (message.term.value > kNumberMax || message.log_term.value > kNumberMax)
    return invalid("a term is too large");
  if (message.index.value > kNumberMax || message.commit.value > kNumberMax ||
      message.reject_hint.value > kNumberMax)
    return invalid("an index is too large");
  return {};
}

Result<void> check_append(const Message& message) {
  if (message.log_term > message.term) return invalid("log_term is in the future");
  if (!message.index != !message.log_term) return invalid("index and log_term do not fit");
  Term term = message.log_term;
  LogIndex index = message.index;
  for (const Entry& entry : message.entries) {
    index = index.next();
    if (entry.index != index) return invalid("entries are not consecutive");
    if (!entry.term || entry.term < term || entry.term > message.term)
      return invalid("entries have impossible terms");
    if (!is_known(entry.kind)) return invalid("an entry is of no known kind");
    term = entry.term;
  }
  return {};
}

Result<void> check_snapshot(const Message& message) {
  if (!message.snapshot) return invalid("a snapshot message without one");
  const SnapshotMeta& snapshot = *message.snapshot;
  if (!snapshot.index || snapshot.index.value > kNumberMax) return invalid("snapshot index");
  if (!snapshot.term || snapshot.term > message.term) return invalid("snapshot term");
  BLX_TRY(check_conf_state(snapshot.configuration));
  if (snapshot.configuration.voters.empty()) return invalid("a snapshot without voters");
  return {};
}

Result<void> check_by_type(const Message& message) {
  switch (message.type) {
    case MessageType::kAppend:
      return check_append(message);
    case MessageType::kSnapshot:
      return check_snapshot(message);
    case MessageType::kPropose:
      if (message.entries.empty()) return invalid("a proposal of nothing");
      for (const Entry& entry : message.entries) {
        if (!is_known(entry.kind)) return invalid("an entry is of no known kind");
      }
      return {};
    case MessageType::kReadIndex:
    case MessageType::kReadIndexResponse:
      if (message.read.none()) return invalid("a read without an id");
      return {};
    default:
      return {};
  }
}

}  // namespace

Result<void> check_message(const Message& message, NodeId self) {
  if (!is_known(message.type)) return invalid("of no known type");
  if (is_local(message.type)) return invalid("of a local type");
  if (!message.from) return invalid("from nobody");
  if (message.to && message.to != self) return invalid("for another node");
  if (message.from == self && !may_come_from_self(message.type)) return invalid("from ourselves");
  if (message.type == MessageType::kForgetLeader) return invalid("of a local type");
  if (!message.term != has_no_term(message.type)) return invalid("term");
  if (message.type != MessageType::kAppend && message.type != MessageType::kPropose &&
      !message.entries.empty())
    return invalid("entries where none belong");
  if (message.type != MessageType::kSnapshot && message.snapshot.has_value())
    return invalid("a snapshot where none belongs");
  BLX_TRY(check_numbers(message));
  return check_by_type(message);
}

}  // namespace blixard::raft

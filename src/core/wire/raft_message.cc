#include "core/wire/raft_message.h"

#include <algorithm>

#include "base/assert.h"
#include "core/wire/little_endian.h"

namespace blixard::wire {

namespace {

// A row of the table: term, index, length of the payload, kind.
constexpr std::size_t kRowBytes = 24;
constexpr std::size_t kRowTermAt = 0;
constexpr std::size_t kRowIndexAt = 8;
constexpr std::size_t kRowLengthAt = 16;
constexpr std::size_t kRowKindAt = 20;  // 4 bytes, the upper three 0
static_assert(kRowBytes == raft::kEntryOverheadBytes);

// The numbers of the schema are those of the type.
static_assert(static_cast<int>(raft::MessageType::kAppend) == v1::RAFT_MESSAGE_TYPE_APPEND);
static_assert(static_cast<int>(raft::MessageType::kSnapshot) == v1::RAFT_MESSAGE_TYPE_SNAPSHOT);
static_assert(static_cast<int>(raft::MessageType::kReadIndexResponse) ==
              v1::RAFT_MESSAGE_TYPE_READ_INDEX_RESPONSE);
static_assert(static_cast<int>(raft::MessageType::kForgetLeader) ==
              v1::RAFT_MESSAGE_TYPE_FORGET_LEADER);
static_assert(static_cast<int>(raft::MessageType::kCampaign) == v1::RaftMessageType_MAX + 1);

std::unexpected<Error> invalid() { return fail(Code::kInvalidArgument, "message_invalid"); }

template <class List>
void to_list(const std::vector<NodeId>& from, List& into) {
  for (const NodeId node : from)
    into.Add(node.value);
}

template <class List>
Result<std::vector<NodeId>> from_list(const List& from) {
  std::vector<NodeId> nodes;
  nodes.reserve(static_cast<std::size_t>(from.size()));
  for (const std::uint64_t node : from) {
    if (NodeId(node) <= (nodes.empty() ? NodeId() : nodes.back())) return invalid();
    nodes.push_back(NodeId(node));
  }
  return nodes;
}

Result<raft::SnapshotMeta> snapshot_of(const v1::RaftSnapshotMeta& from) {
  raft::SnapshotMeta meta{.index = LogIndex(from.index()), .term = Term(from.term())};
  const v1::RaftConfiguration& lists = from.configuration();
  BLX_TRY(meta.configuration.voters, from_list(lists.voters()));
  BLX_TRY(meta.configuration.learners, from_list(lists.learners()));
  BLX_TRY(meta.configuration.voters_outgoing, from_list(lists.voters_outgoing()));
  BLX_TRY(meta.configuration.learners_next, from_list(lists.learners_next()));
  meta.configuration.auto_leave = lists.auto_leave();
  if (!meta.index || !meta.term || meta.configuration.voters.empty()) return invalid();
  return meta;
}

// What an append promises of its entries: they follow the one it names, in terms that do not fall
// and do not exceed the sender's.
bool follow_each_other(const raft::Message& message) {
  LogIndex index = message.index;
  Term term = message.log_term;
  for (const raft::Entry& entry : message.entries) {
    if (index.value == UINT64_MAX || entry.index != index.next() || entry.term < term ||
        entry.term > message.term || !entry.term) {
      return false;
    }
    index = entry.index;
    term = entry.term;
  }
  return true;
}

Result<std::vector<raft::Entry>> read_entries(std::size_t count, const Payload& tail) {
  std::vector<raft::Entry> entries;
  const std::string_view bytes = tail.view();
  if (count > bytes.size() / kRowBytes) return invalid();
  std::size_t at = count * kRowBytes;
  entries.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    const char* row = bytes.data() + i * kRowBytes;
    const std::uint32_t length = load32(row + kRowLengthAt);
    const std::uint32_t kind = load32(row + kRowKindAt);
    if (length > bytes.size() - at || kind == 0 ||
        kind > static_cast<std::uint32_t>(raft::EntryKind::kConfigurationV1)) {
      return invalid();
    }
    entries.push_back({.term = Term(load64(row + kRowTermAt)),
                       .index = LogIndex(load64(row + kRowIndexAt)),
                       .kind = static_cast<raft::EntryKind>(kind),
                       .payload = length == 0 ? Payload() : tail.part(at, length)});
    at += length;
  }
  if (at != bytes.size()) return invalid();
  return entries;
}

}  // namespace

void to_proto(const raft::Message& message, v1::RaftMessage& into) {
  into.set_type(static_cast<v1::RaftMessageType>(message.type));
  into.set_to(message.to.value);
  into.set_term(message.term.value);
  into.set_log_term(message.log_term.value);
  into.set_index(message.index.value);
  into.set_commit(message.commit.value);
  into.set_reject(message.reject);
  into.set_reject_hint(message.reject_hint.value);
  into.set_transfer(message.transfer);
  into.set_read_origin(message.read.origin);
  into.set_read_sequence(message.read.sequence);
  into.set_entries(static_cast<std::uint32_t>(message.entries.size()));
  if (!message.snapshot) return;
  v1::RaftSnapshotMeta& meta = *into.mutable_snapshot();
  meta.set_index(message.snapshot->index.value);
  meta.set_term(message.snapshot->term.value);
  v1::RaftConfiguration& lists = *meta.mutable_configuration();
  to_list(message.snapshot->configuration.voters, *lists.mutable_voters());
  to_list(message.snapshot->configuration.learners, *lists.mutable_learners());
  to_list(message.snapshot->configuration.voters_outgoing, *lists.mutable_voters_outgoing());
  to_list(message.snapshot->configuration.learners_next, *lists.mutable_learners_next());
  lists.set_auto_leave(message.snapshot->configuration.auto_leave);
}

void write_entries(const raft::Message& message, FrameWriter& writer) {
  char* row = writer.grow(message.entries.size() * kRowBytes);
  for (const raft::Entry& entry : message.entries) {
    store64(row + kRowTermAt, entry.term.value);
    store64(row + kRowIndexAt, entry.index.value);
    store32(row + kRowLengthAt, static_cast<std::uint32_t>(entry.payload.size()));
    store32(row + kRowKindAt, static_cast<std::uint32_t>(entry.kind));
    row += kRowBytes;
  }
  for (const raft::Entry& entry : message.entries)
    writer.refer(entry.payload.view());
}

Result<raft::Message> from_proto(const v1::RaftMessage& from, const Payload& tail) {
  if (from.type() <= v1::RAFT_MESSAGE_TYPE_UNSPECIFIED || from.type() > v1::RaftMessageType_MAX) {
    return invalid();
  }
  raft::Message message{
      .type = static_cast<raft::MessageType>(from.type()),
      .to = NodeId(from.to()),
      .term = Term(from.term()),
      .log_term = Term(from.log_term()),
      .index = LogIndex(from.index()),
      .commit = LogIndex(from.commit()),
      .reject = from.reject(),
      .reject_hint = LogIndex(from.reject_hint()),
      .transfer = from.transfer(),
      .read = {.origin = from.read_origin(), .sequence = from.read_sequence()},
  };
  BLX_TRY(message.entries, read_entries(from.entries(), tail));
  if (message.type == raft::MessageType::kAppend && !follow_each_other(message)) return invalid();
  if (from.has_snapshot() != (message.type == raft::MessageType::kSnapshot)) return invalid();
  if (from.has_snapshot()) {
    BLX_TRY(message.snapshot, snapshot_of(from.snapshot()));
  }
  return message;
}

}  // namespace blixard::wire

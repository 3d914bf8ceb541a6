#include "core/raft/conf_change.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "base/limits.h"
#include "core/raft/configuration.h"

namespace blixard::raft {
namespace {

std::unexpected<Error> invalid(const char* why) {
  return fail(Code::kInvalidArgument, "conf_change_invalid", why);
}

void insert(std::vector<NodeId>& list, NodeId node) {
  const auto at = std::ranges::lower_bound(list, node);
  if (at == list.end() || *at != node) list.insert(at, node);
}

void erase(std::vector<NodeId>& list, NodeId node) {
  const auto [begin, end] = std::ranges::equal_range(list, node);
  list.erase(begin, end);
}

// A configuration under change: what the functions of the header answer with.
class Draft {
 public:
  Draft(const Tracker& tracker, LogIndex next)
      : tracker_(tracker), next_(next), changed_{tracker.configuration(), tracker.progress()} {}

  [[nodiscard]] ConfState& configuration() { return changed_.configuration; }
  [[nodiscard]] Changed take() { return std::move(changed_); }

  Result<void> apply(std::span<const ConfChangeSingle> changes) {
    for (const ConfChangeSingle& change : changes) {
      if (!change.node) continue;
      switch (change.type) {
        case ConfChangeType::kAddVoter:
          make_voter(change.node);
          break;
        case ConfChangeType::kAddLearner:
          make_learner(change.node);
          break;
        case ConfChangeType::kRemove:
          remove(change.node);
          break;
        case ConfChangeType::kUpdate:
          break;
        default:
          return invalid("unknown type of change");
      }
    }
    if (configuration().voters.empty()) return invalid("removed all voters");
    if (changed_.progress.size() > limits::kConfMembers) return invalid("too many members");
    return {};
  }

  void leave() {
    ConfState& conf = configuration();
    for (const NodeId node : conf.learners_next) {
      insert(conf.learners, node);
      changed_.progress.at(node).is_learner = true;
    }
    for (const NodeId node : conf.voters_outgoing) {
      if (!contains(conf.voters, node) && !contains(conf.learners, node)) {
        changed_.progress.erase(node);
      }
    }
    conf.learners_next.clear();
    conf.voters_outgoing.clear();
    conf.auto_leave = false;
  }

 private:
  void make_voter(NodeId node) {
    changed_.progress.try_emplace(node, tracker_.new_progress(next_, false))
        .first->second.is_learner = false;
    erase(configuration().learners, node);
    erase(configuration().learners_next, node);
    insert(configuration().voters, node);
  }

  void make_learner(NodeId node) {
    auto [member, is_new] = changed_.progress.try_emplace(node, tracker_.new_progress(next_, true));
    if (!is_new && member->second.is_learner) return;
    erase(configuration().voters, node);
    // A voter of the outgoing list stays one until the joint configuration is left.
    const bool must_wait = contains(configuration().voters_outgoing, node);
    member->second.is_learner = !must_wait;
    insert(must_wait ? configuration().learners_next : configuration().learners, node);
  }

  void remove(NodeId node) {
    erase(configuration().voters, node);
    erase(configuration().learners, node);
    erase(configuration().learners_next, node);
    if (!contains(configuration().voters_outgoing, node)) changed_.progress.erase(node);
  }

  const Tracker& tracker_;
  LogIndex next_;
  Changed changed_;
};

constexpr char kFormat = 1;
constexpr std::size_t kHeadBytes = 4;
constexpr std::size_t kChangeBytes = 9;
constexpr std::size_t kLengthBytes = 4;

void put(std::string& to, std::uint64_t number, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; ++i)
    to += static_cast<char>(number >> (8 * i) & 0xff);
}

// Precondition: so many bytes are there.
std::uint64_t take(std::string_view& from, std::size_t bytes) {
  std::uint64_t number = 0;
  for (std::size_t i = 0; i < bytes; ++i) {
    number |= std::uint64_t{static_cast<unsigned char>(from[i])} << (8 * i);
  }
  from.remove_prefix(bytes);
  return number;
}

}  // namespace

bool leaves_joint(const ConfChange& change) {
  return change.transition == ConfTransition::kAuto && change.changes.empty();
}

std::optional<bool> enters_joint(const ConfChange& change) {
  if (change.transition == ConfTransition::kAuto && change.changes.size() <= 1) return std::nullopt;
  return change.transition != ConfTransition::kJointExplicit;
}

Result<Changed> apply_simple(const Tracker& tracker, std::span<const ConfChangeSingle> changes,
                             LogIndex next) {
  if (is_joint(tracker.configuration())) {
    return invalid("can't apply simple config change in joint config");
  }
  Draft draft(tracker, next);
  BLX_TRY(draft.apply(changes));
  std::vector<NodeId> differing;
  std::ranges::set_symmetric_difference(
      tracker.configuration().voters, draft.configuration().voters, std::back_inserter(differing));
  if (differing.size() > 1) {
    return invalid("more than one voter changed without entering joint config");
  }
  return draft.take();
}

Result<Changed> enter_joint(const Tracker& tracker, std::span<const ConfChangeSingle> changes,
                            bool auto_leave, LogIndex next) {
  if (is_joint(tracker.configuration())) return invalid("config is already joint");
  if (tracker.configuration().voters.empty()) {
    return invalid("can't make a zero-voter config joint");
  }
  Draft draft(tracker, next);
  draft.configuration().voters_outgoing = draft.configuration().voters;
  BLX_TRY(draft.apply(changes));
  draft.configuration().auto_leave = auto_leave;
  return draft.take();
}

Result<Changed> leave_joint(const Tracker& tracker) {
  if (!is_joint(tracker.configuration())) return invalid("can't leave a non-joint config");
  Draft draft(tracker, LogIndex());
  draft.leave();
  return draft.take();
}

Result<Changed> apply_conf_change(const Tracker& tracker, const ConfChange& change, LogIndex next) {
  if (change.changes.size() > limits::kConfChanges) return invalid("too many changes");
  if (leaves_joint(change)) return leave_joint(tracker);
  if (const auto auto_leave = enters_joint(change)) {
    return enter_joint(tracker, change.changes, *auto_leave, next);
  }
  return apply_simple(tracker, change.changes, next);
}

Result<Changed> restore_conf_state(const Tracker& tracker, const ConfState& saved, LogIndex next) {
  BLX_TRY(check_conf_state(saved));
  Changed restored{saved, {}};
  for (const NodeId node : members(saved)) {
    restored.progress.emplace(node, tracker.new_progress(next, is_learner(saved, node)));
  }
  return restored;
}

Payload encode_conf_change(const ConfChange& change) {
  BLX_ASSERT(change.changes.size() <= limits::kConfChanges);
  BLX_ASSERT(change.context.size() <= limits::kConfChangeContextBytes);
  std::string bytes(1, kFormat);
  put(bytes, static_cast<std::uint64_t>(change.transition), 1);
  put(bytes, change.changes.size(), 2);
  for (const ConfChangeSingle& single : change.changes) {
    put(bytes, static_cast<std::uint64_t>(single.type), 1);
    put(bytes, single.node.value, 8);
  }
  put(bytes, change.context.size(), kLengthBytes);
  bytes += change.context.view();
  return Payload(std::move(bytes));
}

Result<ConfChange> decode_conf_change(std::string_view bytes) {
  ConfChange change;
  if (bytes.empty()) return change;
  if (bytes.size() < kHeadBytes || bytes.front() != kFormat) return invalid("unknown format");
  bytes.remove_prefix(1);
  const std::uint64_t transition = take(bytes, 1);
  const std::uint64_t count = take(bytes, 2);
  if (transition > static_cast<std::uint64_t>(ConfTransition::kJointExplicit)) {
    return invalid("unknown transition");
  }
  if (count > limits::kConfChanges) return invalid("too many changes");
  if (bytes.size() < count * kChangeBytes + kLengthBytes) return invalid("too short");
  change.transition = static_cast<ConfTransition>(transition);
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::uint64_t type = take(bytes, 1);
    if (type < static_cast<std::uint64_t>(ConfChangeType::kAddVoter) ||
        type > static_cast<std::uint64_t>(ConfChangeType::kAddLearner)) {
      return invalid("unknown type of change");
    }
    change.changes.push_back({static_cast<ConfChangeType>(type), NodeId(take(bytes, 8))});
  }
  const std::uint64_t length = take(bytes, kLengthBytes);
  if (length > limits::kConfChangeContextBytes) return invalid("context too long");
  if (length != bytes.size()) return invalid("wrong length");
  change.context = Payload(std::string(bytes));
  return change;
}

}  // namespace blixard::raft

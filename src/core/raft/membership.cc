// Changes of the configuration (thesis, chapter 4): when one may be proposed, and what happens when
// one is applied.

#include <algorithm>
#include <utility>

#include "core/raft/configuration.h"
#include "core/raft/core_impl.h"

namespace blixard::raft {

LogIndex Core::Impl::next_of_new_members() const { return std::max(log_.last(), LogIndex(1)); }

// Of a proposal that will get `index`. One that may not be made now becomes an empty entry.
// Precondition: it can be decoded.
void Core::Impl::check_change(Entry& entry, LogIndex index) {
  const Result<ConfChange> change = decode_conf_change(entry.payload.view());
  const bool joint = is_joint(tracker_.configuration());
  const bool leaves = change->changes.empty();
  // A change counts from the moment it is applied. Two that are under way could between them move
  // by more than one member, and then two majorities need not meet.
  const bool pending = pending_change_ > log_.applied() && !BLX_BUG(kChangesConfigTooEarly);
  ConfChangeRefusal refusal = ConfChangeRefusal::kNone;
  if (pending) {
    refusal = ConfChangeRefusal::kPending;
  } else if (joint && !leaves) {
    refusal = ConfChangeRefusal::kJoint;
  } else if (!joint && leaves) {
    refusal = ConfChangeRefusal::kNotJoint;
  }
  if (refusal == ConfChangeRefusal::kNone || !config_.check_conf_changes) {
    pending_change_ = index;
    return;
  }
  emit({.kind = EventKind::kConfChangeRefused,
        .index = pending_change_,
        .other_index = log_.applied(),
        .refusal = refusal,
        .entry_kind = entry.kind,
        .configuration = &tracker_.configuration(),
        .change = &*change});
  entry = Entry{};
}

Result<ConfState> Core::Impl::apply_change(const ConfChange& change) {
  if (leaves_joint(change) && !is_joint(tracker_.configuration())) return tracker_.configuration();
  BLX_TRY(Changed changed, raft::apply_conf_change(tracker_, change, next_of_new_members()));
  switch_to(std::move(changed));
  return tracker_.configuration();
}

void Core::Impl::switch_to(Changed changed) {
  tracker_.install(std::move(changed.configuration), std::move(changed.progress));
  emit({.kind = EventKind::kConfigurationSwitched, .configuration = &tracker_.configuration()});
  if (role_ != Role::kLeader) return;
  std::erase_if(waiting_, [&](const auto& wait) { return tracker_.find(wait.first) == nullptr; });
  const Progress* self = tracker_.find(id_);
  if (self == nullptr || self->is_learner) {
    if (config_.step_down_on_removal) become_follower(term_, NodeId());
    return;
  }
  if (tracker_.configuration().voters.empty()) return;
  if (commit_by_quorum()) {  // a smaller quorum may have more
    if (!series_.keeps_postponed_reads) release_postponed_reads();
    broadcast_appends();
  } else {
    for (auto& [node, progress] : tracker_.progress()) {
      if (node != id_ || series_.sends_to_itself) send_append(node, progress, false);
    }
  }
  const bool can_lead = series_.transfers_to_demoted
                            ? tracker_.find(transferee_) != nullptr
                            : is_voter(tracker_.configuration(), transferee_);
  if (!can_lead) transferee_ = NodeId();
}

void Core::Impl::leave_joint_when_applied() {
  if (!tracker_.configuration().auto_leave || role_ != Role::kLeader ||
      log_.applied() < pending_change_)
    return;
  std::vector<Entry> entries(1);
  entries.front().kind = EntryKind::kConfiguration;
  bool proposed = false;
  if (series_.leaves_joint_by_itself) {
    entries.front().payload = encode_conf_change({});
    proposed = append_own(std::move(entries));
    if (!proposed) {
      pending_change_ = log_.last();  // tried again once that is applied
      return;
    }
  } else {
    // Cannot be dropped for its size, but while leadership is transferred; then whoever leads
    // afterwards does it.
    proposed = propose(std::move(entries)).has_value();
  }
  emit({.kind = proposed ? EventKind::kAutoLeave : EventKind::kAutoLeaveDropped,
        .level = proposed ? EventLevel::kInfo : EventLevel::kDebug,
        .configuration = &tracker_.configuration()});
}

void Core::Impl::applied(LogIndex index) {
  const std::size_t payload_bytes = log_.applied_to(index);
  leave_joint_when_applied();
  uncommitted_bytes_ -= std::min(uncommitted_bytes_, payload_bytes);
}

}  // namespace blixard::raft

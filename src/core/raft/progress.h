#pragma once

// What a leader knows of one member's log, and how it sends to it (thesis, section 10.2.1).
//
// kProbe: one append at a time until it is known where the logs meet. kReplicate: appends follow
// one another without waiting, within the window. kSnapshot: nothing is sent until the snapshot
// was received or has failed.
//
// Invariants (of the current series): match < next; what lies between is on its way; sent_commit
// is what the member was told or is being told.

#include <cstddef>
#include <cstdint>
#include <map>

#include "base/ids.h"
#include "core/raft/inflights.h"

namespace blixard::raft {

enum class ProgressState : std::uint8_t { kProbe, kReplicate, kSnapshot };

// What series 3.4 does differently; all false is what the product does. Part of raft::Series.
struct ProgressRules {
  // Replication pauses while the window is full and at no other time (a heartbeat's answer frees
  // the first of the window). Else a flag pauses it, which is set when the window fills and taken
  // back by any answer; then empty appends may leave although the window is full.
  bool pauses_by_window = false;
  // A rejection may take `next` below what has matched; then an old answer raises it again.
  bool falls_below_match = false;
  // `next` stays when a snapshot is sent, instead of going behind it.
  bool snapshot_keeps_next = false;
  static ProgressRules v3_4() { return {true, true, true}; }
};

struct Progress {
  LogIndex match;    // the logs are known to be equal up to here
  LogIndex next{1};  // the next entry to send
  LogIndex sent_commit;
  ProgressState state = ProgressState::kProbe;
  LogIndex pending_snapshot;  // in kSnapshot: its index
  bool recent_active = false;
  bool flow_paused = false;
  bool is_learner = false;
  Inflights inflights;

  void become_probe();
  void become_replicate();
  void become_snapshot(LogIndex snapshot, ProgressRules rules = {});

  // `entries` starting at `next` left in one append. Precondition: not in kSnapshot; in
  // kReplicate the window is not full unless entries is 0.
  void sent_entries(std::size_t entries, std::size_t bytes, ProgressRules rules = {});
  void sent_commit_index(LogIndex commit) { sent_commit = commit; }
  // Whether telling this commit index can move the member's.
  [[nodiscard]] bool can_bump_commit(LogIndex commit) const;

  // The member's log is equal up to `index`. False: that is old news.
  bool acknowledged(LogIndex index, ProgressRules rules = {});
  // The member refused an append behind `rejected` and says that the logs may meet at `hint`.
  // False: that is old news and changes nothing.
  bool rejected(LogIndex rejected, LogIndex hint, ProgressRules rules = {});

  // No append may be sent now.
  [[nodiscard]] bool is_paused(ProgressRules rules = {}) const;

 private:
  void reset(ProgressState next_state);
};

using ProgressMap = std::map<NodeId, Progress>;

}  // namespace blixard::raft

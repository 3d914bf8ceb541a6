#pragma once

// What a run did: how it ended, what happened when, and how much of what it has seen.

#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/units.h"
#include "vopr/action.h"

namespace blixard::vopr {

struct Violation {
  std::string checker;  // "one-copy", "linearizable", "settles", ...
  std::string text;
  Duration at{};  // since the world began
};

// What a machine's daemon is to consensus.
enum class Role : std::uint8_t { kDown, kFollower, kCandidate, kLeader };
inline constexpr std::size_t kRoles = 4;
std::string_view role_name(Role role);

// What can be seen to happen. Of every event a line of the trace, a mark in the timeline and a bit
// of coverage.
enum class Event : std::uint8_t {
  kStep,     // a decision of the plan is carried out
  kHealed,   // one that lasted is over
  kSkipped,  // the atlas did not allow it, or there was nobody to do it to
  kStarted,  // a daemon
  kReady,
  kEnded,  // by itself, with its reason
  kLeads,  // a new leader
  kFollows,
  kCampaigns,
  kSnapshotTaken,
  kSnapshotInstalled,
  kMembers,      // the configuration changed
  kGuestStarts,  // a process
  kGuestEnds,
  kGuestSaved,  // whole; it stands still
  kVmPending,   // of the replicated state
  kVmPlaced,
  kVmStarting,
  kVmRunning,
  kVmPaused,
  kVmSuspended,
  kVmStopping,
  kVmStopped,
  kVmFailed,
  kVmLost,
  kVmGone,
  kVmEvicted,  // told to leave its node
  kNodeJoined,
  kNodeLeaving,
  kNodeGone,
  kDrainBegins,
  kDrainEnds,
  kAsked,         // a client begins
  kAnswered,      // with what it asked for
  kRefused,       // certainly nothing happened
  kUncertain,     // it may have happened
  kRare,          // a rare-event point was taken
  kFrameRefused,  // of a stranger or a broken peer
  kSettled,
  kViolation,
};
inline constexpr std::size_t kEvents = 40;
std::string_view event_name(Event event);

struct TraceEvent {
  Duration at{};
  std::uint32_t node = 0;  // of the machine, from 1; 0: the world
  Role role = Role::kDown;
  Term term;
  LogIndex commit;
  Event event = Event::kStep;
  Action action = Action::kNone;  // of kStep, kHealed, kSkipped
  std::string text;
  // For drawing: until when it lasts, and with whom.
  Duration until{};
  std::uint32_t other = 0;
};

// One line in fixed columns, without the newline.
[[nodiscard]] std::string trace_line(const TraceEvent& event);
[[nodiscard]] std::string trace_header();

// Which events were seen at a node of which role while which fault was there (kNone: none).
class Coverage {
 public:
  static constexpr std::size_t kBits = kRoles * kEvents * kActions;
  void see(Role role, Event event, Action fault) { bits_.set(place(role, event, fault)); }
  [[nodiscard]] bool saw(Role role, Event event, Action fault) const {
    return bits_.test(place(role, event, fault));
  }
  void add(const Coverage& other) { bits_ |= other.bits_; }
  [[nodiscard]] std::size_t count() const { return bits_.count(); }
  // Bits here that `other` has not.
  [[nodiscard]] std::size_t beyond(const Coverage& other) const {
    return (bits_ & ~other.bits_).count();
  }
  friend bool operator==(const Coverage&, const Coverage&) = default;

 private:
  static constexpr std::size_t place(Role role, Event event, Action fault) {
    return (static_cast<std::size_t>(role) * kEvents + static_cast<std::size_t>(event)) * kActions +
           static_cast<std::size_t>(fault);
  }
  std::bitset<kBits> bits_;
};

struct Counts {
  std::uint64_t operations = 0;  // of clients that ended
  std::uint64_t uncertain = 0;
  std::uint64_t entries = 0;  // of the log
  std::uint64_t elections = 0;
  std::uint64_t guests = 0;                     // that began to run
  std::uint64_t clones = 0;                     // of them
  std::uint64_t woken = 0;                      // of them, from what was saved of a VM
  std::uint64_t saved = 0;                      // guests, whole
  std::uint64_t events = 0;                     // of the simulation's engine
  std::array<std::uint64_t, kActions> steps{};  // carried out
  std::uint64_t skipped = 0;
};

struct Report {
  std::optional<Violation> violation;
  std::uint64_t trace_hash = 0;
  Duration elapsed{};  // of virtual time
  Duration trouble_from{};
  Duration trouble_until{};
  Counts counts;
  Coverage coverage;
  std::vector<TraceEvent> events;  // all that is worth a line
  std::vector<std::string> log;    // lines of the daemons, if they were asked for
  std::string history;             // what clients saw, in the form blixard-json
};

}  // namespace blixard::vopr

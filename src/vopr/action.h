#pragma once

// Everything that can happen to a simulated cluster by decision: faults, what operators do, what
// clients ask. A run is a list of such decisions (plan.h); each has a row in the table here, which
// parsing, drawing, shrinking and the documentation go by.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace blixard::vopr {

enum class Action : std::uint8_t {
  kNone,

  // Daemons and machines.
  kCrash,        // kill -9 of the daemon; `for`: until it is started again
  kPowerLoss,    // the machine goes off; `for`: until it is on again
  kCrashAll,     // every daemon or machine at once
  kRestart,      // the daemon is stopped in order; `for`: until it is started again
  kFreeze,       // the daemon stands still for so long, and knows nothing of it
  kReplaceDisk,  // the machine comes back with an empty disk; its node is removed and a new joins

  // Clocks.
  kWallJump,  // `amount`: milliseconds forward; odd ones go back
  kDrift,     // `amount`: parts per million that the clock is fast; odd ones slow

  // Links, between `node` and `other`.
  kCut,            // both ways
  kCutOneWay,      // from node to other
  kIsolate,        // the node from all others
  kIsolateOneWay,  // nobody hears it, it hears all
  kSplit,          // `amount`: bits, who is on which side
  kSlowLink,       // `amount`: milliseconds of latency at most
  kLossyLink,      // `amount`: percent of segments that are lost and sent again
  kNarrowLink,     // `amount`: KiB a second
  kClog,           // nothing arrives; then all at once
  kReset,          // every connection between the two is lost at both ends
  kHalfOpen,       // at the node's end only
  kDamagedBytes,   // `amount`: one in so many segments has a byte changed
  kWeather,        // messages of consensus are lost, doubled, reordered; `amount`: percent

  // Disks.
  kSlowDisk,    // `amount`: times
  kFailedSync,  // the next one of the log
  kFullDisk,    // `amount`: KiB that are left
  kReadWriteErrors,
  kBitRot,       // `amount`: where, in what is stored of the log
  kMisdirected,  // the next write of the log goes elsewhere; `amount`: where

  // Guests and their hypervisor.
  kKillGuest,  // `amount`: which
  kGuestPanics,
  kGuestPowersOff,
  kStartsFail,
  kStartsHang,
  kSlowBoots,     // `amount`: times
  kMonitorNoise,  // the monitor's next answer is none; `amount`: which kind
  kMonitorSilent,
  kGuestIgnores,  // shutdown is not heard
  kSpawnFails,
  kMemoryPressure,  // the kernel ends the largest guest; `amount`: which

  // Strangers and broken peers.
  kStranger,        // somebody without a certificate sends `amount` kinds of bytes
  kForgedSender,    // a member's certificate, messages in another's name
  kReplayedFrames,  // frames that were recorded earlier
  kFutureFrames,    // of a protocol version that is not known yet

  // Operators.
  kTransferLeader,
  kJoin,     // a spare machine becomes a node
  kRemove,   // a node leaves
  kUpgrade,  // the daemon comes back as another version
  kRotate,   // the node's certificate is renewed
  kPolicy,   // of placement; `amount`: which
  kGroup,    // a placement group is set; `amount`: which, and its rules
  kTenant,   // quota and rates of a tenant, or none any more; `amount`: which
  kReserve,  // room of the node for a tenant, or it is given back; `amount`: how much
  kTaint,    // the node is tainted, or not any more; `amount`: which
  kCordon,
  kUncordon,
  kDrain,  // `amount`: until when, and how many VMs at once
  kUndrain,

  // Clients.
  kCreate,            // `amount`: its size, policy and ports
  kCreateWithWishes,  // and what it asks of its node, too
  kStart,
  kStop,
  kDelete,
  kGet,
  kList,
  kStaleGet,
  kStaleList,
  kImport,  // an image
  kFollow,  // events, for a while
  kScrape,  // metrics and status
  kDigest,  // of the replicated state

  // Templates, and the clones of them. Behind all others, whose numbers are part of what runs draw.
  kTemplateDamaged,  // a byte of a file of one; `amount`: which
  kLoadFails,        // of whoever is to load a guest
  kLoadStalls,
  kStaleAgent,       // agents answer what nobody asked
  kRefusesIdentity,  // agents are too old to become another guest
  kClockBehind,      // of loaded guests; `amount`: milliseconds
  kMakerDies,        // whoever is to save a guest does, half way

  // Guests that stand still: what clients ask of them, and what goes wrong. The same holds of them.
  kPause,
  kResume,
  kSuspend,
  kSnapshot,
  kRestore,
  kDeleteSnapshot,
  kSaveFails,    // half way; the guest is where it was
  kSavedDamage,  // a byte of the file of a saved guest; `amount`: which
  kSavedLoss,    // such a file; `amount`: which
};
inline constexpr std::size_t kActions = 86;

enum class Group : std::uint8_t {
  kMachine,
  kClock,
  kLink,
  kDisk,
  kGuest,
  kTemplate,
  kSaved,
  kIntruder,
  kOperator,
  kClient,
};
inline constexpr std::size_t kGroups = 10;
std::string_view group_name(Group group);

// What a step of an action says beside its time.
struct Uses {
  bool node = false;
  bool other = false;
  bool length = false;  // it lasts: `for`
  bool amount = false;
  bool vm = false;
};

struct ActionFacts {
  Action action = Action::kNone;
  std::string_view name;  // "cut-one-way", as in scenarios
  Group group = Group::kMachine;
  Uses uses;
  // Of `amount`, both included.
  std::uint64_t amount_min = 0;
  std::uint64_t amount_max = 0;
};

[[nodiscard]] std::span<const ActionFacts> actions();  // every one but kNone, in their order
[[nodiscard]] const ActionFacts& facts_of(Action action);
[[nodiscard]] std::optional<Action> parse_action(std::string_view name);
[[nodiscard]] inline bool is_fault(Action action) {
  return facts_of(action).group <= Group::kIntruder;
}

}  // namespace blixard::vopr

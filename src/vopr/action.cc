#include "vopr/action.h"

#include <algorithm>
#include <array>

#include "base/assert.h"

namespace blixard::vopr {
namespace {

constexpr Uses kOnNode{.node = true};
constexpr Uses kWhile{.node = true, .length = true};
constexpr Uses kWhileAmount{.node = true, .length = true, .amount = true};
constexpr Uses kNodeAmount{.node = true, .amount = true};
constexpr Uses kLink{.node = true, .other = true, .length = true};
constexpr Uses kLinkAmount{.node = true, .other = true, .length = true, .amount = true};
constexpr Uses kOneLink{.node = true, .other = true};
constexpr Uses kAsks{.node = true};
constexpr Uses kAsksVm{.node = true, .vm = true};

constexpr auto kFacts = std::to_array<ActionFacts>({
    {Action::kCrash, "crash", Group::kMachine, kWhile},
    {Action::kPowerLoss, "power-loss", Group::kMachine, kWhile},
    {Action::kCrashAll, "crash-all", Group::kMachine, {.length = true}},
    {Action::kRestart, "restart", Group::kMachine, kWhile},
    {Action::kFreeze, "freeze", Group::kMachine, kWhile},
    {Action::kReplaceDisk, "replace-disk", Group::kMachine, kWhile},

    {Action::kWallJump, "wall-jump", Group::kClock, kNodeAmount, 1, 3'600'000},
    {Action::kDrift, "drift", Group::kClock, kWhileAmount, 1, 50'000},

    {Action::kCut, "cut", Group::kLink, kLink},
    {Action::kCutOneWay, "cut-one-way", Group::kLink, kLink},
    {Action::kIsolate, "isolate", Group::kLink, kWhile},
    {Action::kIsolateOneWay, "isolate-one-way", Group::kLink, kWhile},
    {Action::kSplit, "split", Group::kLink, {.length = true, .amount = true}, 1, 127},
    {Action::kSlowLink, "slow-link", Group::kLink, kLinkAmount, 5, 2'000},
    {Action::kLossyLink, "lossy-link", Group::kLink, kLinkAmount, 1, 40},
    {Action::kNarrowLink, "narrow-link", Group::kLink, kLinkAmount, 4, 1'024},
    {Action::kClog, "clog", Group::kLink, kLink},
    {Action::kReset, "reset", Group::kLink, kOneLink},
    {Action::kHalfOpen, "half-open", Group::kLink, kOneLink},
    {Action::kDamagedBytes, "damaged-bytes", Group::kLink, kLinkAmount, 10, 1'000},
    {Action::kWeather, "weather", Group::kLink, {.length = true, .amount = true}, 1, 30},

    {Action::kSlowDisk, "slow-disk", Group::kDisk, kWhileAmount, 2, 100},
    {Action::kFailedSync, "failed-sync", Group::kDisk, kOnNode},
    {Action::kFullDisk, "full-disk", Group::kDisk, kWhileAmount, 0, 4'096},
    {Action::kReadWriteErrors, "io-errors", Group::kDisk, kWhile},
    {Action::kBitRot, "bit-rot", Group::kDisk, kNodeAmount, 0, 1'000'000},
    {Action::kMisdirected, "misdirected-write", Group::kDisk, kNodeAmount, 0, 1'000'000},

    {Action::kKillGuest, "kill-guest", Group::kGuest, kNodeAmount, 0, 1'000},
    {Action::kGuestPanics, "guest-panics", Group::kGuest, kNodeAmount, 0, 1'000},
    {Action::kGuestPowersOff, "guest-powers-off", Group::kGuest, kNodeAmount, 0, 1'000},
    {Action::kStartsFail, "starts-fail", Group::kGuest, kWhile},
    {Action::kStartsHang, "starts-hang", Group::kGuest, kWhile},
    {Action::kSlowBoots, "slow-boots", Group::kGuest, kWhileAmount, 2, 20},
    {Action::kMonitorNoise, "monitor-noise", Group::kGuest, kNodeAmount, 0, 1'000},
    {Action::kMonitorSilent, "monitor-silent", Group::kGuest, kWhile},
    {Action::kGuestIgnores, "guest-ignores-shutdown", Group::kGuest, kWhile},
    {Action::kSpawnFails, "spawn-fails", Group::kGuest, kOnNode},
    {Action::kMemoryPressure, "memory-pressure", Group::kGuest, kNodeAmount, 0, 1'000},

    {Action::kStranger, "stranger", Group::kIntruder, kNodeAmount, 0, 1'000},
    {Action::kForgedSender, "forged-sender", Group::kIntruder, kNodeAmount, 0, 1'000},
    {Action::kReplayedFrames, "replayed-frames", Group::kIntruder, kNodeAmount, 0, 1'000},
    {Action::kFutureFrames, "future-frames", Group::kIntruder, kNodeAmount, 0, 1'000},

    {Action::kTransferLeader, "transfer-leader", Group::kOperator, kAsks},
    {Action::kJoin, "join", Group::kOperator, kAsks},
    {Action::kRemove, "remove", Group::kOperator, kAsks},
    {Action::kUpgrade, "upgrade", Group::kOperator, kWhile},
    {Action::kRotate, "rotate", Group::kOperator, kAsks},
    {Action::kPolicy, "policy", Group::kOperator, kNodeAmount, 0, 1'000},
    {Action::kGroup, "group", Group::kOperator, kNodeAmount, 0, 1'000},
    {Action::kTenant, "tenant", Group::kOperator, kNodeAmount, 0, 1'000},
    {Action::kReserve, "reserve", Group::kOperator, kNodeAmount, 0, 1'000},
    {Action::kTaint, "taint", Group::kOperator, kNodeAmount, 0, 1'000},
    {Action::kCordon, "cordon", Group::kOperator, kOnNode},
    {Action::kUncordon, "uncordon", Group::kOperator, kOnNode},
    {Action::kDrain, "drain", Group::kOperator, kNodeAmount, 0, 1'000},
    {Action::kUndrain, "undrain", Group::kOperator, kOnNode},

    {Action::kCreate,
     "create",
     Group::kClient,
     {.node = true, .amount = true, .vm = true},
     0,
     1'000},
    {Action::kCreateWithWishes,
     "create-with-wishes",
     Group::kClient,
     {.node = true, .amount = true, .vm = true},
     0,
     1'000'000},
    {Action::kStart, "start", Group::kClient, kAsksVm},
    {Action::kStop, "stop", Group::kClient, kAsksVm},
    {Action::kDelete, "delete", Group::kClient, kAsksVm},
    {Action::kGet, "get", Group::kClient, kAsksVm},
    {Action::kList, "list", Group::kClient, kAsks},
    {Action::kStaleGet, "stale-get", Group::kClient, kAsksVm},
    {Action::kStaleList, "stale-list", Group::kClient, kAsks},
    {Action::kImport, "import", Group::kClient, kAsks},
    {Action::kFollow, "follow", Group::kClient, kWhile},
    {Action::kScrape, "scrape", Group::kClient, kAsks},
    {Action::kDigest, "digest", Group::kClient, kAsks},

    {Action::kTemplateDamaged, "template-damaged", Group::kTemplate, kNodeAmount, 0, 1'000'000},
    {Action::kLoadFails, "load-fails", Group::kTemplate, kWhile},
    {Action::kLoadStalls, "load-stalls", Group::kTemplate, kWhile},
    {Action::kStaleAgent, "stale-agent", Group::kTemplate, kWhile},
    {Action::kRefusesIdentity, "refuses-identity", Group::kTemplate, kWhile},
    {Action::kClockBehind, "clock-behind", Group::kTemplate, kWhileAmount, 1, 3'600'000},
    {Action::kMakerDies, "maker-dies", Group::kTemplate, kWhile},

    {Action::kPause, "pause", Group::kClient, kAsksVm},
    {Action::kResume, "resume", Group::kClient, kAsksVm},
    {Action::kSuspend, "suspend", Group::kClient, kAsksVm},
    {Action::kSnapshot, "snapshot", Group::kClient, kAsksVm},
    {Action::kRestore, "restore", Group::kClient, kAsksVm},
    {Action::kDeleteSnapshot, "delete-snapshot", Group::kClient, kAsksVm},
    {Action::kSaveFails, "save-fails", Group::kSaved, kWhile},
    {Action::kSavedDamage, "saved-damage", Group::kSaved, kNodeAmount, 0, 1'000'000},
    {Action::kSavedLoss, "saved-loss", Group::kSaved, kNodeAmount, 0, 1'000},
});
static_assert(kFacts.size() + 1 == kActions);
static_assert([] {
  for (std::size_t i = 0; i < kFacts.size(); ++i) {
    if (static_cast<std::size_t>(kFacts[i].action) != i + 1) return false;
  }
  return true;
}());

}  // namespace

std::string_view group_name(Group group) {
  constexpr std::array<std::string_view, kGroups> kNames{
      "machine",  "clock", "link",     "disk",     "guest",
      "template", "saved", "intruder", "operator", "client"};
  return kNames.at(static_cast<std::size_t>(group));
}

std::span<const ActionFacts> actions() { return kFacts; }

const ActionFacts& facts_of(Action action) {
  BLX_ASSERT(action != Action::kNone);
  return kFacts.at(static_cast<std::size_t>(action) - 1);
}

std::optional<Action> parse_action(std::string_view name) {
  const auto found = std::ranges::find(kFacts, name, &ActionFacts::name);
  if (found == kFacts.end()) return std::nullopt;
  return found->action;
}

}  // namespace blixard::vopr

#pragma once

// The values that the labels of our metrics have, and their texts.

#include <array>
#include <cstdint>
#include <string_view>

#include "base/result.h"
#include "core/cluster/wishes.h"
#include "observe/instruments.h"

namespace blixard::telemetry {

// How placement chooses among the nodes that can take a VM.
enum class PlacementStrategy : std::uint8_t {
  kFragmentationAware,
  kMostAvailable,
  kLeastAvailable,
  kRoundRobin,
  kManual,
  kPriorityBased,
  kLocalityAware,
  kSpreadAcrossFailureDomains,
  kCostOptimized,
};
// The same in the same order, which begins at 1 there.
inline PlacementStrategy label_of(cluster::Strategy strategy) {
  return static_cast<PlacementStrategy>(static_cast<std::uint8_t>(strategy) - 1);
}
static_assert(static_cast<std::uint8_t>(PlacementStrategy::kCostOptimized) + 1 ==
              static_cast<std::uint8_t>(cluster::Strategy::kCostOptimized));

enum class PlacementOutcome : std::uint8_t {
  kPlaced,
  kNoNodeFits,  // no node can take it now
  kOutdated,    // the state had moved on when the plan was applied
  kNotTaken,    // the log did not take it; it is tried again
};

// What users ask for, until it is applied; and what a node does for it, until it is done.
enum class VmOperation : std::uint8_t {
  kCreate,
  kStart,
  kStop,
  kDelete,
  kPause,
  kSuspend,
  kSnapshot,
  kRestore,
  kDeleteSnapshot,
  // What the node does for these.
  kBoot,
  kAdopt,
  kShutdown,
  kFreeze,
  kThaw,
  kSave,
};

enum class Outcome : std::uint8_t {
  kOk,
  kRefused,  // the request could not be granted, whoever asks again
  kFailed,
};
Outcome outcome_of(const Error& error);
template <class T>
Outcome outcome_of(const Result<T>& result) {
  return result ? Outcome::kOk : outcome_of(result.error());
}

// How a guest came to run.
enum class GuestStart : std::uint8_t { kCold, kWarm, kResumed };

enum class ArtifactType : std::uint8_t { kVmImage };

enum class GuestEnd : std::uint8_t { kClean, kFailed };

}  // namespace blixard::telemetry

namespace blixard::observe {
template <>
inline constexpr std::array<std::string_view, 9> kLabelValues<telemetry::PlacementStrategy>{
    "fragmentation_aware",
    "most_available",
    "least_available",
    "round_robin",
    "manual",
    "priority_based",
    "locality_aware",
    "spread_across_failure_domains",
    "cost_optimized"};
template <>
inline constexpr std::array<std::string_view, 4> kLabelValues<telemetry::PlacementOutcome>{
    "placed", "no_node_fits", "outdated", "not_taken"};
template <>
inline constexpr std::array<std::string_view, 15> kLabelValues<telemetry::VmOperation>{
    "create",          "start", "stop",  "delete",   "pause",  "suspend", "snapshot", "restore",
    "delete_snapshot", "boot",  "adopt", "shutdown", "freeze", "thaw",    "save"};
template <>
inline constexpr std::array<std::string_view, 3> kLabelValues<telemetry::Outcome>{"ok", "refused",
                                                                                  "failed"};
template <>
inline constexpr std::array<std::string_view, 3> kLabelValues<telemetry::GuestStart>{"cold", "warm",
                                                                                     "resumed"};
template <>
inline constexpr std::array<std::string_view, 1> kLabelValues<telemetry::ArtifactType>{"vm_image"};
template <>
inline constexpr std::array<std::string_view, 2> kLabelValues<telemetry::GuestEnd>{"clean",
                                                                                   "failed"};
}  // namespace blixard::observe

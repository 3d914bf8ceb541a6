#pragma once

// The values that the labels of our metrics have, and their texts.

#include <array>
#include <cstdint>
#include <string_view>

#include "base/result.h"
#include "observe/instruments.h"

namespace blixard::telemetry {

// How placement chooses among the nodes that can take a VM.
enum class PlacementStrategy : std::uint8_t { kMostFreeMemory };

enum class PlacementOutcome : std::uint8_t {
  kPlaced,
  kNoNodeFits,  // no node can take it now
  kOutdated,    // the state had moved on when the plan was applied
  kNotTaken,    // the log did not take it; it is tried again
};

// What users ask for, until it is applied; and what a node does for it, until it is done.
enum class VmOperation : std::uint8_t { kCreate, kStart, kStop, kDelete, kBoot, kAdopt, kShutdown };

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

enum class ArtifactType : std::uint8_t { kVmImage };

enum class GuestEnd : std::uint8_t { kClean, kFailed };

}  // namespace blixard::telemetry

namespace blixard::observe {
template <>
inline constexpr std::array<std::string_view, 1> kLabelValues<telemetry::PlacementStrategy>{
    "most_free_memory"};
template <>
inline constexpr std::array<std::string_view, 4> kLabelValues<telemetry::PlacementOutcome>{
    "placed", "no_node_fits", "outdated", "not_taken"};
template <>
inline constexpr std::array<std::string_view, 7> kLabelValues<telemetry::VmOperation>{
    "create", "start", "stop", "delete", "boot", "adopt", "shutdown"};
template <>
inline constexpr std::array<std::string_view, 3> kLabelValues<telemetry::Outcome>{"ok", "refused",
                                                                                  "failed"};
template <>
inline constexpr std::array<std::string_view, 1> kLabelValues<telemetry::ArtifactType>{"vm_image"};
template <>
inline constexpr std::array<std::string_view, 2> kLabelValues<telemetry::GuestEnd>{"clean",
                                                                                   "failed"};
}  // namespace blixard::observe

#pragma once

// One run: a cluster, its clients and what goes wrong, for some virtual seconds; then every fault
// heals, and within kRecovery there must be a leader, every client's request must have ended and
// all members must be equal.

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "test/conformance/consensus/clients.h"
#include "test/conformance/consensus/settings.h"

namespace blixard::consensus_sim {

inline constexpr Duration kRecovery = 60s;

struct Violation {
  std::string text;
  Duration at{};
  std::vector<std::string> lines;  // the last of the log before it; none: the log was not kept
};

struct Outcome {
  std::optional<Violation> violation;
  std::uint64_t trace_hash = 0;
  Duration elapsed{};
  Duration recovery{};  // of it: from the end of the faults
  std::size_t elections = 0;
  std::size_t requests = 0;
  std::size_t repeated = 0;
  std::uint64_t entries = 0;
  Counts counts;
  std::array<std::uint64_t, kFaults> faults{};
  std::vector<std::string> log;  // all of it, with LogLines::kDebug
};

enum class LogLines : std::uint8_t { kNone, kInfo, kDebug };

Outcome simulate(const Settings& settings, LogLines lines);

}  // namespace blixard::consensus_sim

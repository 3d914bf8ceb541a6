#pragma once

// A run, decided in advance: the cluster's size, its settings and a list of decisions with their
// times. The simulation adds no choice of its own but the small ones (latencies, where a write is
// torn), which come from `seed` by named forks; so a step that is left out changes as little as
// possible of the rest, and a run can be made smaller by leaving out steps (shrink.h).

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/units.h"
#include "vopr/action.h"

namespace blixard::vopr {

// How a client asks.
enum class Manner : std::uint8_t {
  kPatient,   // again with the same request id until there is an answer
  kNoisy,     // the same request several times at once, at several nodes
  kVanishes,  // sends it and is gone
};

struct Step {
  Duration at{};  // since the trouble began; never falls along a plan
  Action action = Action::kNone;
  std::uint32_t node = 0;   // from 1; 0: the leader of that moment, or the first if there is none
  std::uint32_t other = 0;  // from 1; 0 as above
  Duration length{};        // how long it lasts; afterwards it heals by itself
  std::uint64_t amount = 0;

  // Of clients' steps. `node` is asked first.
  std::uint32_t client = 0;  // from 1; one that is busy does this when it is free
  std::uint32_t vm = 0;      // from 1
  Manner manner = Manner::kPatient;

  friend bool operator==(const Step&, const Step&) = default;
};

// Drawn within ranges for each run, so that nothing comes to depend on one value.
struct Settings {
  std::size_t nodes = 3;   // servers that make the cluster
  std::size_t spares = 1;  // machines beside them, for joins and replacements
  std::size_t clients = 2;
  std::size_t vms = 3;  // names that clients use
  Duration tick = 100ms;
  std::uint32_t election_ticks = 10;
  std::uint64_t snapshot_entries = 100;
  std::uint64_t trailing_entries = 20;
  std::uint32_t rare_percent = 0;   // of the rare-event points that are on
  Duration boot = 1500ms;           // of a guest
  std::uint32_t version = 1;        // of the program that daemons begin with; 2 is the newest
  std::uint64_t templates_mib = 0;  // that a node keeps; 0: every guest boots
  friend bool operator==(const Settings&, const Settings&) = default;
};

struct Plan {
  std::string scenario;  // its name
  std::uint64_t seed = 1;
  Duration until{};  // trouble; then everything heals, and the cluster has to settle
  Settings settings;
  std::vector<Step> steps;
  friend bool operator==(const Plan&, const Plan&) = default;
};

}  // namespace blixard::vopr

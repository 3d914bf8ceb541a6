#pragma once

// What a VM asks of the node that is to run it, beside vCPUs, memory and ports; most ask nothing.
//
// Everything here is decided by core/sched when a node is chosen. Apply checks again what another
// command may have taken meanwhile (room, groups, taints, quotas); constraints it knows to be still
// true by the node's revision.

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/name.h"
#include "base/result.h"
#include "core/resources/room.h"

namespace blixard::cluster {

enum class Strategy : std::uint8_t {
  kFragmentationAware = 1,
  kMostAvailable,
  kLeastAvailable,
  kRoundRobin,
  kManual,
  kPriorityBased,
  kLocalityAware,
  kSpreadAcrossFailureDomains,
  kCostOptimized,
};
inline constexpr std::array kStrategies = {
    Strategy::kFragmentationAware,
    Strategy::kMostAvailable,
    Strategy::kLeastAvailable,
    Strategy::kRoundRobin,
    Strategy::kManual,
    Strategy::kPriorityBased,
    Strategy::kLocalityAware,
    Strategy::kSpreadAcrossFailureDomains,
    Strategy::kCostOptimized,
};
std::string_view strategy_name(Strategy strategy);  // "fragmentation-aware"
std::optional<Strategy> parse_strategy(std::string_view name);

enum class ConstraintOp : std::uint8_t {
  kEqual = 1,
  kNotEqual,
  kIn,
  kNotIn,
  kLess,  // these four as numbers
  kLessOrEqual,
  kGreater,
  kGreaterOrEqual,
  kVersionLess,  // these two part by part: 1.10 is above 1.9
  kVersionAtLeast,
  kMatches,  // a regular expression (RE2), of the whole value
  kExists,
  kNotExists,
};

// Over an attribute of a node, or over a label as "label.KEY".
struct Constraint {
  std::string attribute;
  ConstraintOp op = ConstraintOp::kEqual;
  std::vector<std::string> values;
  friend bool operator==(const Constraint&, const Constraint&) = default;
};

struct Preference {
  Constraint constraint;
  std::int32_t weight = 0;  // -100..100; what a node that meets it is better by
  friend bool operator==(const Preference&, const Preference&) = default;
};

enum class TaintEffect : std::uint8_t { kAvoid = 1, kRefuse };

struct Taint {
  std::string key;
  std::string value;
  TaintEffect effect = TaintEffect::kRefuse;
  friend bool operator==(const Taint&, const Taint&) = default;
};

struct Toleration {
  std::string key;
  std::string value;  // "": any
  [[nodiscard]] bool tolerates(const Taint& taint) const {
    return key == taint.key && (value.empty() || value == taint.value);
  }
  friend bool operator==(const Toleration&, const Toleration&) = default;
};

struct Locality {
  Name datacenter;  // preferred
  Name zone;        // preferred
  bool strict = false;
  std::vector<Name> excluded_datacenters;  // by name
  std::uint32_t max_latency_ms = 0;        // from `datacenter`; 0: any
  friend bool operator==(const Locality&, const Locality&) = default;
};

enum class OnEvict : std::uint8_t { kMove = 1, kStop };

inline constexpr std::uint32_t kPriorityDefault = 500;
inline constexpr std::uint32_t kPriorityMax = 1000;

struct Wishes {
  std::uint32_t cpu_milli = 0;  // 0: all its vCPUs
  bool dedicated_cpus = false;
  std::int64_t disk_mib = 0;
  std::int64_t network_mbit = 0;
  std::vector<resources::Counter> counters;    // by name
  std::vector<resources::DeviceNeed> devices;  // by kind
  Name tenant;                                 // empty: kDefaultTenant; never its name
  std::uint32_t priority = kPriorityDefault;
  bool preemptible = false;
  OnEvict on_evict = OnEvict::kMove;
  std::vector<Name> groups;  // by name
  std::vector<Constraint> constraints;
  std::vector<Preference> preferences;
  std::vector<Toleration> tolerations;
  Locality locality;
  std::optional<Strategy> strategy;  // none: the cluster's
  Name node;                         // of kManual
  friend bool operator==(const Wishes&, const Wishes&) = default;
};

inline constexpr std::string_view kDefaultTenant = "default";
// Its name, also of the default one, which Wishes::tenant never holds.
std::string_view tenant_of(const Wishes& wishes);
// How many device numbers it is given.
std::size_t device_count(const Wishes& wishes);

// Form and bounds, and what contradicts itself: two values that one attribute is to equal, an empty
// range, a fraction of several devices. What attributes there are is not known here. Errors:
// kInvalidArgument "placement_invalid" with the field and what is possible.
Result<void> check_wishes(const Wishes& wishes);
// Its constraints, and each preference by itself. Part of check_wishes().
Result<void> check_constraints(const Wishes& wishes);
// What the ordering operators compare, in millionths: "-1.5". Nothing: it is no number, or one of
// more than twelve digits before the point or six behind it.
std::optional<std::int64_t> constraint_number(std::string_view text);
// Errors: kInvalidArgument "placement_invalid" with the field.
Result<void> check_label(std::string_view key, std::string_view value);
Result<void> check_taint(const Taint& taint);

}  // namespace blixard::cluster

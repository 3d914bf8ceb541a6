#pragma once

// What operators decide about placement for the whole cluster: the policy, placement groups,
// tenants with their quotas, and reservations.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/name.h"
#include "base/result.h"
#include "base/units.h"
#include "core/cluster/wishes.h"
#include "core/resources/amounts.h"
#include "core/resources/supply.h"

namespace blixard::cluster {

enum class PreemptionPolicy : std::uint8_t { kNever = 1, kLowerPriorityOnly, kCostAware };

enum class TopologyLevel : std::uint8_t { kNode = 1, kRack, kZone, kDatacenter };

// Between two datacenters, in both directions; `a` before `b`.
struct Latency {
  Name a;
  Name b;
  std::uint32_t ms = 0;
  friend bool operator==(const Latency&, const Latency&) = default;
};

struct RebalancePolicy {
  bool enabled = false;
  std::uint32_t threshold_percent = 20;
  std::uint32_t moves_per_hour = 10;
  friend bool operator==(const RebalancePolicy&, const RebalancePolicy&) = default;
};

struct PlacementPolicy {
  Strategy strategy = Strategy::kFragmentationAware;
  resources::Overcommit overcommit;
  PreemptionPolicy preemption = PreemptionPolicy::kLowerPriorityOnly;
  std::uint32_t preemption_grace_seconds = 30;
  RebalancePolicy rebalance;
  std::vector<Latency> latencies;            // by a and b
  std::uint32_t cost_increase_percent = 10;  // of cost-optimized: above the cheapest
  TopologyLevel spread_level = TopologyLevel::kZone;
  std::uint32_t spread_domains_min = 1;
  friend bool operator==(const PlacementPolicy&, const PlacementPolicy&) = default;
};

enum class GroupRuleKind : std::uint8_t { kSpread = 1, kTogether, kNear, kAway };

inline constexpr std::uint32_t kRuleWeight = 50;

struct GroupRule {
  GroupRuleKind kind = GroupRuleKind::kSpread;
  TopologyLevel level = TopologyLevel::kNode;
  std::uint32_t max = 1;  // of kSpread: members in one domain; else 1
  Name other;             // of kNear and kAway
  bool hard = true;
  std::uint32_t weight = kRuleWeight;  // 1..100, of a soft one
  friend bool operator==(const GroupRule&, const GroupRule&) = default;
};

struct PlacementGroup {
  Name name;
  std::vector<GroupRule> rules;
  std::uint32_t gang = 0;  // so many are placed at once or none; 0: each by itself
  friend bool operator==(const PlacementGroup&, const PlacementGroup&) = default;
};

// 0: no limit.
struct Quota {
  std::uint32_t vms = 0;
  std::uint32_t vcpus = 0;
  std::int64_t memory_mib = 0;
  std::int64_t disk_mib = 0;
  std::uint32_t vms_per_node = 0;
  friend bool operator==(const Quota&, const Quota&) = default;
};

// So many an hour, and at most `burst` at once, which is 1 at least. 0 an hour: no limit.
struct Rate {
  std::uint32_t per_hour = 0;
  std::uint32_t burst = 0;
  friend bool operator==(const Rate&, const Rate&) = default;
};

// A token bucket in whole numbers: a token is as many units as an hour has milliseconds, so that
// each millisecond brings `per_hour` units and nothing is rounded, at five an hour as at a million.
class Bucket {
 public:
  static constexpr std::int64_t kToken = 3'600'000;

  // Takes one at that time, if there is one; else nothing changes. Time that goes back brings
  // nothing.
  [[nodiscard]] bool take(const Rate& rate, WallTime now);
  // Until there is one; 0: now.
  [[nodiscard]] std::int64_t wait_ms(const Rate& rate, WallTime now) const;
  // What it is once another rate holds: full if there was no limit before.
  [[nodiscard]] Bucket under(const Rate& before, const Rate& after, WallTime now) const;
  // Full, as one that was never asked.
  static Bucket full(const Rate& rate, WallTime now);
  // Nothing: no bucket can have that.
  static std::optional<Bucket> restored(std::int64_t units, WallTime time);

  [[nodiscard]] std::int64_t units() const { return units_; }
  [[nodiscard]] WallTime time() const { return time_; }
  friend bool operator==(const Bucket&, const Bucket&) = default;

 private:
  [[nodiscard]] Bucket filled(const Rate& rate, WallTime now) const;

  std::int64_t units_ = 0;
  WallTime time_;  // of `units_`
};

struct Tenant {
  Name name;
  Quota quota;
  Rate creates;
  Rate starts;
  Rate deletes;
  std::uint32_t preemptions_per_hour = 0;  // that its VMs may cause; 0: no limit
  std::uint32_t weight = 100;              // of its share of what becomes free

  Bucket creates_left;
  Bucket starts_left;
  Bucket deletes_left;
  Bucket preemptions_left;
  friend bool operator==(const Tenant&, const Tenant&) = default;
};

// An hour's worth may be spent at once.
inline Rate preemption_rate(const Tenant& tenant) {
  return {.per_hour = tenant.preemptions_per_hour, .burst = tenant.preemptions_per_hour};
}

// Room of a node that is kept for one tenant: others find that much less, by what the tenant does
// not use of it. It holds until it is removed: that its time is over is for a command to say.
struct Reservation {
  Name name;
  Name tenant;  // never empty
  NodeId node;
  resources::Amounts amounts;
  std::uint32_t priority = kPriorityMax;  // VMs of higher priority may use it
  WallTime expires;                       // 0: never
  friend bool operator==(const Reservation&, const Reservation&) = default;
};

// Errors: kInvalidArgument "policy_invalid", "group_invalid", "tenant_invalid",
// "reservation_invalid" with the field.
Result<void> check_policy(const PlacementPolicy& policy);
Result<void> check_group(const PlacementGroup& group);
Result<void> check_tenant(const Tenant& tenant);
Result<void> check_reservation(const Reservation& reservation);

std::string_view preemption_name(PreemptionPolicy policy);  // "lower-priority-only"
std::string_view level_name(TopologyLevel level);           // "zone"
std::string_view rule_name(GroupRuleKind kind);             // "spread"
std::string rule_text(const GroupRule& rule);               // "at most 2 in one zone"

}  // namespace blixard::cluster

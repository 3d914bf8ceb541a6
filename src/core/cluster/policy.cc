#include "core/cluster/policy.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include "base/limits.h"
#include "core/cluster/model.h"
#include "core/cluster/reasons.h"

namespace blixard::cluster {

namespace {

constexpr std::uint32_t kDomainMembersMax = 100'000;
constexpr std::uint32_t kCostIncreaseMax = 10'000;
constexpr std::uint32_t kMovesPerHourMax = 10'000;
constexpr std::int64_t kQuotaMax = std::int64_t{1} << 50;

// Of one kind of object: what its faults are called.
class Checker {
 public:
  explicit Checker(const char* reason) : reason_(reason) {}

  [[nodiscard]] std::unexpected<Error> fault(std::string detail) const {
    return fail(Code::kInvalidArgument, reason_, std::move(detail));
  }
  [[nodiscard]] Result<void> range(const char* field, std::int64_t value, std::int64_t min,
                                   std::int64_t max) const {
    if (value >= min && value <= max) return {};
    return fault(fmt::format("{}: {} is not between {} and {}", field, value, min, max));
  }
  [[nodiscard]] Result<void> name(const char* field, std::string_view name) const {
    if (auto checked = check_name(name); !checked) {
      return fault(fmt::format("{}: {}", field, checked.error().detail()));
    }
    return {};
  }

 private:
  const char* reason_;
};

Result<void> check_latencies(const Checker& check, const std::vector<Latency>& latencies) {
  if (latencies.size() > limits::kLatencies) {
    return check.fault(fmt::format("latencies: {} of them, at most {} are possible",
                                   latencies.size(), limits::kLatencies));
  }
  for (const Latency& latency : latencies) {
    BLX_TRY(check.name("latencies: a", latency.a));
    BLX_TRY(check.name("latencies: b", latency.b));
    BLX_TRY(check.range("latencies: ms", latency.ms, 0, limits::kLatencyMs));
    if (!(latency.a < latency.b)) {
      return check.fault(fmt::format("latencies: from {} to itself", latency.a));
    }
  }
  const auto before = [](const Latency& x, const Latency& y) {
    return std::tie(x.a, x.b) < std::tie(y.a, y.b);
  };
  const auto wrong = std::ranges::adjacent_find(
      latencies, [&](const Latency& x, const Latency& y) { return !before(x, y); });
  if (wrong != latencies.end()) {
    return check.fault(fmt::format("latencies: {} and {} twice", wrong->a, wrong->b));
  }
  return {};
}

Result<void> check_rule(const Checker& check, const PlacementGroup& group, const GroupRule& rule) {
  const bool is_spread = rule.kind == GroupRuleKind::kSpread;
  const bool names_another = rule.kind == GroupRuleKind::kNear || rule.kind == GroupRuleKind::kAway;
  BLX_TRY(check.range("rules: max", rule.max, 1, is_spread ? kDomainMembersMax : 1));
  if (names_another) {
    BLX_TRY(check.name("rules: other", rule.other));
    if (rule.other == group.name) {
      return check.fault(fmt::format("rules: {} itself: {} says that of the members of one group",
                                     rule_name(rule.kind),
                                     rule.kind == GroupRuleKind::kNear ? "together" : "spread"));
    }
  } else if (!rule.other.empty()) {
    return check.fault(fmt::format("rules: other: {} has none", rule_name(rule.kind)));
  }
  constexpr std::uint32_t kWeightMax = 100;
  BLX_TRY(check.range("rules: weight", rule.weight, 1, kWeightMax));
  if (rule.hard && rule.weight != kRuleWeight) {
    return check.fault("rules: weight: a hard rule has none");
  }
  return {};
}

// What no two placements of members can both keep.
Result<void> check_together(const Checker& check, const GroupRule& a, const GroupRule& b) {
  if (a.kind == b.kind && a.level == b.level && a.other == b.other) {
    return check.fault(
        fmt::format("rules: {} of a {} twice", rule_name(a.kind), level_name(a.level)));
  }
  const bool opposite = a.kind == GroupRuleKind::kNear && b.kind == GroupRuleKind::kAway &&
                        a.other == b.other && a.hard && b.hard && b.level >= a.level;
  if (opposite) {
    return check.fault(
        fmt::format("rules: near {} in one {} and away from it in every {}: leave one of both out",
                    a.other, level_name(a.level), level_name(b.level)));
  }
  return {};
}

Result<void> check_rate(const Checker& check, const char* field, const Rate& rate) {
  if (rate.per_hour > limits::kRatePerHour || rate.burst > limits::kRateBurst) {
    return check.fault(fmt::format("{}: at most {} an hour and {} at once are possible", field,
                                   limits::kRatePerHour, limits::kRateBurst));
  }
  if (rate.per_hour == 0 && rate.burst != 0) {
    return check.fault(fmt::format("{}: a burst of {} without a rate", field, rate.burst));
  }
  return {};
}

}  // namespace

// Buckets.

namespace {

std::int64_t units_most(const Rate& rate) {
  return Bucket::kToken * std::max<std::int64_t>(rate.burst, 1);
}

}  // namespace

Bucket Bucket::filled(const Rate& rate, WallTime now) const {
  const std::int64_t most = units_most(rate);
  Bucket next = *this;
  next.units_ = std::min(units_, most);
  if (now <= time_) return next;
  const std::int64_t elapsed_ms = now.unix_ms - time_.unix_ms;
  next.time_ = now;
  const bool is_full = elapsed_ms > (most - next.units_) / rate.per_hour;
  next.units_ = is_full ? most : next.units_ + elapsed_ms * rate.per_hour;
  return next;
}

bool Bucket::take(const Rate& rate, WallTime now) {
  if (rate.per_hour == 0) return true;
  Bucket next = filled(rate, now);
  if (next.units_ < kToken) return false;
  next.units_ -= kToken;
  *this = next;
  return true;
}

std::int64_t Bucket::wait_ms(const Rate& rate, WallTime now) const {
  if (rate.per_hour == 0) return 0;
  const Bucket next = filled(rate, now);
  if (next.units_ >= kToken) return 0;
  const std::int64_t filling_ms = (kToken - next.units_ + rate.per_hour - 1) / rate.per_hour;
  return filling_ms + (next.time_.unix_ms - now.unix_ms);
}

Bucket Bucket::under(const Rate& before, const Rate& after, WallTime now) const {
  if (after.per_hour == 0) return {};
  if (before.per_hour == 0) return full(after, now);
  if (before == after) return *this;
  Bucket next = filled(before, now);
  next.units_ = std::min(next.units_, units_most(after));
  return next;
}

Bucket Bucket::full(const Rate& rate, WallTime now) {
  Bucket bucket;
  if (rate.per_hour == 0) return bucket;
  bucket.units_ = units_most(rate);
  bucket.time_ = now;
  return bucket;
}

std::optional<Bucket> Bucket::restored(std::int64_t units, WallTime time) {
  if (units < 0 || units > kToken * limits::kRateBurst || time.unix_ms < 0) return std::nullopt;
  Bucket bucket;
  bucket.units_ = units;
  bucket.time_ = time;
  return bucket;
}

// Checks.

Result<void> check_policy(const PlacementPolicy& policy) {
  const Checker check(reason::kPolicyInvalid);
  if (policy.strategy == Strategy::kManual) {
    return check.fault("strategy: manual is for single VMs, which name their node");
  }
  if (!resources::is_valid(policy.overcommit)) {
    return check.fault(
        "overcommit: 100 to 1000 percent of CPU, memory and disk, and 0 to 90 "
        "percent of reserve are possible");
  }
  BLX_TRY(check.range("preemption_grace_seconds", policy.preemption_grace_seconds, 0,
                      limits::kStopGraceSecondsMax));
  BLX_TRY(check.range("rebalance.threshold_percent", policy.rebalance.threshold_percent, 1, 100));
  BLX_TRY(check.range("rebalance.moves_per_hour", policy.rebalance.moves_per_hour, 1,
                      kMovesPerHourMax));
  BLX_TRY(check.range("cost_increase_percent", policy.cost_increase_percent, 0, kCostIncreaseMax));
  BLX_TRY(check.range("spread_domains_min", policy.spread_domains_min, 1, limits::kNodes));
  return check_latencies(check, policy.latencies);
}

Result<void> check_group(const PlacementGroup& group) {
  const Checker check(reason::kGroupInvalid);
  BLX_TRY(check.name("name", group.name));
  if (group.rules.size() > limits::kGroupRules) {
    return check.fault(fmt::format("rules: {} of them, at most {} are possible", group.rules.size(),
                                   limits::kGroupRules));
  }
  for (const GroupRule& rule : group.rules)
    BLX_TRY(check_rule(check, group, rule));
  for (std::size_t a = 0; a < group.rules.size(); ++a) {
    for (std::size_t b = 0; b < group.rules.size(); ++b) {
      if (a != b) BLX_TRY(check_together(check, group.rules[a], group.rules[b]));
    }
  }
  return check.range("gang", group.gang, 0, limits::kGang);
}

Result<void> check_tenant(const Tenant& tenant) {
  const Checker check(reason::kTenantInvalid);
  BLX_TRY(check.name("name", tenant.name));
  BLX_TRY(check.range("quota.memory_mib", tenant.quota.memory_mib, 0, kQuotaMax));
  BLX_TRY(check.range("quota.disk_mib", tenant.quota.disk_mib, 0, kQuotaMax));
  BLX_TRY(check_rate(check, "creates", tenant.creates));
  BLX_TRY(check_rate(check, "starts", tenant.starts));
  BLX_TRY(check_rate(check, "deletes", tenant.deletes));
  BLX_TRY(check.range("preemptions_per_hour", tenant.preemptions_per_hour, 0, limits::kRateBurst));
  return check.range("weight", tenant.weight, 1, limits::kTenantWeight);
}

Result<void> check_reservation(const Reservation& reservation) {
  const Checker check(reason::kReservationInvalid);
  BLX_TRY(check.name("name", reservation.name));
  BLX_TRY(check.name("tenant", reservation.tenant));
  if (!reservation.node) return check.fault("node_id: none");
  const resources::Amounts& amounts = reservation.amounts;
  BLX_TRY(check.range("cpu_milli", amounts.cpu_milli, 0,
                      limits::kNodeVcpus * resources::kMilliPerCore * 10));
  BLX_TRY(check.range("memory_mib", amounts.memory_mib, 0, limits::kNodeMemoryMib * 10LL));
  BLX_TRY(check.range("disk_mib", amounts.disk_mib, 0, limits::kDiskMib));
  if (amounts.network_mbit != 0) return check.fault("network_mbit: cannot be reserved");
  if (amounts == resources::Amounts{}) return check.fault("it reserves nothing");
  return check.range("priority", reservation.priority, 0, kPriorityMax);
}

// Names.

std::string_view preemption_name(PreemptionPolicy policy) {
  switch (policy) {
    case PreemptionPolicy::kNever:
      return "never";
    case PreemptionPolicy::kLowerPriorityOnly:
      return "lower-priority-only";
    case PreemptionPolicy::kCostAware:
      return "cost-aware";
  }
  return "unknown";
}

std::string_view level_name(TopologyLevel level) {
  switch (level) {
    case TopologyLevel::kNode:
      return "node";
    case TopologyLevel::kRack:
      return "rack";
    case TopologyLevel::kZone:
      return "zone";
    case TopologyLevel::kDatacenter:
      return "datacenter";
  }
  return "unknown";
}

std::string_view rule_name(GroupRuleKind kind) {
  switch (kind) {
    case GroupRuleKind::kSpread:
      return "spread";
    case GroupRuleKind::kTogether:
      return "together";
    case GroupRuleKind::kNear:
      return "near";
    case GroupRuleKind::kAway:
      return "away";
  }
  return "unknown";
}

std::string rule_text(const GroupRule& rule) {
  switch (rule.kind) {
    case GroupRuleKind::kSpread:
      return fmt::format("at most {} in one {}", rule.max, level_name(rule.level));
    case GroupRuleKind::kTogether:
      return fmt::format("all in one {}", level_name(rule.level));
    case GroupRuleKind::kNear:
      return fmt::format("in a {} with one of group {}", level_name(rule.level), rule.other);
    case GroupRuleKind::kAway:
      return fmt::format("in a {} with none of group {}", level_name(rule.level), rule.other);
  }
  return "";
}

}  // namespace blixard::cluster

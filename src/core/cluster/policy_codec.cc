#include "core/cluster/policy_codec.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "core/cluster/reasons.h"
#include "core/cluster/wishes_codec.h"

namespace blixard::cluster {

namespace {

std::unexpected<Error> invalid_record(const char* field) {
  return fail(Code::kDataLoss, "snapshot_invalid", field);
}

template <class T>
Result<T> as_record(const char* record, Result<T> read) {
  if (read) return read;
  return fail(Code::kDataLoss, "snapshot_invalid", record + (": " + read.error().message()));
}

std::optional<TopologyLevel> read_level(v1::TopologyLevel level, TopologyLevel absent) {
  static_assert(static_cast<int>(TopologyLevel::kNode) == v1::TOPOLOGY_LEVEL_NODE);
  static_assert(static_cast<int>(TopologyLevel::kDatacenter) == v1::TOPOLOGY_LEVEL_DATACENTER);
  if (level == v1::TOPOLOGY_LEVEL_UNSPECIFIED) return absent;
  if (level < v1::TOPOLOGY_LEVEL_NODE || level > v1::TOPOLOGY_LEVEL_DATACENTER) return std::nullopt;
  return static_cast<TopologyLevel>(level);
}

std::vector<Latency> read_latencies(
    const google::protobuf::RepeatedPtrField<v1::Latency>& latencies) {
  std::vector<Latency> values;
  for (const v1::Latency& latency : latencies) {
    Latency value{.a = Name(latency.a()), .b = Name(latency.b()), .ms = latency.ms()};
    if (value.b < value.a) std::swap(value.a, value.b);
    values.push_back(std::move(value));
  }
  std::ranges::sort(values, [](const Latency& x, const Latency& y) {
    return std::tie(x.a, x.b) < std::tie(y.a, y.b);
  });
  return values;
}

Result<GroupRule> read_rule(const v1::GroupRule& rule) {
  static_assert(static_cast<int>(GroupRuleKind::kSpread) == v1::GROUP_RULE_KIND_SPREAD);
  static_assert(static_cast<int>(GroupRuleKind::kAway) == v1::GROUP_RULE_KIND_AWAY);
  const auto level = read_level(rule.level(), TopologyLevel::kNode);
  if (rule.kind() < v1::GROUP_RULE_KIND_SPREAD || rule.kind() > v1::GROUP_RULE_KIND_AWAY) {
    return fail(Code::kInvalidArgument, reason::kGroupInvalid, "rules: one of no known kind");
  }
  if (!level) return fail(Code::kInvalidArgument, reason::kGroupInvalid, "rules: level");
  const auto kind = static_cast<GroupRuleKind>(rule.kind());
  if (kind != GroupRuleKind::kSpread && rule.max() != 0) {
    return fail(Code::kInvalidArgument, reason::kGroupInvalid, "rules: max: only of spread");
  }
  return GroupRule{.kind = kind,
                   .level = *level,
                   .max = kind == GroupRuleKind::kSpread ? rule.max() : 1,
                   .other = Name(rule.other()),
                   .hard = rule.hard(),
                   .weight = rule.weight() == 0 ? kRuleWeight : rule.weight()};
}

void write_rule(const GroupRule& rule, v1::GroupRule* out) {
  out->set_kind(static_cast<v1::GroupRuleKind>(rule.kind));
  out->set_level(static_cast<v1::TopologyLevel>(rule.level));
  if (rule.kind == GroupRuleKind::kSpread) out->set_max(rule.max);
  out->set_other(rule.other.text());
  out->set_hard(rule.hard);
  if (!rule.hard) out->set_weight(rule.weight);
}

Rate read_rate(const v1::Rate& rate) {
  return {.per_hour = rate.per_hour(), .burst = rate.burst()};
}

void write_rate(const Rate& rate, v1::Rate* out) {
  out->set_per_hour(rate.per_hour);
  out->set_burst(rate.burst);
}

Result<Bucket> read_bucket(const v1::BucketRecord& record) {
  const auto bucket = Bucket::restored(record.tokens(), WallTime{.unix_ms = record.time_unix_ms()});
  if (!bucket) return invalid_record("tenant: bucket");
  return *bucket;
}

void write_bucket(const Bucket& bucket, v1::BucketRecord* out) {
  out->set_tokens(bucket.units());
  out->set_time_unix_ms(bucket.time().unix_ms);
}

}  // namespace

Result<PlacementPolicy> read_policy(const v1::PlacementPolicy& policy) {
  const auto fault = [](const char* field) {
    return fail(Code::kInvalidArgument, reason::kPolicyInvalid, field);
  };
  PlacementPolicy value;
  if (policy.strategy() != v1::STRATEGY_UNSPECIFIED) {
    const auto strategy = read_strategy(policy.strategy());
    if (!strategy) return fault("strategy: unknown");
    value.strategy = *strategy;
  }
  if (policy.has_overcommit()) {
    value.overcommit = {.cpu_percent = policy.overcommit().cpu_percent(),
                        .memory_percent = policy.overcommit().memory_percent(),
                        .disk_percent = policy.overcommit().disk_percent(),
                        .reserve_percent = policy.overcommit().reserve_percent()};
  }
  if (policy.preemption() < v1::PREEMPTION_POLICY_UNSPECIFIED ||
      policy.preemption() > v1::PREEMPTION_POLICY_COST_AWARE) {
    return fault("preemption: unknown");
  }
  if (policy.preemption() != v1::PREEMPTION_POLICY_UNSPECIFIED) {
    static_assert(static_cast<int>(PreemptionPolicy::kNever) == v1::PREEMPTION_POLICY_NEVER);
    value.preemption = static_cast<PreemptionPolicy>(policy.preemption());
  }
  if (policy.has_preemption_grace_seconds())
    value.preemption_grace_seconds = policy.preemption_grace_seconds();
  if (policy.has_rebalance()) {
    value.rebalance = {.enabled = policy.rebalance().enabled(),
                       .threshold_percent = policy.rebalance().threshold_percent(),
                       .moves_per_hour = policy.rebalance().moves_per_hour()};
  }
  value.latencies = read_latencies(policy.latencies());
  if (policy.has_cost_increase_percent())
    value.cost_increase_percent = policy.cost_increase_percent();
  const auto level = read_level(policy.spread_level(), TopologyLevel::kZone);
  if (!level) return fault("spread_level: unknown");
  value.spread_level = *level;
  value.spread_domains_min = std::max(policy.spread_domains_min(), 1u);
  BLX_TRY(check_policy(value));
  return value;
}

void write_policy(const PlacementPolicy& policy, v1::PlacementPolicy* out) {
  out->set_strategy(write_strategy(policy.strategy));
  v1::Overcommit& overcommit = *out->mutable_overcommit();
  overcommit.set_cpu_percent(policy.overcommit.cpu_percent);
  overcommit.set_memory_percent(policy.overcommit.memory_percent);
  overcommit.set_disk_percent(policy.overcommit.disk_percent);
  overcommit.set_reserve_percent(policy.overcommit.reserve_percent);
  out->set_preemption(static_cast<v1::PreemptionPolicy>(policy.preemption));
  out->set_preemption_grace_seconds(policy.preemption_grace_seconds);
  out->mutable_rebalance()->set_enabled(policy.rebalance.enabled);
  out->mutable_rebalance()->set_threshold_percent(policy.rebalance.threshold_percent);
  out->mutable_rebalance()->set_moves_per_hour(policy.rebalance.moves_per_hour);
  for (const Latency& latency : policy.latencies) {
    v1::Latency* added = out->add_latencies();
    added->set_a(latency.a.text());
    added->set_b(latency.b.text());
    added->set_ms(latency.ms);
  }
  out->set_cost_increase_percent(policy.cost_increase_percent);
  out->set_spread_level(static_cast<v1::TopologyLevel>(policy.spread_level));
  out->set_spread_domains_min(policy.spread_domains_min);
}

Result<PlacementGroup> read_group(const v1::PlacementGroup& group) {
  PlacementGroup value{.name = Name(group.name()), .rules = {}, .gang = group.gang()};
  for (const v1::GroupRule& rule : group.rules()) {
    BLX_TRY(GroupRule read, read_rule(rule));
    value.rules.push_back(std::move(read));
  }
  BLX_TRY(check_group(value));
  return value;
}

void write_group(const PlacementGroup& group, v1::PlacementGroup* out) {
  out->set_name(group.name.text());
  for (const GroupRule& rule : group.rules)
    write_rule(rule, out->add_rules());
  out->set_gang(group.gang);
}

Result<Tenant> read_tenant(const v1::Tenant& tenant) {
  constexpr std::uint32_t kWeightDefault = 100;
  const v1::Quota& quota = tenant.quota();
  Tenant value;
  value.name = Name(tenant.name());
  value.quota = {.vms = quota.vms(),
                 .vcpus = quota.vcpus(),
                 .memory_mib = quota.memory_mib(),
                 .disk_mib = quota.disk_mib(),
                 .vms_per_node = quota.vms_per_node()};
  value.creates = read_rate(tenant.creates());
  value.starts = read_rate(tenant.starts());
  value.deletes = read_rate(tenant.deletes());
  value.preemptions_per_hour = tenant.preemptions_per_hour();
  value.weight = tenant.weight() == 0 ? kWeightDefault : tenant.weight();
  BLX_TRY(check_tenant(value));
  return value;
}

void write_tenant(const Tenant& tenant, v1::Tenant* out) {
  out->set_name(tenant.name.text());
  v1::Quota& quota = *out->mutable_quota();
  quota.set_vms(tenant.quota.vms);
  quota.set_vcpus(tenant.quota.vcpus);
  quota.set_memory_mib(tenant.quota.memory_mib);
  quota.set_disk_mib(tenant.quota.disk_mib);
  quota.set_vms_per_node(tenant.quota.vms_per_node);
  write_rate(tenant.creates, out->mutable_creates());
  write_rate(tenant.starts, out->mutable_starts());
  write_rate(tenant.deletes, out->mutable_deletes());
  out->set_preemptions_per_hour(tenant.preemptions_per_hour);
  out->set_weight(tenant.weight);
}

Result<Reservation> read_reservation(const v1::Reservation& reservation) {
  Reservation value{
      .name = Name(reservation.name()),
      .tenant = Name(reservation.tenant().empty() ? kDefaultTenant : reservation.tenant()),
      .node = NodeId(reservation.node_id()),
      .amounts = {.cpu_milli = reservation.cpu_milli(),
                  .memory_mib = reservation.memory_mib(),
                  .disk_mib = reservation.disk_mib()},
      .priority = reservation.priority(),
      .expires = {}};
  BLX_TRY(check_reservation(value));
  return value;
}

void write_reservation(const Reservation& reservation, v1::Reservation* out) {
  out->set_name(reservation.name.text());
  out->set_tenant(reservation.tenant.text());
  out->set_node_id(reservation.node.value);
  out->set_cpu_milli(static_cast<std::uint32_t>(reservation.amounts.cpu_milli));
  out->set_memory_mib(reservation.amounts.memory_mib);
  out->set_disk_mib(reservation.amounts.disk_mib);
  out->set_priority(reservation.priority);
}

Result<PlacementPolicy> read_policy_record(const v1::PlacementPolicy& policy) {
  return as_record("policy", read_policy(policy));
}

Result<PlacementGroup> read_group_record(const v1::PlacementGroup& group) {
  return as_record("group", read_group(group));
}

Result<Tenant> read_tenant_record(const v1::TenantRecord& record) {
  BLX_TRY(Tenant tenant, as_record("tenant", read_tenant(record.tenant())));
  BLX_TRY(tenant.creates_left, read_bucket(record.creates()));
  BLX_TRY(tenant.starts_left, read_bucket(record.starts()));
  BLX_TRY(tenant.deletes_left, read_bucket(record.deletes()));
  BLX_TRY(tenant.preemptions_left, read_bucket(record.preemptions()));
  return tenant;
}

void write_tenant_record(const Tenant& tenant, v1::TenantRecord* out) {
  write_tenant(tenant, out->mutable_tenant());
  write_bucket(tenant.creates_left, out->mutable_creates());
  write_bucket(tenant.starts_left, out->mutable_starts());
  write_bucket(tenant.deletes_left, out->mutable_deletes());
  write_bucket(tenant.preemptions_left, out->mutable_preemptions());
}

Result<Reservation> read_reservation_record(const v1::ReservationRecord& record) {
  BLX_TRY(Reservation reservation,
          as_record("reservation", read_reservation(record.reservation())));
  if (record.expires_unix_ms() < 0) return invalid_record("reservation: expires");
  reservation.expires = WallTime{.unix_ms = record.expires_unix_ms()};
  return reservation;
}

void write_reservation_record(const Reservation& reservation, v1::ReservationRecord* out) {
  write_reservation(reservation, out->mutable_reservation());
  out->set_expires_unix_ms(reservation.expires.unix_ms);
}

}  // namespace blixard::cluster

#include "core/cluster/wishes_codec.h"

#include <algorithm>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include "core/cluster/reasons.h"

namespace blixard::cluster {

namespace {

using Texts = google::protobuf::RepeatedPtrField<std::string>;

std::unexpected<Error> fault(std::string detail) {
  return fail(Code::kInvalidArgument, reason::kPlacementInvalid, std::move(detail));
}

std::vector<Name> read_names(const Texts& texts) {
  std::vector<Name> names;
  names.reserve(static_cast<std::size_t>(texts.size()));
  for (const std::string& text : texts)
    names.emplace_back(text);
  std::ranges::sort(names);
  return names;
}

void write_names(const std::vector<Name>& names, Texts* out) {
  for (const Name& name : names)
    *out->Add() = name.text();
}

Result<std::vector<resources::DeviceNeed>> read_needs(
    const google::protobuf::RepeatedPtrField<v1::DeviceNeed>& needs) {
  std::vector<resources::DeviceNeed> values;
  for (const v1::DeviceNeed& need : needs) {
    if (need.milli() > static_cast<std::uint32_t>(resources::kWholeDevice)) {
      return fault(fmt::format("devices: milli: {} is not between 1 and {}", need.milli(),
                               resources::kWholeDevice));
    }
    values.push_back({.kind = Name(need.kind()),
                      .count = std::max(need.count(), 1u),
                      .milli = need.milli() == 0 ? resources::kWholeDevice
                                                 : static_cast<std::int32_t>(need.milli()),
                      .models = read_names(need.models())});
  }
  std::ranges::sort(values, {}, &resources::DeviceNeed::kind);
  return values;
}

void write_needs(const std::vector<resources::DeviceNeed>& needs,
                 google::protobuf::RepeatedPtrField<v1::DeviceNeed>* out) {
  for (const resources::DeviceNeed& need : needs) {
    v1::DeviceNeed* added = out->Add();
    added->set_kind(need.kind.text());
    added->set_count(need.count);
    if (need.milli != resources::kWholeDevice) {
      added->set_milli(static_cast<std::uint32_t>(need.milli));
    }
    write_names(need.models, added->mutable_models());
  }
}

Result<void> read_amounts(const v1::PlacementSpec& placement, Wishes& wishes) {
  wishes.cpu_milli = placement.cpu_milli();
  wishes.dedicated_cpus = placement.dedicated_cpus();
  wishes.disk_mib = placement.disk_mib();
  wishes.network_mbit = placement.network_mbit();
  wishes.counters = read_counters(placement.counters());
  BLX_TRY(wishes.devices, read_needs(placement.devices()));
  return {};
}

Result<void> read_constraints(const v1::PlacementSpec& placement, Wishes& wishes) {
  for (const v1::Constraint& constraint : placement.constraints()) {
    BLX_TRY(Constraint value, read_constraint(constraint));
    wishes.constraints.push_back(std::move(value));
  }
  for (const v1::Preference& preference : placement.preferences()) {
    BLX_TRY(Constraint value, read_constraint(preference.constraint()));
    wishes.preferences.push_back({.constraint = std::move(value), .weight = preference.weight()});
  }
  for (const v1::Toleration& toleration : placement.tolerations())
    wishes.tolerations.push_back({.key = toleration.key(), .value = toleration.value()});
  return {};
}

Locality read_locality(const v1::Locality& locality) {
  return {.datacenter = Name(locality.datacenter()),
          .zone = Name(locality.zone()),
          .strict = locality.strict(),
          .excluded_datacenters = read_names(locality.excluded_datacenters()),
          .max_latency_ms = locality.max_latency_ms()};
}

void write_locality(const Locality& locality, v1::Locality* out) {
  out->set_datacenter(locality.datacenter.text());
  out->set_zone(locality.zone.text());
  out->set_strict(locality.strict);
  write_names(locality.excluded_datacenters, out->mutable_excluded_datacenters());
  out->set_max_latency_ms(locality.max_latency_ms);
}

Result<void> read_on_evict(v1::OnEvict on_evict, Wishes& wishes) {
  if (on_evict < v1::ON_EVICT_UNSPECIFIED || on_evict > v1::ON_EVICT_STOP) {
    return fault("on_evict: neither move nor stop");
  }
  wishes.on_evict = on_evict == v1::ON_EVICT_STOP ? OnEvict::kStop : OnEvict::kMove;
  return {};
}

}  // namespace

Result<Wishes> read_wishes(const v1::PlacementSpec& placement) {
  Wishes wishes;
  BLX_TRY(read_amounts(placement, wishes));
  if (placement.tenant() != kDefaultTenant) wishes.tenant = Name(placement.tenant());
  if (placement.has_priority()) wishes.priority = placement.priority();
  wishes.preemptible = placement.preemptible();
  BLX_TRY(read_on_evict(placement.on_evict(), wishes));
  wishes.groups = read_names(placement.groups());
  BLX_TRY(read_constraints(placement, wishes));
  wishes.locality = read_locality(placement.locality());
  if (placement.strategy() != v1::STRATEGY_UNSPECIFIED) {
    wishes.strategy = read_strategy(placement.strategy());
    if (!wishes.strategy) return fault("strategy: unknown");
  }
  wishes.node = Name(placement.node());
  BLX_TRY(check_wishes(wishes));
  return wishes;
}

void write_wishes(const Wishes& wishes, v1::PlacementSpec* out) {
  out->set_cpu_milli(wishes.cpu_milli);
  out->set_dedicated_cpus(wishes.dedicated_cpus);
  out->set_disk_mib(wishes.disk_mib);
  out->set_network_mbit(wishes.network_mbit);
  write_counters(wishes.counters, out->mutable_counters());
  write_needs(wishes.devices, out->mutable_devices());
  out->set_tenant(wishes.tenant.text());
  if (wishes.priority != kPriorityDefault) out->set_priority(wishes.priority);
  out->set_preemptible(wishes.preemptible);
  if (wishes.on_evict == OnEvict::kStop) out->set_on_evict(v1::ON_EVICT_STOP);
  write_names(wishes.groups, out->mutable_groups());
  for (const Constraint& constraint : wishes.constraints)
    write_constraint(constraint, out->add_constraints());
  for (const Preference& preference : wishes.preferences) {
    v1::Preference* added = out->add_preferences();
    write_constraint(preference.constraint, added->mutable_constraint());
    added->set_weight(preference.weight);
  }
  for (const Toleration& toleration : wishes.tolerations) {
    v1::Toleration* added = out->add_tolerations();
    added->set_key(toleration.key);
    added->set_value(toleration.value);
  }
  if (wishes.locality != Locality{}) write_locality(wishes.locality, out->mutable_locality());
  if (wishes.strategy) out->set_strategy(write_strategy(*wishes.strategy));
  out->set_node(wishes.node.text());
}

Result<Constraint> read_constraint(const v1::Constraint& constraint) {
  if (constraint.op() < v1::CONSTRAINT_OP_EQUAL || constraint.op() > v1::CONSTRAINT_OP_NOT_EXISTS) {
    return fault("constraints: one without an operator that is known");
  }
  static_assert(static_cast<int>(ConstraintOp::kEqual) == v1::CONSTRAINT_OP_EQUAL);
  static_assert(static_cast<int>(ConstraintOp::kMatches) == v1::CONSTRAINT_OP_MATCHES);
  static_assert(static_cast<int>(ConstraintOp::kNotExists) == v1::CONSTRAINT_OP_NOT_EXISTS);
  return Constraint{.attribute = constraint.attribute(),
                    .op = static_cast<ConstraintOp>(constraint.op()),
                    .values = {constraint.values().begin(), constraint.values().end()}};
}

void write_constraint(const Constraint& constraint, v1::Constraint* out) {
  out->set_attribute(constraint.attribute);
  out->set_op(static_cast<v1::ConstraintOp>(constraint.op));
  for (const std::string& value : constraint.values)
    out->add_values(value);
}

std::vector<Label> read_labels(const google::protobuf::RepeatedPtrField<v1::Label>& labels) {
  std::vector<Label> values;
  for (const v1::Label& label : labels)
    values.push_back({.key = label.key(), .value = label.value()});
  std::ranges::sort(values, {}, &Label::key);
  return values;
}

void write_labels(const std::vector<Label>& labels,
                  google::protobuf::RepeatedPtrField<v1::Label>* out) {
  for (const Label& label : labels) {
    v1::Label* added = out->Add();
    added->set_key(label.key);
    added->set_value(label.value);
  }
}

Result<std::vector<Taint>> read_taints(
    const google::protobuf::RepeatedPtrField<v1::Taint>& taints) {
  static_assert(static_cast<int>(TaintEffect::kAvoid) == v1::TAINT_EFFECT_AVOID);
  static_assert(static_cast<int>(TaintEffect::kRefuse) == v1::TAINT_EFFECT_REFUSE);
  std::vector<Taint> values;
  for (const v1::Taint& taint : taints) {
    if (taint.effect() < v1::TAINT_EFFECT_UNSPECIFIED || taint.effect() > v1::TAINT_EFFECT_REFUSE) {
      return fail(Code::kInvalidArgument, reason::kNodeInvalid,
                  "taints: an effect that is neither avoid nor refuse");
    }
    values.push_back({.key = taint.key(),
                      .value = taint.value(),
                      .effect = taint.effect() == v1::TAINT_EFFECT_AVOID ? TaintEffect::kAvoid
                                                                         : TaintEffect::kRefuse});
  }
  std::ranges::sort(values, {}, &Taint::key);
  return values;
}

void write_taints(const std::vector<Taint>& taints,
                  google::protobuf::RepeatedPtrField<v1::Taint>* out) {
  for (const Taint& taint : taints) {
    v1::Taint* added = out->Add();
    added->set_key(taint.key);
    added->set_value(taint.value);
    added->set_effect(static_cast<v1::TaintEffect>(taint.effect));
  }
}

std::vector<resources::Counter> read_counters(
    const google::protobuf::RepeatedPtrField<v1::Counter>& counters) {
  std::vector<resources::Counter> values;
  for (const v1::Counter& counter : counters)
    values.push_back({.name = Name(counter.name()), .amount = counter.amount()});
  std::ranges::sort(values, {}, &resources::Counter::name);
  return values;
}

void write_counters(const std::vector<resources::Counter>& counters,
                    google::protobuf::RepeatedPtrField<v1::Counter>* out) {
  for (const resources::Counter& counter : counters) {
    v1::Counter* added = out->Add();
    added->set_name(counter.name.text());
    added->set_amount(counter.amount);
  }
}

Topology read_topology(const v1::Topology& topology) {
  return {.datacenter = Name(topology.datacenter()),
          .zone = Name(topology.zone()),
          .rack = Name(topology.rack())};
}

void write_topology(const Topology& topology, v1::Topology* out) {
  out->set_datacenter(topology.datacenter.text());
  out->set_zone(topology.zone.text());
  out->set_rack(topology.rack.text());
}

std::optional<Strategy> read_strategy(v1::Strategy strategy) {
  static_assert(static_cast<int>(Strategy::kFragmentationAware) ==
                v1::STRATEGY_FRAGMENTATION_AWARE);
  static_assert(static_cast<int>(Strategy::kManual) == v1::STRATEGY_MANUAL);
  static_assert(static_cast<int>(Strategy::kCostOptimized) == v1::STRATEGY_COST_OPTIMIZED);
  if (strategy < v1::STRATEGY_FRAGMENTATION_AWARE || strategy > v1::STRATEGY_COST_OPTIMIZED) {
    return std::nullopt;
  }
  return static_cast<Strategy>(strategy);
}

v1::Strategy write_strategy(Strategy strategy) { return static_cast<v1::Strategy>(strategy); }

std::optional<EvictCause> read_cause(v1::EvictCause cause) {
  static_assert(static_cast<int>(EvictCause::kDrain) == v1::EVICT_CAUSE_DRAIN);
  static_assert(static_cast<int>(EvictCause::kRebalance) == v1::EVICT_CAUSE_REBALANCE);
  if (cause < v1::EVICT_CAUSE_DRAIN || cause > v1::EVICT_CAUSE_REBALANCE) return std::nullopt;
  return static_cast<EvictCause>(cause);
}

v1::EvictCause write_cause(EvictCause cause) { return static_cast<v1::EvictCause>(cause); }

}  // namespace blixard::cluster

#pragma once

// What VMs ask of nodes and nodes offer, <-> messages of the schema
// (proto/blixard/v1/placement.proto). Rules as in codec.h; what has no order of its own comes out
// sorted.

#include <optional>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "blixard/v1/placement.pb.h"
#include "core/cluster/model.h"
#include "core/cluster/wishes.h"

namespace blixard::cluster {

// Errors: kInvalidArgument "placement_invalid".
Result<Wishes> read_wishes(const v1::PlacementSpec& placement);
void write_wishes(const Wishes& wishes, v1::PlacementSpec* out);

// Errors: kInvalidArgument "placement_invalid".
Result<Constraint> read_constraint(const v1::Constraint& constraint);
void write_constraint(const Constraint& constraint, v1::Constraint* out);

// Not checked.
std::vector<Label> read_labels(const google::protobuf::RepeatedPtrField<v1::Label>& labels);
void write_labels(const std::vector<Label>& labels,
                  google::protobuf::RepeatedPtrField<v1::Label>* out);
// Errors: kInvalidArgument "node_invalid" of an unknown effect.
Result<std::vector<Taint>> read_taints(const google::protobuf::RepeatedPtrField<v1::Taint>& taints);
void write_taints(const std::vector<Taint>& taints,
                  google::protobuf::RepeatedPtrField<v1::Taint>* out);
// Not checked.
std::vector<resources::Counter> read_counters(
    const google::protobuf::RepeatedPtrField<v1::Counter>& counters);
void write_counters(const std::vector<resources::Counter>& counters,
                    google::protobuf::RepeatedPtrField<v1::Counter>* out);
Topology read_topology(const v1::Topology& topology);
void write_topology(const Topology& topology, v1::Topology* out);

// Nothing: unspecified or unknown.
std::optional<Strategy> read_strategy(v1::Strategy strategy);
v1::Strategy write_strategy(Strategy strategy);
std::optional<EvictCause> read_cause(v1::EvictCause cause);
v1::EvictCause write_cause(EvictCause cause);

}  // namespace blixard::cluster

#pragma once

// What operators decide about placement, <-> messages of the schema. Rules as in codec.h: what is
// absent or unspecified has the value of the struct's default.

#include "base/result.h"
#include "blixard/v1/cluster.pb.h"
#include "core/cluster/policy.h"

namespace blixard::cluster {

// Errors: kInvalidArgument "policy_invalid".
Result<PlacementPolicy> read_policy(const v1::PlacementPolicy& policy);
// Errors: kInvalidArgument "group_invalid".
Result<PlacementGroup> read_group(const v1::PlacementGroup& group);
// With empty buckets. Errors: kInvalidArgument "tenant_invalid".
Result<Tenant> read_tenant(const v1::Tenant& tenant);
// Without an end. Errors: kInvalidArgument "reservation_invalid".
Result<Reservation> read_reservation(const v1::Reservation& reservation);

void write_policy(const PlacementPolicy& policy, v1::PlacementPolicy* out);
void write_group(const PlacementGroup& group, v1::PlacementGroup* out);
void write_tenant(const Tenant& tenant, v1::Tenant* out);
// Without an end.
void write_reservation(const Reservation& reservation, v1::Reservation* out);

// Records of a snapshot. Errors: kDataLoss "snapshot_invalid" with the field.
Result<PlacementPolicy> read_policy_record(const v1::PlacementPolicy& policy);
Result<PlacementGroup> read_group_record(const v1::PlacementGroup& group);
Result<Tenant> read_tenant_record(const v1::TenantRecord& record);
Result<Reservation> read_reservation_record(const v1::ReservationRecord& record);

void write_tenant_record(const Tenant& tenant, v1::TenantRecord* out);
void write_reservation_record(const Reservation& reservation, v1::ReservationRecord* out);

}  // namespace blixard::cluster

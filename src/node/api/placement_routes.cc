// The rows of the route table about placement.

#include <vector>

#include "blixard/v1/api.pb.h"
#include "node/api/api.h"

namespace blixard::api {

namespace {

using http::Method;

template <class T>
const google::protobuf::Message* message() {
  return &T::default_instance();
}

}  // namespace

std::vector<Route> Api::placement_routes() {
  return {
      {.method = Method::kGet,
       .pattern = "/v1/nodes/{name}",
       .name = "get_node",
       .summary = "Show a node",
       .parameters = kConsistency,
       .response = message<v1::Node>(),
       .errors = "node_not_found",
       .handler = &Api::get_node},
      {.method = Method::kPost,
       .pattern = "/v1/nodes/{name}/update",
       .name = "update_node",
       .summary = "Change the labels and taints of a node, and whether it takes new VMs",
       .is_mutation = true,
       .request = message<v1::UpdateNodeRequest>(),
       .response = message<v1::Node>(),
       .errors = "node_not_found placement_invalid node_invalid model_too_old",
       .handler = &Api::update_node},
      {.method = Method::kPost,
       .pattern = "/v1/nodes/{name}/drain",
       .name = "drain_node",
       .summary = "Move the VMs of a node elsewhere; again: with another deadline",
       .is_mutation = true,
       .status = 200,
       .request = message<v1::DrainNodeRequest>(),
       .response = message<v1::Node>(),
       .errors = "node_not_found node_leaving model_too_old",
       .handler = &Api::drain_node},
      {.method = Method::kPost,
       .pattern = "/v1/nodes/{name}/undrain",
       .name = "undrain_node",
       .summary = "End or cancel a drain: the node takes VMs again",
       .is_mutation = true,
       .response = message<v1::Node>(),
       .errors = "node_not_found model_too_old",
       .handler = &Api::undrain_node},
      {.method = Method::kGet,
       .pattern = "/v1/placement/policy",
       .name = "get_placement_policy",
       .summary = "Show how the cluster places VMs",
       .parameters = kConsistency,
       .response = message<v1::PlacementPolicy>(),
       .handler = &Api::get_policy},
      {.method = Method::kPut,
       .pattern = "/v1/placement/policy",
       .name = "set_placement_policy",
       .summary = "Replace the policy; what is absent has its default",
       .is_mutation = true,
       .request = message<v1::PlacementPolicy>(),
       .response = message<v1::PlacementPolicy>(),
       .errors = "policy_invalid model_too_old",
       .handler = &Api::set_policy},
  };
}

std::vector<Route> Api::planning_routes() {
  return {
      {.method = Method::kGet,
       .pattern = "/v1/vms/{name}/explain",
       .name = "explain_vm",
       .summary = "Say why a VM is where it is or waits: what keeps it from nodes, how good the "
                  "chosen one and the next ones are, and what would make it fit",
       .parameters = kConsistency,
       .response = message<v1::VmExplanation>(),
       .errors = "vm_not_found",
       .handler = &Api::explain_vm},
      {.method = Method::kPost,
       .pattern = "/v1/plan",
       .name = "plan",
       .summary = "Say what would become of VMs if they were created now; nothing is changed",
       .parameters = kConsistency,
       .request = message<v1::PlanRequest>(),
       .response = message<v1::PlanAnswer>(),
       .errors = "too_many_copies",
       .handler = &Api::plan},
      {.method = Method::kGet,
       .pattern = "/v1/cluster/state",
       .name = "copy_state",
       .summary = "Copy the replicated state, to plan on it elsewhere: blixard plan --state",
       .parameters = kConsistency,
       .content_type = "application/octet-stream",
       .errors = "too_many_copies no_leader no_quorum",
       .handler = &Api::copy_state},
  };
}

std::vector<Route> Api::group_routes() {
  return {
      {.method = Method::kGet,
       .pattern = "/v1/groups",
       .name = "list_groups",
       .summary = "List the placement groups",
       .parameters = kConsistency,
       .response = message<v1::GroupList>(),
       .handler = &Api::list_groups},
      {.method = Method::kPut,
       .pattern = "/v1/groups/{name}",
       .name = "set_group",
       .summary =
           "Make a placement group, or replace its rules; they hold for what is placed later",
       .is_mutation = true,
       .request = message<v1::PlacementGroup>(),
       .response = message<v1::PlacementGroup>(),
       .errors = "group_invalid group_not_found group_cycle too_many_groups "
                 "model_too_old",
       .handler = &Api::set_group},
      {.method = Method::kDelete,
       .pattern = "/v1/groups/{name}",
       .name = "delete_group",
       .summary = "Delete a placement group that nothing uses",
       .is_mutation = true,
       .response = message<v1::PlacementGroup>(),
       .errors = "name_invalid group_not_found group_in_use",
       .handler = &Api::delete_group},
  };
}

std::vector<Route> Api::tenancy_routes() {
  return {
      {.method = Method::kGet,
       .pattern = "/v1/tenants",
       .name = "list_tenants",
       .summary = "List the tenants, with what they use",
       .parameters = kConsistency,
       .response = message<v1::TenantList>(),
       .handler = &Api::list_tenants},
      {.method = Method::kPut,
       .pattern = "/v1/tenants/{name}",
       .name = "set_tenant",
       .summary = "Set the limits of a tenant; what is absent has none",
       .is_mutation = true,
       .request = message<v1::Tenant>(),
       .response = message<v1::TenantState>(),
       .errors = "tenant_invalid too_many_tenants model_too_old",
       .handler = &Api::set_tenant},
      {.method = Method::kDelete,
       .pattern = "/v1/tenants/{name}",
       .name = "delete_tenant",
       .summary = "Forget the limits of a tenant; its VMs stay",
       .is_mutation = true,
       .response = message<v1::TenantState>(),
       .errors = "name_invalid tenant_not_found",
       .handler = &Api::delete_tenant},
      {.method = Method::kGet,
       .pattern = "/v1/reservations",
       .name = "list_reservations",
       .summary = "List the reservations",
       .parameters = kConsistency,
       .response = message<v1::ReservationList>(),
       .handler = &Api::list_reservations},
      {.method = Method::kPut,
       .pattern = "/v1/reservations/{name}",
       .name = "set_reservation",
       .summary = "Keep room of a node for a tenant",
       .is_mutation = true,
       .request = message<v1::ReservationRequest>(),
       .response = message<v1::ReservationState>(),
       .errors = "reservation_invalid reservation_exists node_not_found node_full "
                 "too_many_reservations model_too_old",
       .handler = &Api::set_reservation},
      {.method = Method::kDelete,
       .pattern = "/v1/reservations/{name}",
       .name = "delete_reservation",
       .summary = "Give the room back",
       .is_mutation = true,
       .response = message<v1::ReservationState>(),
       .errors = "name_invalid reservation_not_found",
       .handler = &Api::delete_reservation},
  };
}

}  // namespace blixard::api

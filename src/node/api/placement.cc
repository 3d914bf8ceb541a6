// Requests about placement: what operators say of nodes, and the policy, groups, tenants and
// reservations of the cluster.

#include <set>

#include <fmt/format.h>

#include "base/limits.h"
#include "blixard/v1/api.pb.h"
#include "blixard/v1/cluster.pb.h"
#include "core/cluster/policy_codec.h"
#include "core/cluster/reasons.h"
#include "node/api/api.h"
#include "node/api/convert.h"
#include "node/api/json.h"

namespace blixard::api {
namespace {

constexpr std::uint32_t kDrainSeconds = 600;
constexpr std::uint32_t kDrainParallel = 2;

// The name in a body is that of the path, or none.
Result<void> check_same_name(std::string_view body, const std::string& path) {
  if (body.empty() || body == path) return {};
  return fail(Code::kInvalidArgument, "body_invalid", fmt::format("name: the path says {}", path));
}

v1::TenantState to_message(const cluster::Tenant& tenant, const cluster::State& state) {
  v1::TenantState message;
  cluster::write_tenant(tenant, message.mutable_tenant());
  const bool is_default = tenant.name == cluster::kDefaultTenant;
  const cluster::TenantUse use = state.use_of(is_default ? Name() : tenant.name);
  message.set_vms(static_cast<std::uint32_t>(use.vms));
  message.set_vcpus(static_cast<std::uint32_t>(use.vcpus));
  message.set_memory_mib(use.memory_mib);
  message.set_disk_mib(use.disk_mib);
  return message;
}

v1::ReservationState to_message(const cluster::Reservation& reservation,
                                const cluster::State& state) {
  v1::ReservationState message;
  message.set_name(reservation.name.text());
  message.set_tenant(reservation.tenant.text());
  if (const cluster::Node* node = state.find_node(reservation.node)) {
    message.set_node(node->name.text());
  }
  message.set_cpu_milli(static_cast<std::uint32_t>(reservation.amounts.cpu_milli));
  message.set_memory_mib(reservation.amounts.memory_mib);
  message.set_disk_mib(reservation.amounts.disk_mib);
  message.set_priority(reservation.priority);
  message.set_expires(time_text(reservation.expires));
  return message;
}

v1::PlacementGroup to_message(const cluster::PlacementGroup& group) {
  v1::PlacementGroup message;
  cluster::write_group(group, &message);
  return message;
}

}  // namespace

Result<const cluster::Node*> Api::node_named(std::string_view name) const {
  const cluster::Node* node = replica_.state().find_node(name);
  if (node != nullptr) return node;
  return fail(Code::kNotFound, cluster::reason::kNodeNotFound,
              fmt::format("no node is named {}", name));
}

// As it is now; it may have gone since.
Result<http::Response> Api::node_response(const std::string& name) const {
  BLX_TRY(const cluster::Node* node, node_named(name));
  return json_response(200, to_message(*node, replica_.state()));
}

env::Task<Result<http::Response>> Api::get_node(const Call& call) {
  BLX_CO_TRY(co_await barrier(call));
  co_return node_response(call.name);
}

env::Task<Result<http::Response>> Api::update_node(const Call& call) {
  v1::UpdateNodeRequest request;
  BLX_CO_TRY(from_json(call.request.body, request));
  BLX_CO_TRY(const cluster::Node* node, node_named(call.name));
  v1::Command command;
  auto& update = *command.mutable_update_node();
  update.set_node_id(node->id.value);
  update.mutable_set_labels()->Swap(request.mutable_set_labels());
  update.mutable_remove_labels()->Swap(request.mutable_remove_labels());
  update.mutable_set_taints()->Swap(request.mutable_set_taints());
  update.mutable_remove_taints()->Swap(request.mutable_remove_taints());
  if (request.has_cordoned()) update.set_cordoned(request.cordoned());
  BLX_CO_TRY(co_await propose(call, std::move(command)));
  co_return node_response(call.name);
}

env::Task<Result<http::Response>> Api::drain_node(const Call& call) {
  v1::DrainNodeRequest request;
  BLX_CO_TRY(from_json(call.request.body, request));
  BLX_CO_TRY(const cluster::Node* node, node_named(call.name));
  v1::Command command;
  auto& drain = *command.mutable_drain_node();
  drain.set_node_id(node->id.value);
  const std::uint32_t seconds =
      request.has_deadline_seconds() ? request.deadline_seconds() : kDrainSeconds;
  drain.set_deadline_ms(std::int64_t{seconds} * 1000);
  drain.set_parallel(request.has_parallel() ? request.parallel() : kDrainParallel);
  BLX_CO_TRY(co_await propose(call, std::move(command)));
  co_return node_response(call.name);
}

env::Task<Result<http::Response>> Api::undrain_node(const Call& call) {
  BLX_CO_TRY(const cluster::Node* node, node_named(call.name));
  v1::Command command;
  command.mutable_drain_node()->set_node_id(node->id.value);
  command.mutable_drain_node()->set_cancel(true);
  BLX_CO_TRY(co_await propose(call, std::move(command)));
  co_return node_response(call.name);
}

env::Task<Result<http::Response>> Api::get_policy(const Call& call) {
  BLX_CO_TRY(co_await barrier(call));
  v1::PlacementPolicy message;
  cluster::write_policy(replica_.state().policy(), &message);
  co_return json_response(200, message);
}

env::Task<Result<http::Response>> Api::set_policy(const Call& call) {
  v1::Command command;
  auto& policy = *command.mutable_set_policy()->mutable_policy();
  BLX_CO_TRY(from_json(call.request.body, policy));
  BLX_CO_TRY(co_await propose(call, std::move(command)));
  v1::PlacementPolicy message;
  cluster::write_policy(replica_.state().policy(), &message);
  co_return json_response(200, message);
}

env::Task<Result<http::Response>> Api::list_groups(const Call& call) {
  BLX_CO_TRY(co_await barrier(call));
  v1::GroupList list;
  for (const auto& [name, group] : replica_.state().groups())
    *list.add_groups() = to_message(group);
  co_return json_response(200, list);
}

env::Task<Result<http::Response>> Api::set_group(const Call& call) {
  v1::Command command;
  auto& group = *command.mutable_set_group()->mutable_group();
  BLX_CO_TRY(from_json(call.request.body, group));
  BLX_CO_TRY(check_same_name(group.name(), call.name));
  group.set_name(call.name);
  const v1::PlacementGroup set = group;
  BLX_CO_TRY(co_await propose(call, std::move(command)));
  co_return json_response(200, set);
}

env::Task<Result<http::Response>> Api::delete_group(const Call& call) {
  const cluster::PlacementGroup* found = replica_.state().find_group(call.name);
  const auto group = found != nullptr ? *found : cluster::PlacementGroup{.name = Name(call.name)};
  v1::Command command;
  command.mutable_remove_group()->set_name(call.name);
  BLX_CO_TRY(co_await propose(call, std::move(command)));
  co_return json_response(200, to_message(group));
}

env::Task<Result<http::Response>> Api::list_tenants(const Call& call) {
  BLX_CO_TRY(co_await barrier(call));
  const cluster::State& state = replica_.state();
  // Those with limits, and those that have VMs.
  std::set<Name> names;
  for (const auto& [name, tenant] : state.tenants())
    names.insert(name);
  for (const auto& [name, use] : state.named_tenants())
    names.insert(name);
  names.emplace(cluster::kDefaultTenant);
  v1::TenantList list;
  for (const Name& name : names) {
    const cluster::Tenant* tenant = state.find_tenant(name);
    *list.add_tenants() =
        to_message(tenant != nullptr ? *tenant : cluster::Tenant{.name = name}, state);
  }
  co_return json_response(200, list);
}

env::Task<Result<http::Response>> Api::set_tenant(const Call& call) {
  v1::Command command;
  auto& tenant = *command.mutable_set_tenant()->mutable_tenant();
  BLX_CO_TRY(from_json(call.request.body, tenant));
  BLX_CO_TRY(check_same_name(tenant.name(), call.name));
  tenant.set_name(call.name);
  BLX_CO_TRY(co_await propose(call, std::move(command)));
  const cluster::State& state = replica_.state();
  const cluster::Tenant* set = state.find_tenant(call.name);
  co_return json_response(
      200, to_message(set != nullptr ? *set : cluster::Tenant{.name = Name(call.name)}, state));
}

env::Task<Result<http::Response>> Api::delete_tenant(const Call& call) {
  const cluster::State& state = replica_.state();
  const cluster::Tenant* found = state.find_tenant(call.name);
  const auto message =
      to_message(found != nullptr ? *found : cluster::Tenant{.name = Name(call.name)}, state);
  v1::Command command;
  command.mutable_remove_tenant()->set_name(call.name);
  BLX_CO_TRY(co_await propose(call, std::move(command)));
  co_return json_response(200, message);
}

env::Task<Result<http::Response>> Api::list_reservations(const Call& call) {
  BLX_CO_TRY(co_await barrier(call));
  const cluster::State& state = replica_.state();
  v1::ReservationList list;
  for (const auto& [name, reservation] : state.reservations())
    *list.add_reservations() = to_message(reservation, state);
  co_return json_response(200, list);
}

env::Task<Result<http::Response>> Api::set_reservation(const Call& call) {
  v1::ReservationRequest request;
  BLX_CO_TRY(from_json(call.request.body, request));
  BLX_CO_TRY(const cluster::Node* node, node_named(request.node()));
  v1::Command command;
  auto& reservation = *command.mutable_set_reservation()->mutable_reservation();
  reservation.set_name(call.name);
  reservation.set_tenant(request.tenant());
  reservation.set_node_id(node->id.value);
  reservation.set_cpu_milli(request.cpu_milli());
  reservation.set_memory_mib(request.memory_mib());
  reservation.set_disk_mib(request.disk_mib());
  reservation.set_priority(request.has_priority() ? request.priority() : cluster::kPriorityMax);
  reservation.set_lifetime_ms(std::int64_t{request.lifetime_seconds()} * 1000);
  BLX_CO_TRY(co_await propose(call, std::move(command)));
  const cluster::Reservation* set = replica_.state().find_reservation(call.name);
  const cluster::Reservation gone{.name = Name(call.name)};
  co_return json_response(200, to_message(set != nullptr ? *set : gone, replica_.state()));
}

env::Task<Result<http::Response>> Api::delete_reservation(const Call& call) {
  const cluster::Reservation* found = replica_.state().find_reservation(call.name);
  const cluster::Reservation none{.name = Name(call.name)};
  const auto message = to_message(found != nullptr ? *found : none, replica_.state());
  v1::Command command;
  command.mutable_remove_reservation()->set_name(call.name);
  BLX_CO_TRY(co_await propose(call, std::move(command)));
  co_return json_response(200, message);
}

}  // namespace blixard::api

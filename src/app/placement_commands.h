#pragma once

// The words about placement: what nodes offer and who keeps off them, drains, the policy, groups,
// tenants and reservations.

#include "app/api_client.h"
#include "app/cli.h"
#include "env/env.h"
#include "env/task.h"

namespace blixard::app {

env::Task<Result<void>> update_node(ApiClient& api, NodeUpdate update, OutputFormat output);
env::Task<Result<void>> show_node(ApiClient& api, NodeShow show, OutputFormat output);
// Waits until the drain has ended unless told otherwise.
env::Task<Result<void>> drain_node(env::Env env, ApiClient& api, NodeDrain drain,
                                   OutputFormat output);
env::Task<Result<void>> change_policy(ApiClient& api, PolicyCommand policy, OutputFormat output);
env::Task<Result<void>> change_group(ApiClient& api, GroupCommand group, OutputFormat output);
env::Task<Result<void>> change_tenant(ApiClient& api, TenantCommand tenant, OutputFormat output);
env::Task<Result<void>> change_reservation(ApiClient& api, ReservationCommand reservation,
                                           OutputFormat output);

}  // namespace blixard::app

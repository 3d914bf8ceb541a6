#pragma once

// What placement would do: `vm explain` and `plan`.

#include <string>

#include <boost/json/value.hpp>

#include "app/api_client.h"
#include "app/cli.h"
#include "env/env.h"
#include "env/task.h"

namespace blixard::app {

env::Task<Result<void>> explain_vm(ApiClient& api, VmExplain explain, OutputFormat output);
// Errors: beside others "some_failed", which was told already, unless all VMs would be placed.
env::Task<Result<void>> plan_vms(env::Env env, ApiClient& api, PlanCommand plan,
                                 OutputFormat output);

// The API's answers for people.
std::string explanation_text(const boost::json::value& answer);
std::string plan_text(const boost::json::value& answer);

}  // namespace blixard::app

#pragma once

// `blixard trace`: what was done for a request, on which node and when.

#include "app/api_client.h"
#include "app/cli.h"

namespace blixard::app {

env::Task<Result<void>> list_traces(ApiClient& api, OutputFormat output, WallTime now);
env::Task<Result<void>> show_trace(ApiClient& api, const TraceShow& show, OutputFormat output);

}  // namespace blixard::app

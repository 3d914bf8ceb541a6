#pragma once

// The saved guests of the node that is asked: `blixard template`.

#include <string>

#include <boost/json/value.hpp>

#include "app/api_client.h"
#include "app/cli.h"
#include "base/units.h"
#include "env/task.h"

namespace blixard::app {

env::Task<Result<void>> list_templates(ApiClient& api, WallTime now, OutputFormat output);
// Returns when it is made.
env::Task<Result<void>> create_template(ApiClient& api, TemplateCommand create,
                                        OutputFormat output);
env::Task<Result<void>> delete_template(ApiClient& api, TemplateCommand remove,
                                        OutputFormat output);

// The API's answers for people.
std::string templates_table(const boost::json::value& answer, WallTime now);
// "warm, 83 ms"; "cold, 1532 ms (no template yet)"; empty: none was told.
std::string start_text(const boost::json::value& vm);

}  // namespace blixard::app

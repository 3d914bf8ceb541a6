// Requests about the configuration of the node that is asked.

#include "node/api/configuration.h"

#include "blixard/v1/api.pb.h"
#include "node/api/api.h"

namespace blixard::api {

env::Task<Result<http::Response>> Api::show_configuration(const Call& /*call*/) {
  if (options_.configuration == nullptr) co_return fail(Code::kUnavailable, "not_ready");
  v1::Configuration message;
  for (ConfigurationValue& value : options_.configuration->values()) {
    v1::ConfigurationValue& added = *message.add_values();
    added.set_key(std::move(value.key));
    added.set_value(std::move(value.value));
    added.set_source(std::move(value.source));
    added.set_at_run_time(value.at_run_time);
    added.set_waiting(std::move(value.waiting));
  }
  co_return json_response(200, message);
}

env::Task<Result<http::Response>> Api::reload_configuration(const Call& /*call*/) {
  if (options_.configuration == nullptr) co_return fail(Code::kUnavailable, "not_ready");
  BLX_CO_TRY(ConfigurationReload reload, options_.configuration->reload());
  v1::ConfigurationReload message;
  for (std::string& key : reload.changed)
    message.add_changed(std::move(key));
  for (std::string& key : reload.needs_restart)
    message.add_needs_restart(std::move(key));
  co_return json_response(200, message);
}

}  // namespace blixard::api

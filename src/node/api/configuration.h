#pragma once

// The daemon's configuration as the API shows it and has it read anew. Who starts the node knows
// where it comes from; a node without one has nothing to show.

#include <string>
#include <vector>

#include "base/result.h"

namespace blixard::api {

struct ConfigurationValue {
  std::string key;     // "api.listen"
  std::string value;   // as in the file; a secret is hidden
  std::string source;  // "default", "/etc/blixard/blixard.toml:12", "--listen"
  bool at_run_time = false;
  std::string waiting;  // the value that a restart would give; empty: the same
};

struct ConfigurationReload {
  std::vector<std::string> changed;        // keys that have their new value now
  std::vector<std::string> needs_restart;  // keys whose new value waits for the next start
};

class Configuration {
 public:
  virtual ~Configuration() = default;
  [[nodiscard]] virtual std::vector<ConfigurationValue> values() const = 0;
  // All or nothing: after an error everything is as it was. Errors: kInvalidArgument
  // "configuration_invalid", kFailedPrecondition "configuration_no_file", kNotFound or kUnavailable
  // "configuration_unreadable".
  virtual Result<ConfigurationReload> reload() = 0;
};

}  // namespace blixard::api

#pragma once

// The configuration of a running daemon: read again on SIGHUP and when the API is asked to.
//
// A file is taken whole or not at all. What may change at run time is published as one value to all
// who look at it; what may not keeps its value until a restart, and is said to wait for it.
//
// Belongs to the node's thread; readers of settings() may be on any.

#include <string>
#include <vector>

#include "app/cli.h"
#include "app/configuration.h"
#include "app/log_sink.h"
#include "env/settings.h"
#include "node/api/configuration.h"

namespace blixard::app {

class Reloader final : public api::Configuration {
 public:
  // `first` is what `options` gave at the start; `log` outlives the reloader.
  Reloader(NodeOptions options, Effective first, ProgramLog& log);

  [[nodiscard]] const app::Configuration& running() const { return running_.values; }
  [[nodiscard]] env::SettingsView& settings() { return settings_; }
  [[nodiscard]] bool has_file() const { return !options_.config_file.empty(); }

  [[nodiscard]] std::vector<api::ConfigurationValue> values() const override;
  // Says what it did, or why not, in the log too.
  Result<api::ConfigurationReload> reload() override;

 private:
  Result<api::ConfigurationReload> read_again();

  NodeOptions options_;
  Effective running_;
  app::Configuration latest_;  // as it was read last: what a restart would give
  env::SettingsView settings_;
  ProgramLog& log_;
};

}  // namespace blixard::app

#include "app/reloader.h"

#include <utility>

#include <fmt/ranges.h>

#include "observe/allocations.h"

namespace blixard::app {

Reloader::Reloader(NodeOptions options, Effective first, ProgramLog& log)
    : options_(std::move(options)),
      running_(std::move(first)),
      latest_(running_.values),
      settings_(settings_of(running_.values)),
      log_(log) {}

std::vector<api::ConfigurationValue> Reloader::values() const {
  std::vector<api::ConfigurationValue> all;
  for (std::size_t i = 0; i < keys().size(); ++i) {
    const Key& key = keys()[i];
    const bool waits = value_text(key, running_.values) != value_text(key, latest_);
    all.push_back({.key = std::string(key.name),
                   .value = shown_value(key, running_.values),
                   .source = origin_text(key, running_.origins[i], options_.config_file),
                   .at_run_time = key.at_run_time,
                   .waiting = waits ? shown_value(key, latest_) : std::string()});
  }
  return all;
}

Result<api::ConfigurationReload> Reloader::reload() {
  auto done = read_again();
  if (!done) {
    BLX_LOG(log_, kWarn, "the configuration stays as it was: {}", done.error().message());
    return done;
  }
  BLX_LOG(
      log_, kInfo, "the configuration was read again: {}",
      done->changed.empty() ? "nothing changes" : fmt::format("{}", fmt::join(done->changed, " ")));
  for (const std::string& key : done->needs_restart)
    BLX_LOG(log_, kWarn, "needs a restart: {}", key);
  return done;
}

Result<api::ConfigurationReload> Reloader::read_again() {
  if (options_.config_file.empty()) {
    return fail(Code::kFailedPrecondition, "configuration_no_file");
  }
  BLX_TRY(const ConfigurationFile file, read_configuration_file(options_.config_file));
  BLX_TRY(Effective next, configure(file, options_.given));
  api::ConfigurationReload reload;
  for (const std::size_t i : differing(running_.values, next.values)) {
    (keys()[i].at_run_time ? reload.changed : reload.needs_restart).emplace_back(keys()[i].name);
  }
  for (std::size_t i = 0; i < keys().size(); ++i) {
    if (!keys()[i].at_run_time) continue;
    copy_value(keys()[i], next.values, running_.values);
    running_.origins[i] = next.origins[i];
  }
  latest_ = std::move(next.values);
  if (env::Settings settings = settings_of(running_.values); settings != settings_.latest()) {
    log_.set_least(settings.log_level);
    observe::count_allocations(settings.count_allocations);
    settings_.publish(std::move(settings));
  }
  return reload;
}

}  // namespace blixard::app

#include <mutex>
#include <shared_mutex>

#include "env/settings.h"
#include "test/perf/report/counting.h"
#include "test/perf/shared_state_access/cases.h"
#include "test/perf/shared_state_access/racing.h"

namespace blixard::perf {
namespace {

// An address that fits in no short string, as that of a collector seldom does.
env::Settings settings_of(std::uint64_t version) {
  return {.event_streams = version % 64,
          .otlp_endpoint = "http://collector.monitoring.internal:" + std::to_string(4318)};
}

// A thousand reloads a second, which no operator reaches.
constexpr Race kReloads{.readers = 1, .pause = std::chrono::microseconds(1000)};

struct Ways {
  env::SettingsView view{settings_of(0)};
  std::mutex atomic_change;
  std::shared_ptr<const env::Settings> shared = std::make_shared<env::Settings>(settings_of(0));
  mutable std::shared_mutex mutex;
  env::Settings locked = settings_of(0);
  std::uint64_t version = 0;
};

double view_ns(Ways& ways) {
  const auto reader = [&](std::size_t) {
    return [own = std::make_unique<env::SettingsView::Reader>(ways.view)] {
      keep(own->read().event_streams);
    };
  };
  return race(kReloads, reader, [&] { ways.view.publish(settings_of(++ways.version)); })
      .ns_per_read;
}

double shared_pointer_ns(Ways& ways) {
  const auto reader = [&](std::size_t) {
    return [&] { keep(std::atomic_load(&ways.shared)->event_streams); };
  };
  return race(kReloads, reader,
              [&] {
                std::atomic_store(
                    &ways.shared,
                    std::shared_ptr<const env::Settings>(
                        std::make_shared<env::Settings>(settings_of(++ways.version))));
              })
      .ns_per_read;
}

double locked_ns(Ways& ways, bool copies) {
  const auto reader = [&, copies](std::size_t) {
    return [&, copies] {
      const std::shared_lock lock(ways.mutex);
      if (copies) {
        const env::Settings copy = ways.locked;
        keep(copy.event_streams);
      } else {
        keep(ways.locked.event_streams);
      }
    };
  };
  return race(kReloads, reader,
              [&] {
                const std::unique_lock lock(ways.mutex);
                ways.locked = settings_of(++ways.version);
              })
      .ns_per_read;
}

}  // namespace

void add_settings_cases(Report& report) {
  const auto ways = std::make_shared<Ways>();
  report.add({.name = "a configuration value while it is reloaded",
              .unit = "ns",
              .items = {"S26"},
              .measure = [=] { return view_ns(*ways); },
              .baselines = {{"copy under a shared lock", [=] { return locked_ns(*ways, true); }},
                            {"visit under a shared lock", [=] { return locked_ns(*ways, false); }},
                            {"atomic shared_ptr", [=] { return shared_pointer_ns(*ways); }}},
              .allocations =
                  [=] {
                    env::SettingsView::Reader reader(ways->view);
                    return allocations_of([&] { keep(reader.read().event_streams); });
                  },
              .targets = {at_most(2), allocations_at_most(0),
                          better_than("copy under a shared lock", 10)}});
}

}  // namespace blixard::perf

#pragma once

// What may change while a node runs: one immutable value, published whole by whoever reads the
// configuration (observe/view.h), so that nobody sees half of a change. Whatever else a node is
// told holds until its end.

#include <cstddef>
#include <string>

#include "base/limits.h"
#include "observe/log.h"
#include "observe/view.h"

namespace blixard::env {

struct Settings {
  observe::Level log_level = observe::Level::kInfo;
  std::size_t http_connections = limits::kHttpConnections;
  std::size_t event_streams = limits::kEventStreams;
  std::size_t console_tail_bytes = limits::kLogTailBytes;  // of one answer
  std::string otlp_endpoint;                               // empty: nothing is sent
  double trace_sample_ratio = 0;                           // from 0 to 1
  bool count_allocations = true;
  friend bool operator==(const Settings&, const Settings&) = default;
};

using SettingsView = observe::View<Settings>;

}  // namespace blixard::env

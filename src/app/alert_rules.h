#pragma once

// When somebody is to be told, by Prometheus. Each rule names what a user would notice and what to
// look at; the expressions use only metrics that are declared (telemetry_text.h checks that).

#include <span>
#include <string_view>

namespace blixard::app {

struct AlertRule {
  std::string_view name;
  std::string_view expression;
  std::string_view lasting;   // how long before it is told
  std::string_view severity;  // critical: look now; warning: look today
  std::string_view summary;
  std::string_view description;
};

std::span<const AlertRule> alert_rules();

}  // namespace blixard::app

#pragma once

// What is made of the declarations of our metrics for others to use: a page of documentation, a
// Grafana dashboard, alert rules. Generated, so that no name in them drifts from the program's;
// those of packaging/observability and docs/reference are this text, and a test says so.

#include <string>

namespace blixard::app {

std::string metrics_markdown();
std::string dashboard_json();
// Prometheus alerting rules.
std::string alerts_yaml();

// Names of metrics in the alerts that no node has; empty, or the program is wrong.
std::string unknown_names_in_alerts();

}  // namespace blixard::app

#include "app/telemetry_text.h"

#include <set>

#include <boost/json.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "app/alert_rules.h"
#include "node/declared_metrics.h"

namespace blixard::app {
namespace {

TEST(TelemetryText, AlertsSpeakOfMetricsThatThereAre) {
  EXPECT_EQ(unknown_names_in_alerts(), "");
  std::set<std::string_view> names;
  for (const AlertRule& rule : alert_rules())
    EXPECT_TRUE(names.insert(rule.name).second) << rule.name;
  EXPECT_GE(names.size(), 25);
}

TEST(TelemetryText, TheDashboardHasAPanelForEachMetric) {
  const auto dashboard = boost::json::parse(dashboard_json());
  std::set<std::string> titles;
  std::set<std::int64_t> ids;
  for (const auto& panel : dashboard.at("panels").as_array()) {
    EXPECT_TRUE(ids.insert(panel.at("id").as_int64()).second);
    if (panel.at("type").as_string() == "row") continue;
    EXPECT_FALSE(panel.at("targets").as_array().empty());
    titles.insert(panel.at("title").as_string().c_str());
  }
  observe::Metrics metrics;
  node::declare_metrics(metrics);
  std::set<std::string> declared;
  metrics.describe([&](const auto& family) { declared.insert(std::string(family.name)); });
  EXPECT_EQ(titles, declared);
}

TEST(TelemetryText, ThePageExplainsEachMetric) {
  const std::string page = metrics_markdown();
  observe::Metrics metrics;
  node::declare_metrics(metrics);
  metrics.describe([&](const auto& family) {
    EXPECT_THAT(page, testing::HasSubstr("| `" + std::string(family.name) + "` |"));
    EXPECT_THAT(page, testing::HasSubstr(std::string(family.help)));
  });
}

}  // namespace
}  // namespace blixard::app

#include "observe/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace blixard::observe {
namespace {

TEST(MetricsText, TextOfEachKind) {
  Metrics metrics;
  Counter& requests = metrics.counter("blixard_requests_total", "Requests.", {{"route", "a"}});
  requests.add();
  requests.add(2);
  metrics.gauge("blixard_open", "Open ones.").set(-4);
  Histogram& took = metrics.histogram("blixard_seconds", "Time.", {10ms, 1s}, {{"route", "a"}});
  took.observe(10ms);  // a bound belongs to its bucket
  took.observe(11ms);
  took.observe(2s);
  EXPECT_EQ(metrics.text(),
            "# HELP blixard_open Open ones.\n"
            "# TYPE blixard_open gauge\n"
            "blixard_open -4\n"
            "# HELP blixard_requests_total Requests.\n"
            "# TYPE blixard_requests_total counter\n"
            "blixard_requests_total{route=\"a\"} 3\n"
            "# HELP blixard_seconds Time.\n"
            "# TYPE blixard_seconds histogram\n"
            "blixard_seconds_bucket{route=\"a\",le=\"0.01\"} 1\n"
            "blixard_seconds_bucket{route=\"a\",le=\"1\"} 2\n"
            "blixard_seconds_bucket{route=\"a\",le=\"+Inf\"} 3\n"
            "blixard_seconds_sum{route=\"a\"} 2.021\n"
            "blixard_seconds_count{route=\"a\"} 3\n");
}

TEST(MetricsText, OneNameAndLabelsIsOneMetric) {
  Metrics metrics;
  Counter& first = metrics.counter("blixard_a_total", "A.", {{"x", "1"}});
  Counter& same = metrics.counter("blixard_a_total", "A.", {{"x", "1"}});
  Counter& other = metrics.counter("blixard_a_total", "A.", {{"x", "2"}});
  EXPECT_EQ(&first, &same);
  EXPECT_NE(&first, &other);
}

TEST(MetricsText, LabelsAndHelpAreEscaped) {
  Metrics metrics;
  metrics.counter("blixard_a_total", "Back\\slash and\nline \"quoted\".", {{"x", "\"\\\n"}});
  EXPECT_EQ(metrics.text(),
            "# HELP blixard_a_total Back\\\\slash and\\nline \"quoted\".\n"
            "# TYPE blixard_a_total counter\n"
            "blixard_a_total{x=\"\\\"\\\\\\n\"} 0\n");
}

TEST(MetricsText, ComputedIsAskedEachTime) {
  Metrics metrics;
  double value = 1;
  metrics.computed("blixard_vms", "VMs.", MetricKind::kGauge,
                   [&] { return std::vector<Sample>{{{{"state", "running"}}, value}}; });
  EXPECT_THAT(metrics.text(), testing::HasSubstr("blixard_vms{state=\"running\"} 1\n"));
  value = 2.5;
  EXPECT_THAT(metrics.text(), testing::HasSubstr("blixard_vms{state=\"running\"} 2.5\n"));
}

TEST(MetricsDeathTest, ABadNameOrASecondKindIsAFault) {
  Metrics metrics;
  EXPECT_DEATH(metrics.counter("blixard-x_total", "X."), "is_name");
  EXPECT_DEATH(metrics.counter("blixard_x", "X."), "_total");
  metrics.gauge("blixard_y", "Y.");
  EXPECT_DEATH(metrics.histogram("blixard_y", "Y.", {1s}), "kind");
}

}  // namespace
}  // namespace blixard::observe

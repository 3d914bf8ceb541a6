#include "observe/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace blixard::observe {
namespace {

TEST(Metrics, TextOfEachKind) {
  Registry registry;
  Counter& requests = registry.counter("blixard_requests_total", "Requests.", {{"route", "a"}});
  requests.add();
  requests.add(2);
  registry.gauge("blixard_open", "Open ones.").set(-4);
  Histogram& took = registry.histogram("blixard_seconds", "Time.", {10ms, 1s}, {{"route", "a"}});
  took.observe(10ms);  // a bound belongs to its bucket
  took.observe(11ms);
  took.observe(2s);
  EXPECT_EQ(registry.text(),
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

TEST(Metrics, OneNameAndLabelsIsOneMetric) {
  Registry registry;
  Counter& first = registry.counter("blixard_a_total", "A.", {{"x", "1"}});
  Counter& same = registry.counter("blixard_a_total", "A.", {{"x", "1"}});
  Counter& other = registry.counter("blixard_a_total", "A.", {{"x", "2"}});
  EXPECT_EQ(&first, &same);
  EXPECT_NE(&first, &other);
}

TEST(Metrics, LabelsAndHelpAreEscaped) {
  Registry registry;
  registry.counter("blixard_a_total", "Back\\slash and\nline \"quoted\".", {{"x", "\"\\\n"}});
  EXPECT_EQ(registry.text(),
            "# HELP blixard_a_total Back\\\\slash and\\nline \"quoted\".\n"
            "# TYPE blixard_a_total counter\n"
            "blixard_a_total{x=\"\\\"\\\\\\n\"} 0\n");
}

TEST(Metrics, ComputedIsAskedEachTime) {
  Registry registry;
  double value = 1;
  registry.computed("blixard_vms", "VMs.", MetricKind::kGauge,
                    [&] { return std::vector<Sample>{{{{"state", "running"}}, value}}; });
  EXPECT_THAT(registry.text(), testing::HasSubstr("blixard_vms{state=\"running\"} 1\n"));
  value = 2.5;
  EXPECT_THAT(registry.text(), testing::HasSubstr("blixard_vms{state=\"running\"} 2.5\n"));
}

TEST(MetricsDeathTest, ABadNameOrASecondKindIsAFault) {
  Registry registry;
  EXPECT_DEATH(registry.counter("blixard-x_total", "X."), "is_name");
  EXPECT_DEATH(registry.counter("blixard_x", "X."), "_total");
  registry.gauge("blixard_y", "Y.");
  EXPECT_DEATH(registry.histogram("blixard_y", "Y.", {1s}), "kind");
}

}  // namespace
}  // namespace blixard::observe

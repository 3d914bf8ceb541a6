#include "observe/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "observe/text.h"

namespace blixard::observe {

enum class Animal : std::uint8_t { kCat, kDog };
enum class Size : std::uint8_t { kSmall, kLarge, kHuge };

template <>
inline constexpr std::array<std::string_view, 2> kLabelValues<Animal>{"cat", "dog"};
template <>
inline constexpr std::array<std::string_view, 3> kLabelValues<Size>{"small", "large", "huge"};

namespace {

std::string text_of(const Metrics& metrics, TextFormat format = TextFormat::kPrometheus) {
  std::string text;
  write_text(metrics, format, text);
  return text;
}

TEST(MetricsText, TextOfEachKind) {
  Metrics metrics;
  const auto requests = metrics.counters<Animal>("blixard_requests_total", "Requests.", {"animal"});
  requests[Animal::kCat].add();
  requests[Animal::kCat].add(2);
  metrics.gauge("blixard_open", "Open ones.").set(-4);
  const auto took =
      metrics.histogram("blixard_took_seconds", "Time.", HistogramShape::seconds(1024ns, 4096ns));
  took.observe(1024ns);  // a bound belongs to its bucket
  took.observe(1025ns);
  took.observe(2s);
  EXPECT_EQ(text_of(metrics),
            "# HELP blixard_open Open ones.\n"
            "# TYPE blixard_open gauge\n"
            "blixard_open -4\n"
            "# HELP blixard_requests_total Requests.\n"
            "# TYPE blixard_requests_total counter\n"
            "blixard_requests_total{animal=\"cat\"} 3\n"
            "blixard_requests_total{animal=\"dog\"} 0\n"
            "# HELP blixard_took_seconds Time.\n"
            "# TYPE blixard_took_seconds histogram\n"
            "blixard_took_seconds_bucket{le=\"0.000001024\"} 1\n"
            "blixard_took_seconds_bucket{le=\"0.000002048\"} 2\n"
            "blixard_took_seconds_bucket{le=\"0.000004096\"} 2\n"
            "blixard_took_seconds_bucket{le=\"+Inf\"} 3\n"
            "blixard_took_seconds_sum 2.000002049\n"
            "blixard_took_seconds_count 3\n");
}

TEST(MetricsText, OpenMetricsTellsUnitsAndItsEnd) {
  Metrics metrics;
  metrics.counter("blixard_sent_bytes_total", "Bytes \"sent\".").add(7);
  metrics.counter("blixard_busy_seconds_total", "Time at work.").add(1500ms);
  metrics.gauge("blixard_age_seconds", "Age.").set(-250ms);
  metrics.histogram("blixard_batch_entries", "Entries.", HistogramShape::counts(1, 2)).observe(2);
  EXPECT_EQ(text_of(metrics, TextFormat::kOpenMetrics),
            "# HELP blixard_age_seconds Age.\n"
            "# TYPE blixard_age_seconds gauge\n"
            "# UNIT blixard_age_seconds seconds\n"
            "blixard_age_seconds -0.25\n"
            "# HELP blixard_batch_entries Entries.\n"
            "# TYPE blixard_batch_entries histogram\n"
            "blixard_batch_entries_bucket{le=\"1.0\"} 0\n"
            "blixard_batch_entries_bucket{le=\"2.0\"} 1\n"
            "blixard_batch_entries_bucket{le=\"+Inf\"} 1\n"
            "blixard_batch_entries_sum 2\n"
            "blixard_batch_entries_count 1\n"
            "# HELP blixard_busy_seconds Time at work.\n"
            "# TYPE blixard_busy_seconds counter\n"
            "# UNIT blixard_busy_seconds seconds\n"
            "blixard_busy_seconds_total 1.5\n"
            "# HELP blixard_sent_bytes Bytes \\\"sent\\\".\n"
            "# TYPE blixard_sent_bytes counter\n"
            "# UNIT blixard_sent_bytes bytes\n"
            "blixard_sent_bytes_total 7\n"
            "# EOF\n");
}

TEST(MetricsText, ChoosesTheFormatThatIsAskedFor) {
  const auto kOpen = TextFormat::kOpenMetrics;
  const auto kPlain = TextFormat::kPrometheus;
  EXPECT_EQ(text_format_for(""), kPlain);
  EXPECT_EQ(text_format_for("*/*"), kPlain);
  EXPECT_EQ(text_format_for("text/plain"), kPlain);
  EXPECT_EQ(text_format_for("application/openmetrics-text"), kOpen);
  EXPECT_EQ(text_format_for("application/openmetrics-text;version=1.0.0,"
                            "application/openmetrics-text;version=0.0.1;q=0.75,"
                            "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"),
            kOpen);
  EXPECT_EQ(text_format_for("application/openmetrics-text; q=0"), kPlain);
  EXPECT_EQ(text_format_for("application/openmetrics-text; q=nan"), kPlain);
  EXPECT_EQ(text_format_for("application/openmetrics-text;q=0.2, text/plain"), kPlain);
  EXPECT_EQ(text_format_for("application/openmetrics-textile"), kPlain);
}

TEST(MetricsText, LabelsAndHelpAreEscaped) {
  Metrics metrics;
  const std::array<std::string_view, 1> list{"\"\\\n"};
  (void)metrics.counters<Listed>("blixard_a_total", "Back\\slash and\nline \"quoted\".",
                                 {Label("x", list)});
  EXPECT_EQ(text_of(metrics),
            "# HELP blixard_a_total Back\\\\slash and\\nline \"quoted\".\n"
            "# TYPE blixard_a_total counter\n"
            "blixard_a_total{x=\"\\\"\\\\\\n\"} 0\n");
}

TEST(MetricsText, ComputedIsAskedEachTime) {
  Metrics metrics;
  double value = 1;
  metrics.computed_gauge("blixard_vms", "VMs.", [&](Answer& answer) { answer({"running"}, value); },
                         {"state"});
  EXPECT_THAT(text_of(metrics), testing::HasSubstr("blixard_vms{state=\"running\"} 1\n"));
  value = 2.5;
  EXPECT_THAT(text_of(metrics), testing::HasSubstr("blixard_vms{state=\"running\"} 2.5\n"));
}

TEST(MetricsText, GaugesAreSetBeforeTheyAreRead) {
  Metrics metrics;
  const auto vms = metrics.gauge("blixard_vms", "VMs.");
  std::int64_t truth = 3;
  metrics.before_reading([&] { vms.set(truth); });
  EXPECT_THAT(text_of(metrics), testing::HasSubstr("blixard_vms 3\n"));
  truth = 1;
  EXPECT_THAT(text_of(metrics), testing::HasSubstr("blixard_vms 1\n"));
}

TEST(MetricsText, IntoABufferThatIsUsedAgain) {
  Metrics metrics;
  metrics.counter("blixard_a_total", "A.").add();
  std::string text;
  write_text(metrics, TextFormat::kPrometheus, text);
  const char* const kept = text.data();
  const std::string first = text;
  text.clear();
  write_text(metrics, TextFormat::kPrometheus, text);
  EXPECT_EQ(text, first);
  EXPECT_EQ(text.data(), kept);
}

TEST(Metrics, OneNameIsOneSetOfSeries) {
  Metrics metrics;
  const auto first = metrics.counters<Animal, Size>("blixard_a_total", "A.", {"animal", "size"});
  const auto same = metrics.counters<Animal, Size>("blixard_a_total", "A.", {"animal", "size"});
  first[Animal::kDog, Size::kHuge].add();
  same[Animal::kDog, Size::kHuge].add();
  same[Animal::kDog, Size::kLarge].add();
  EXPECT_EQ((first[Animal::kDog, Size::kHuge].value()), 2);
  EXPECT_EQ((first[Animal::kDog, Size::kLarge].value()), 1);
  EXPECT_EQ((first[Animal::kCat, Size::kHuge].value()), 0);
}

TEST(Metrics, SeriesOfAFamilyDoNotTouchEachOther) {
  Metrics metrics;
  const std::array<std::string_view, 3> routes{"a", "b", "c"};
  const auto shape = HistogramShape::seconds(1us, 1ms, 2);
  const auto counts = metrics.counters<Listed, Animal, Size>(
      "blixard_a_total", "A.", {Label("route", routes), "animal", "size"});
  const auto times = metrics.histograms<Listed, Animal>("blixard_b_seconds", "B.", shape,
                                                        {Label("route", routes), "animal"});
  std::uint64_t count = 0;
  for (std::uint32_t r = 0; r < routes.size(); ++r) {
    for (const auto animal : {Animal::kCat, Animal::kDog}) {
      for (const auto size : {Size::kSmall, Size::kLarge, Size::kHuge})
        counts[Listed{r}, animal, size].add(++count);
      times[Listed{r}, animal].observe(std::chrono::microseconds(count));
    }
  }
  counts[Listed{3}, Animal::kCat, Size::kSmall].add();  // no such route: counted nowhere
  count = 0;
  for (std::uint32_t r = 0; r < routes.size(); ++r) {
    for (const auto animal : {Animal::kCat, Animal::kDog}) {
      for (const auto size : {Size::kSmall, Size::kLarge, Size::kHuge})
        EXPECT_EQ((counts[Listed{r}, animal, size].value()), ++count);
      const auto reading = times[Listed{r}, animal].read();
      EXPECT_EQ(reading.count, 1);
      EXPECT_EQ(reading.sum, count * 1000);
    }
  }
}

// What was added up drifted away from the truth in the original, where gauges were added to.
TEST(Metrics, AGaugeIsTheTruthAfterAThousandUpdates) {
  Metrics metrics;
  const auto used = metrics.gauge("blixard_used", "Used.");
  EXPECT_FALSE(used.is_set());
  for (std::int64_t i = 0; i <= 1000; ++i)
    used.set(i % 7 - 3);
  EXPECT_EQ(used.value(), 1000 % 7 - 3);
  used.set(0);
  EXPECT_TRUE(used.is_set());
  EXPECT_EQ(used.value(), 0);
  used.add(5);
  used.add(-7);
  EXPECT_EQ(used.value(), -2);
  const auto open = metrics.gauge("blixard_open", "Open.");
  open.add(-1);
  EXPECT_EQ(open.value(), -1);
}

TEST(Metrics, NamesComeAndGoWithinTheirBound) {
  Metrics metrics;
  NameSet& nodes = metrics.names("node", 18);
  const auto vcpus = metrics.named_gauges("blixard_vcpus", "CPUs.", nodes);
  const auto placed =
      metrics.named_counters<Animal>("blixard_placed_total", "Placed.", nodes, {"animal"});
  EXPECT_EQ(&metrics.names("node", 18), &nodes);
  for (int i = 0; i < 18; ++i) {
    const Named node = nodes.place("n" + std::to_string(i));
    EXPECT_NE(node, NameSet::kOther);
    EXPECT_EQ(nodes.place("n" + std::to_string(i)), node);
    vcpus[node].set(i);
    placed[node, Animal::kDog].add(static_cast<std::uint64_t>(i));
  }
  EXPECT_EQ(nodes.place("late"), NameSet::kOther);
  placed[NameSet::kOther, Animal::kCat].add(5);
  std::string text = text_of(metrics);
  EXPECT_THAT(text, testing::HasSubstr("blixard_vcpus{node=\"n17\"} 17\n"));
  EXPECT_THAT(text, testing::HasSubstr("blixard_placed_total{node=\"n17\",animal=\"dog\"} 17\n"));
  EXPECT_THAT(text, testing::HasSubstr("blixard_placed_total{node=\"other\",animal=\"cat\"} 5\n"));
  EXPECT_THAT(text, testing::Not(testing::HasSubstr("blixard_vcpus{node=\"other\"}")));

  const Named gone = nodes.place("n17");
  nodes.release(gone);
  nodes.release(nodes.place("n16"));
  text = text_of(metrics);
  EXPECT_THAT(text, testing::Not(testing::HasSubstr("blixard_vcpus{node=\"n17\"}")));
  EXPECT_THAT(text, testing::HasSubstr("blixard_placed_total{node=\"n17\",animal=\"dog\"} 17\n"));
  // One that comes again counts on; the oldest of the others makes room.
  const Named back = nodes.place("n16");
  EXPECT_EQ((placed[back, Animal::kDog].value()), 16);
  EXPECT_FALSE(vcpus[back].is_set());
  EXPECT_EQ(nodes.place("late"), gone);
  EXPECT_EQ(nodes.place("later"), NameSet::kOther);
  EXPECT_THAT(text_of(metrics), testing::Not(testing::HasSubstr("n17")));
  EXPECT_FALSE(vcpus[gone].is_set());
  EXPECT_EQ((placed[gone, Animal::kDog].value()), 0);
  // One that is attached later has place for those that are there.
  const auto later = metrics.named_gauges("blixard_later", "Later.", nodes);
  later[gone].set(1);
  EXPECT_THAT(text_of(metrics), testing::HasSubstr("blixard_later{node=\"late\"} 1\n"));
}

TEST(Metrics, TooManySeriesAreRefusedAndCountIntoNothing) {
  Metrics metrics;
  const std::vector<std::string_view> many(limits::kMetricSeriesOfFamily + 1, "x");
  const auto counters =
      metrics.counters<Listed>("blixard_a_total", "A.", {Label("x", std::span(many))});
  EXPECT_EQ(metrics.refused(), many.size());
  counters[Listed{7}].add();
  const auto times = metrics.histograms<Listed>(
      "blixard_b_seconds", "B.", HistogramShape::seconds(1us, 1s), {Label("x", std::span(many))});
  times[Listed{7}].observe(1s);
  EXPECT_THAT(text_of(metrics), testing::Not(testing::HasSubstr("{x=")));
}

TEST(Metrics, WhatWasNeverRegisteredCountsIntoNothing) {
  const Counter counter;
  const Gauge gauge;
  const Histogram histogram;
  const HistogramFamily<Animal, Size> family;
  const CounterFamily<Listed, Animal> listed;
  const GaugeFamily<Named> named;
  counter.add();
  gauge.set(1);
  histogram.observe(1s);
  family[Animal::kDog, Size::kHuge].observe(1s);
  listed[Listed{9}, Animal::kDog].add();
  named[Named{9}].set(1);
  Metrics metrics;
  EXPECT_EQ(text_of(metrics), "");
}

// A simulation begins thousands of nodes in one process.
TEST(Metrics, SlotsAreZeroWhenTheyAreGivenOutAgain) {
  for (int i = 0; i < 3000; ++i) {
    Metrics metrics;
    const auto shape = HistogramShape::seconds(1us, 60s, 4);
    const auto counters =
        metrics.counters<Animal, Size>("blixard_a_total", "A.", {"animal", "size"});
    const auto times = metrics.histograms<Animal>("blixard_b_seconds", "B.", shape, {"animal"});
    const auto open = metrics.gauge("blixard_open", "Open.");
    ASSERT_EQ((counters[Animal::kDog, Size::kHuge].value()), 0) << i;
    ASSERT_EQ(times[Animal::kDog].read().count, 0) << i;
    ASSERT_FALSE(open.is_set()) << i;
    ASSERT_EQ(metrics.refused(), 0) << i;
    counters[Animal::kDog, Size::kHuge].add();
    times[Animal::kDog].observe(100s);
    open.set(1);
  }
}

TEST(Metrics, RangesThatCameBackAreWholeAgain) {
  std::vector<std::unique_ptr<Metrics>> all;
  const auto take = [&] {
    all.push_back(std::make_unique<Metrics>());
    (void)all.back()->counter("blixard_a_total", "A.");
    return all.back()->refused() == 0;
  };
  std::size_t most = 0;
  for (; take(); ++most) {
  }
  EXPECT_GT(most, 200);
  for (std::size_t i = 0; i < all.size(); i += 2)
    all[i].reset();
  for (std::size_t i = 1; i < all.size(); i += 2)
    all[i].reset();
  all.clear();
  for (std::size_t i = 0; i < most; ++i)
    EXPECT_TRUE(take());
}

TEST(HistogramShape, BucketsAreExactlyTheirBounds) {
  const auto check = [](HistogramShape shape) {
    std::uint64_t before = 0;
    for (std::uint32_t i = 0; i < shape.buckets(); ++i) {
      const std::uint64_t bound = shape.bound(i);
      ASSERT_GT(bound, before);
      EXPECT_EQ(shape.bucket_of(before + (i == 0 ? 0 : 1)), i);
      EXPECT_EQ(shape.bucket_of(bound), i);
      EXPECT_EQ(shape.bucket_of(bound + 1), i + 1);
      before = bound;
    }
    EXPECT_EQ(shape.bucket_of(~std::uint64_t{0}), shape.buckets());
  };
  check(HistogramShape::seconds(1us, 60s, 1));
  check(HistogramShape::seconds(1us, 60s, 2));
  check(HistogramShape::seconds(1us, 60s, 4));
  check(HistogramShape::bytes(Bytes(64), mib(64), 4));
  check(HistogramShape::counts(1, 1024, 1));
  const auto shape = HistogramShape::counts(4, 16, 4);
  std::vector<std::uint64_t> bounds;
  for (std::uint32_t i = 0; i < shape.buckets(); ++i)
    bounds.push_back(shape.bound(i));
  EXPECT_THAT(bounds, testing::ElementsAre(4, 5, 6, 7, 8, 10, 12, 14, 16));
}

TEST(Metrics, ADurationBelowZeroIsNone) {
  Metrics metrics;
  const auto took =
      metrics.histogram("blixard_took_seconds", "Time.", HistogramShape::seconds(1us, 1s));
  took.observe(-1s);
  EXPECT_EQ(took.read().counts.front(), 1);
  EXPECT_EQ(took.read().sum, 0);
}

TEST(MetricsDeathTest, ASecondSchemaOfANameIsAFault) {
  Metrics metrics;
  (void)metrics.gauge("blixard_y", "Y.");
  EXPECT_DEATH((void)metrics.gauge("blixard_y", "Why."), "help");
  EXPECT_DEATH((void)metrics.gauges<Animal>("blixard_y", "Y.", {"animal"}), "labels");
  EXPECT_DEATH((void)metrics.histogram("blixard_y", "Y.", HistogramShape::counts(1, 2)), "kind");
  EXPECT_DEATH(metrics.computed_gauge("blixard_y", "Y.", [](Answer&) {}), "source");
  EXPECT_DEATH((void)metrics.histogram("blixard_z", "Z.", HistogramShape::seconds(1us, 1s)),
               "unit");
}

}  // namespace
}  // namespace blixard::observe

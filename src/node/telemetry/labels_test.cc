// What is counted is named by values of the program: nobody can hand over a text of his own, which
// would have to be kept, compared and freed. Mostly decided by the compiler.

#include "node/telemetry/labels.h"

#include <set>
#include <string>
#include <type_traits>

#include <gtest/gtest.h>

#include "node/telemetry/telemetry.h"

namespace blixard::telemetry {
namespace {

template <class T>
concept NamesAnOperation = requires(const Telemetry& telemetry, T operation) {
  telemetry.record_vm_operation(operation, Outcome::kOk, 1ms);
};
static_assert(NamesAnOperation<VmOperation>);
static_assert(!NamesAnOperation<std::string>);
static_assert(!NamesAnOperation<std::string_view>);
static_assert(!NamesAnOperation<const char*>);

template <class T>
concept NamesAStrategy = requires(const Telemetry& telemetry, T strategy) {
  telemetry.record_vm_placement_attempt(strategy, PlacementOutcome::kPlaced, 1ms);
};
static_assert(NamesAStrategy<PlacementStrategy>);
static_assert(!NamesAStrategy<std::string>);
static_assert(!NamesAStrategy<const char*>);

static_assert(!std::is_constructible_v<observe::LabelName, std::string>);
static_assert(!std::is_constructible_v<observe::MetricName<observe::Kind::kCounter>, std::string>);

template <class Label>
void expect_words() {
  constexpr auto& words = observe::kLabelValues<Label>;
  static_assert(!words.empty());
  EXPECT_EQ(std::set(words.begin(), words.end()).size(), words.size());
  for (const std::string_view word : words)
    EXPECT_TRUE(observe::is_metric_name(word)) << word;
}

TEST(Labels, AreWordsOfTheProgramEachOfThemOnce) {
  expect_words<PlacementStrategy>();
  expect_words<PlacementOutcome>();
  expect_words<VmOperation>();
  expect_words<Outcome>();
  expect_words<ArtifactType>();
  expect_words<GuestEnd>();
}

}  // namespace
}  // namespace blixard::telemetry

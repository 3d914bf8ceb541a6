#include "app/vopr/fuzz_state.h"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include "app/vopr/summary.h"

namespace blixard::app {
namespace {

namespace json = boost::json;

constexpr std::size_t kFailuresKept = 1'000;
constexpr std::uint64_t kVersionOfState = 1;

// Of a seed and its hash; sums of them do not depend on the order.
std::uint64_t mixed(std::uint64_t seed, std::uint64_t hash) {
  std::uint64_t value = seed * 0x9e37'79b9'7f4a'7c15 ^ hash;
  value = (value ^ (value >> 31)) * 0xd6e8'feb8'6659'fd93;
  return value ^ (value >> 32);
}

json::object object_of(const Failure& failure) {
  return {{"seed", failure.seed},
          {"checker", failure.checker},
          {"text", failure.text},
          {"file", failure.file}};
}

// Throws what Boost.JSON throws when a member is missing or of another kind.
FuzzState state_of(const json::object& object) {
  const auto number = [](const json::value& value) { return value.to_number<std::uint64_t>(); };
  FuzzState state;
  for (const json::value& name : object.at("scenarios").as_array())
    state.scenarios.emplace_back(name.as_string());
  state.guided = object.at("guided").as_bool();
  state.from = number(object.at("from"));
  state.next = number(object.at("next"));
  for (const json::value& seed : object.at("running").as_array())
    state.running.insert(number(seed));
  state.done = number(object.at("done"));
  state.virtual_time = std::chrono::milliseconds(number(object.at("virtual_ms")));
  state.real_time = std::chrono::milliseconds(number(object.at("real_ms")));
  state.counts = counts_of(object.at("counts"));
  state.coverage = coverage_of(object.at("coverage").as_string());
  state.hash = number(object.at("hash"));
  state.failed = number(object.at("failed"));
  for (const json::value& value : object.at("failures").as_array()) {
    const json::object& failure = value.as_object();
    state.failures.push_back({.seed = number(failure.at("seed")),
                              .checker = std::string(failure.at("checker").as_string()),
                              .text = std::string(failure.at("text").as_string()),
                              .file = std::string(failure.at("file").as_string())});
  }
  return state;
}

}  // namespace

void FuzzState::take(std::uint64_t seed, const RunResult& result) {
  running.erase(seed);
  ++done;
  virtual_time += result.elapsed;
  add(counts, result.counts);
  hash += mixed(seed, result.hash);
  if (result.coverage) coverage.add(*result.coverage);
  if (!result.violation) return;
  ++failed;
  if (failures.size() < kFailuresKept)
    failures.push_back({seed, result.violation->checker, result.violation->text, ""});
}

std::string state_text(const FuzzState& state) {
  using std::chrono::duration_cast;
  using std::chrono::milliseconds;
  json::array failures;
  for (const Failure& failure : state.failures)
    failures.push_back(object_of(failure));
  const json::object object{
      {"version", kVersionOfState},
      {"scenarios", json::array(state.scenarios.begin(), state.scenarios.end())},
      {"guided", state.guided},
      {"from", state.from},
      {"next", state.next},
      {"running", json::array(state.running.begin(), state.running.end())},
      {"done", state.done},
      {"virtual_ms", duration_cast<milliseconds>(state.virtual_time).count()},
      {"real_ms", duration_cast<milliseconds>(state.real_time).count()},
      {"counts", json_of(state.counts)},
      {"coverage", bits_of(state.coverage)},
      {"hash", state.hash},
      {"failed", state.failed},
      {"failures", std::move(failures)}};
  return json::serialize(object) + "\n";
}

Result<FuzzState> parse_state(std::string_view text) {
  boost::system::error_code error;
  const json::value value = json::parse(text, error);
  if (!error && value.is_object()) {
    const json::object& object = value.get_object();
    const json::value* version = object.if_contains("version");
    if (version != nullptr && *version == json::value(kVersionOfState)) {
      try {
        return state_of(object);
      } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch): said below
      }
    }
  }
  return fail(Code::kDataLoss, "state_invalid", "this is not the state of a fuzz run");
}

std::string progress_text(const FuzzState& state, Duration real_now, std::uint64_t done_now,
                          Duration virtual_now, std::uint64_t jobs) {
  const double seconds = std::max(std::chrono::duration<double>(real_now).count(), 0.001);
  const double virtual_seconds = std::chrono::duration<double>(virtual_now).count();
  return fmt::format(
      "{} seeds, {} failed, {} of virtual time, {} operations; {:.1f} seeds/s, {:.0f} virtual "
      "seconds a second and core",
      state.done, state.failed, long_time_text(state.virtual_time), state.counts.operations,
      static_cast<double>(done_now) / seconds,
      virtual_seconds / seconds / static_cast<double>(jobs));
}

}  // namespace blixard::app

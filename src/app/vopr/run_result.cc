#include "app/vopr/run_result.h"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include "app/output.h"

namespace blixard::app {
namespace {

namespace json = boost::json;

std::uint64_t number_of(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  if (value == nullptr) return 0;
  boost::system::error_code error;
  const auto number = value->to_number<std::uint64_t>(error);
  return error ? 0 : number;
}

std::string string_of(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
}

template <class Use>
void each_bit(const Use& use) {
  for (std::size_t role = 0; role < vopr::kRoles; ++role) {
    for (std::size_t event = 0; event < vopr::kEvents; ++event) {
      for (std::size_t fault = 0; fault < vopr::kActions; ++fault) {
        use(static_cast<vopr::Role>(role), static_cast<vopr::Event>(event),
            static_cast<vopr::Action>(fault));
      }
    }
  }
}

}  // namespace

// Four bits a digit.
std::string bits_of(const vopr::Coverage& coverage) {
  std::string text;
  std::size_t bit = 0;
  unsigned digit = 0;
  const auto flush = [&] { text += "0123456789abcdef"[std::exchange(digit, 0U)]; };
  each_bit([&](vopr::Role role, vopr::Event event, vopr::Action fault) {
    if (coverage.saw(role, event, fault)) digit |= 1U << (bit % 4);
    if (++bit % 4 == 0) flush();
  });
  if (bit % 4 != 0) flush();
  return text;
}

vopr::Coverage coverage_of(std::string_view bits) {
  vopr::Coverage coverage;
  std::size_t bit = 0;
  each_bit([&](vopr::Role role, vopr::Event event, vopr::Action fault) {
    const std::size_t place = bit / 4;
    if (place < bits.size()) {
      const char letter = bits[place];
      const int digit = letter >= 'a' ? letter - 'a' + 10 : letter - '0';
      if (digit >= 0 && digit < 16 && (digit >> (bit % 4) & 1) != 0)
        coverage.see(role, event, fault);
    }
    ++bit;
  });
  return coverage;
}

json::value json_of(const vopr::Counts& counts) {
  json::array steps;
  for (const std::uint64_t count : counts.steps)
    steps.push_back(count);
  return {{"operations", counts.operations}, {"uncertain", counts.uncertain},
          {"entries", counts.entries},       {"elections", counts.elections},
          {"guests", counts.guests},         {"events", counts.events},
          {"skipped", counts.skipped},       {"steps", std::move(steps)}};
}

vopr::Counts counts_of(const json::value& value) {
  vopr::Counts counts;
  if (!value.is_object()) return counts;
  const json::object& object = value.get_object();
  counts.operations = number_of(object, "operations");
  counts.uncertain = number_of(object, "uncertain");
  counts.entries = number_of(object, "entries");
  counts.elections = number_of(object, "elections");
  counts.guests = number_of(object, "guests");
  counts.events = number_of(object, "events");
  counts.skipped = number_of(object, "skipped");
  const json::value* steps = object.if_contains("steps");
  if (steps == nullptr || !steps->is_array()) return counts;
  const json::array& array = steps->get_array();
  for (std::size_t i = 0; i < std::min(array.size(), counts.steps.size()); ++i) {
    boost::system::error_code error;
    counts.steps[i] = array[i].to_number<std::uint64_t>(error);
  }
  return counts;
}

RunResult result_of(const vopr::Report& report) {
  return {.hash = report.trace_hash,
          .elapsed = report.elapsed,
          .counts = report.counts,
          .violation = report.violation,
          .coverage = report.coverage};
}

std::string line_of(const RunResult& result) {
  json::object object{{"hash", result.hash},
                      {"elapsed_ns", result.elapsed.count()},
                      {"counts", json_of(result.counts)}};
  if (result.violation) {
    object["violation"] = {{"checker", result.violation->checker},
                           {"text", result.violation->text},
                           {"at_ns", result.violation->at.count()}};
  }
  if (result.coverage) object["coverage"] = bits_of(*result.coverage);
  return json::serialize(object);
}

Result<RunResult> parse_result(std::string_view line) {
  boost::system::error_code error;
  const json::value value = json::parse(line, error);
  if (error || !value.is_object())
    return fail(Code::kDataLoss, "result_invalid", "this is not a result");
  const json::object& object = value.get_object();
  RunResult result{.hash = number_of(object, "hash"),
                   .elapsed = Duration(number_of(object, "elapsed_ns"))};
  if (const auto* counts = object.if_contains("counts")) result.counts = counts_of(*counts);
  if (const auto* violation = object.if_contains("violation")) {
    if (!violation->is_object())
      return fail(Code::kDataLoss, "result_invalid", "its violation is not an object");
    const json::object& found = violation->get_object();
    result.violation = {.checker = string_of(found, "checker"),
                        .text = string_of(found, "text"),
                        .at = Duration(number_of(found, "at_ns"))};
  }
  const std::string bits = string_of(object, "coverage");
  if (!bits.empty()) result.coverage = coverage_of(bits);
  return result;
}

RunResult run_checked(const vopr::Plan& plan, const Runner& runner, bool twice) {
  RunResult result = result_of(runner(plan, {}));
  if (!twice || result.violation) return result;
  const vopr::Report again = runner(plan, {});
  if (again.trace_hash != result.hash) {
    result.violation = {.checker = "determinism",
                        .text = fmt::format("the same plan gave the trace hashes {:016x} and "
                                            "{:016x}",
                                            result.hash, again.trace_hash),
                        .at = again.elapsed};
  }
  return result;
}

RunResult outcome_of(const Finished& finished) {
  RunResult failed;
  if (finished.hung) {
    failed.violation = {.checker = "hangs", .text = "the run took too long and was killed"};
  } else if (!finished.death.empty()) {
    failed.violation = {.checker = "died", .text = finished.death};
  } else {
    auto result = parse_result(finished.messages.empty() ? "" : finished.messages.back());
    if (result) return *std::move(result);
    failed.violation = {.checker = "died", .text = "the process gave no result"};
  }
  if (!finished.complaint.empty()) {
    failed.violation->text += "; it wrote:\n" + printable(finished.complaint);
  }
  return failed;
}

}  // namespace blixard::app

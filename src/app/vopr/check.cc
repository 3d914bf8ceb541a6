// `blixard-vopr check`: files in, verdicts out. The time is measured here; the library has none.

#include <chrono>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>
#include <optional>

#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <fmt/format.h>

#include "app/output.h"
#include "app/vopr/command_line.h"
#include "linearizability/limits.h"
#include "linearizability/picture.h"

namespace blixard::app {
namespace {

namespace json = boost::json;
using linearizability::Judgement;
using linearizability::Verdict;
using std::chrono::steady_clock;

Result<std::string> read_whole(const std::string& path) {
  std::ifstream file;
  if (path != "-") {
    file.open(path, std::ios::binary);
    if (!file) return fail(Code::kNotFound, "file_unreadable", "it cannot be opened");
  }
  std::istream& input = path == "-" ? std::cin : file;
  std::string text;
  std::array<char, 64 * 1024> buffer{};
  while (input.read(buffer.data(), buffer.size()) || input.gcount() > 0) {
    text.append(buffer.data(), static_cast<std::size_t>(input.gcount()));
    if (text.size() > linearizability::limits::kHistoryBytes)
      return fail(Code::kResourceExhausted, "history_too_long", "it is too long");
  }
  if (input.bad()) return fail(Code::kDataLoss, "file_unreadable", "it cannot be read");
  return text;
}

Result<Judgement> judge_file(const CheckHistories& check, const std::string& path) {
  BLX_TRY(const std::string text, read_whole(path));
  BLX_TRY(const auto recorded, linearizability::read_history(check.format, text));
  linearizability::Budget budget;
  const auto end = steady_clock::now() + check.time_limit;
  budget.is_over = [end] { return steady_clock::now() >= end; };
  return linearizability::judge(check.model, recorded, budget);
}

json::object object_of(const linearizability::JudgedOperation& operation) {
  json::object object{
      {"process", operation.process}, {"operation", operation.text}, {"line", operation.line}};
  if (operation.end_line != 0) object["end_line"] = operation.end_line;
  return object;
}

json::object object_of(const Judgement& judgement, const linearizability::PartOutcome& part) {
  json::array order;
  for (const std::size_t i : part.order)
    order.push_back(object_of(judgement.operations[i]));
  json::object object{{"key", part.part.key},
                      {"verdict", linearizability::verdict_name(part.verdict)},
                      {"order", std::move(order)}};
  if (!part.stuck) return object;
  const auto& stuck = judgement.operations[*part.stuck];
  json::array open;
  for (const std::size_t i : part.part.operations) {
    const auto& other = judgement.operations[i];
    if (!other.is_stuck && other.place == 0 && other.invoked < stuck.returned)
      open.push_back(object_of(other));
  }
  object["stuck"] = object_of(stuck);
  object["open"] = std::move(open);
  return object;
}

void print(const CheckHistories& check, const std::string& path, const Judgement& judgement) {
  const std::string_view verdict = linearizability::verdict_name(judgement.verdict);
  if (check.output == OutputFormat::kTable) {
    fmt::print("{}: {}\n{}", path, verdict, printable(violation_text(judgement)));
    return;
  }
  json::array parts;
  for (const auto& part : judgement.parts) {
    if (part.verdict != Verdict::kOk) parts.push_back(object_of(judgement, part));
  }
  const json::object object{{"file", path},
                            {"verdict", verdict},
                            {"operations", judgement.operations.size()},
                            {"steps", judgement.steps},
                            {"parts", std::move(parts)}};
  fmt::print("{}\n", json::serialize(object));
}

void print_error(const CheckHistories& check, const std::string& path, const Error& error) {
  if (check.output == OutputFormat::kJson) {
    const json::object object{
        {"file", path}, {"error", error.reason()}, {"detail", error.detail()}};
    fmt::print("{}\n", json::serialize(object));
  } else {
    fmt::print(stderr, "{}: {}\n", path, printable(error.message()));
  }
}

Result<void> write_picture(const CheckHistories& check, const std::string& path,
                           const Judgement& judgement) {
  std::ofstream file(check.html, std::ios::binary | std::ios::trunc);
  file << linearizability::picture(path, judgement);
  file.close();
  if (!file) return fail(Code::kInternal, "file_unwritable", check.html + " cannot be written");
  return {};
}

}  // namespace

int check_histories(const CheckHistories& check) {
  bool any_violation = false;
  bool any_bad = false;
  bool any_unknown = false;
  std::optional<std::pair<std::string, Judgement>> pictured;
  for (const std::string& path : check.files) {
    auto judgement = judge_file(check, path);
    if (!judgement) {
      any_bad = true;
      print_error(check, path, judgement.error());
      continue;
    }
    print(check, path, *judgement);
    any_violation = any_violation || judgement->verdict == Verdict::kViolation;
    any_unknown = any_unknown || judgement->verdict == Verdict::kUnknown;
    const bool is_better = !pictured || (pictured->second.verdict == Verdict::kOk &&
                                         judgement->verdict != Verdict::kOk);
    if (!check.html.empty() && is_better) pictured.emplace(path, *std::move(judgement));
  }
  if (pictured) {
    if (const auto written = write_picture(check, pictured->first, pictured->second); !written) {
      print_error(check, check.html, written.error());
      any_bad = true;
    }
  }
  if (any_violation) return kExitViolation;
  if (any_bad) return kExitBadInput;
  return any_unknown ? kExitUnknown : kExitDone;
}

}  // namespace blixard::app

#include "linearizability/judgement.h"

#include <algorithm>
#include <iterator>

#include <fmt/format.h>

#include "linearizability/checker.h"
#include "linearizability/interpret.h"

namespace blixard::linearizability {
namespace {

constexpr std::size_t kShownBefore = 12;

template <Model M>
Judgement judged(const M& model, Interpreted<M> interpreted, const std::vector<Call>& calls,
                 const Budget& budget) {
  Outcome outcome = check(model, interpreted.history, budget);
  Judgement judgement{.verdict = outcome.verdict,
                      .steps = outcome.steps,
                      .operations = {},
                      .parts = std::move(outcome.parts)};
  for (std::size_t i = 0; i < interpreted.history.size(); ++i) {
    const auto& operation = interpreted.history[i];
    const Call& call = calls[interpreted.calls[i]];
    judgement.operations.push_back({.process = operation.process,
                                    .text = text_of(operation.input, operation.output),
                                    .invoked = operation.invoked,
                                    .returned = operation.returned,
                                    .line = call.line,
                                    .end_line = call.end_line});
  }
  for (const PartOutcome& part : judgement.parts) {
    for (std::size_t place = 0; place < part.order.size(); ++place)
      judgement.operations[part.order[place]].place = place + 1;
    if (part.stuck) judgement.operations[*part.stuck].is_stuck = true;
  }
  return judgement;
}

std::string line_of(std::string_view label, const JudgedOperation& operation) {
  const std::string lines = operation.end_line != 0
                                ? fmt::format("lines {}-{}", operation.line, operation.end_line)
                                : fmt::format("line {}-", operation.line);
  return fmt::format("  {:>6}  process {:<4} {}  ({})\n", label, operation.process, operation.text,
                     lines);
}

std::string part_text(const Judgement& judgement, const PartOutcome& part) {
  const auto& operations = judgement.operations;
  const std::string key = part.part.key.empty() ? "  " : "  " + part.part.key + ": ";
  if (!part.stuck) return key + "no order explains it; which end is the first was not found out\n";
  const JudgedOperation& stuck = operations[*part.stuck];
  std::string text = fmt::format("{}no order explains the end of line {}; the longest up to it:\n",
                                 key, stuck.end_line);
  const std::size_t skipped = part.order.size() - std::min(part.order.size(), kShownBefore);
  if (skipped != 0) text += fmt::format("          ({} before)\n", skipped);
  for (std::size_t place = skipped; place < part.order.size(); ++place)
    text += line_of(fmt::format("{}", place + 1), operations[part.order[place]]);
  text += line_of("stuck", stuck);
  for (const std::size_t i : part.part.operations) {
    const JudgedOperation& other = operations[i];
    if (!other.is_stuck && other.place == 0 && other.invoked < stuck.returned)
      text += line_of("open", other);
  }
  return text;
}

}  // namespace

std::optional<ModelName> parse_model(std::string_view name) {
  const auto* const found = std::ranges::find(kModelNames, name);
  if (found == kModelNames.end()) return std::nullopt;
  return static_cast<ModelName>(found - kModelNames.begin());
}

std::string_view verdict_name(Verdict verdict) {
  switch (verdict) {
    case Verdict::kOk:
      return "ok";
    case Verdict::kViolation:
      return "violation";
    case Verdict::kUnknown:
      return "unknown";
  }
  return {};
}

Result<Judgement> judge(ModelName model, const RecordedHistory& recorded, const Budget& budget) {
  const std::string& initial = recorded.conventions.initial;
  switch (model) {
    case ModelName::kRegister:
    case ModelName::kCasRegister: {
      const auto cas =
          model == ModelName::kCasRegister ? CompareAndSet::kKnown : CompareAndSet::kUnknown;
      BLX_TRY(auto registers, as_registers(recorded, cas));
      return judged(RegisterModel(initial), std::move(registers), recorded.calls, budget);
    }
    case ModelName::kKeyValue: {
      BLX_TRY(auto key_values, as_key_values(recorded));
      return judged(KeyValueModel(), std::move(key_values), recorded.calls, budget);
    }
    case ModelName::kMutex: {
      BLX_TRY(auto mutexes, as_mutexes(recorded));
      return judged(MutexModel(), std::move(mutexes), recorded.calls, budget);
    }
    case ModelName::kMultiRegister: {
      BLX_TRY(auto registers, as_multi_registers(recorded));
      return judged(MultiRegisterModel(initial), std::move(registers), recorded.calls, budget);
    }
    case ModelName::kVm: {
      BLX_TRY(auto vms, as_vms(recorded));
      return judged(VmModel(), std::move(vms), recorded.calls, budget);
    }
  }
  return fail(Code::kInvalidArgument, "model_unknown");
}

std::string violation_text(const Judgement& judgement) {
  std::string text;
  for (const PartOutcome& part : judgement.parts) {
    if (part.verdict == Verdict::kViolation) text += part_text(judgement, part);
  }
  return text;
}

}  // namespace blixard::linearizability

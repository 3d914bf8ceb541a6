#pragma once

// From a recorded history and the name of a model to what people and programs are told.

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "linearizability/calls.h"
#include "linearizability/history.h"

namespace blixard::linearizability {

enum class ModelName : std::uint8_t {
  kRegister,
  kCasRegister,
  kKeyValue,
  kMutex,
  kMultiRegister,
  kVm,
};

inline constexpr std::array<std::string_view, 6> kModelNames{"register", "cas-register",   "kv",
                                                             "mutex",    "multi-register", "vm"};
std::optional<ModelName> parse_model(std::string_view name);
std::string_view verdict_name(Verdict verdict);  // "ok", "violation", "unknown"

struct JudgedOperation {
  std::uint64_t process = 0;
  std::string text;  // `write 3`
  std::uint64_t invoked = 0;
  std::uint64_t returned = kNever;
  std::uint64_t line = 0;
  std::uint64_t end_line = 0;  // 0: no end
  std::size_t place = 0;       // in its part's order, from 1; 0: it has none
  bool is_stuck = false;
};

struct Judgement {
  Verdict verdict = Verdict::kUnknown;
  std::uint64_t steps = 0;
  std::vector<JudgedOperation> operations;  // in order of their invocations
  std::vector<PartOutcome> parts;           // by places in `operations`
};

// Errors: kInvalidArgument "history_invalid" where the history has what the model does not know.
Result<Judgement> judge(ModelName model, const RecordedHistory& recorded, const Budget& budget);

// The shortest stuck prefix of each part that has one, for people; "" unless it is a violation.
// Of what was placed only the last few operations are shown.
std::string violation_text(const Judgement& judgement);

}  // namespace blixard::linearizability

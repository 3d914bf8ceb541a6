#pragma once

// What clients saw of a shared object: operations, each with a beginning and perhaps an end.
//
// Time is only order: positions of the events in the file, growing. Where two positions are equal
// the operations overlap. An operation without an end may take effect at any time after its
// beginning, or never.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "linearizability/limits.h"

namespace blixard::linearizability {

inline constexpr std::uint64_t kNever = std::numeric_limits<std::uint64_t>::max();

template <class Input, class Output>
struct Operation {
  std::uint64_t process = 0;
  Input input;
  std::optional<Output> output;     // none exactly if it has no end
  std::uint64_t invoked = 0;        // position
  std::uint64_t returned = kNever;  // position, not before `invoked`
};

template <class Model>
using History = std::vector<Operation<typename Model::Input, typename Model::Output>>;

// Operations that can be judged without the others, by their places in the history.
struct Part {
  std::string key;  // "" if there is only one part
  std::vector<std::size_t> operations;
};

enum class Verdict : std::uint8_t { kOk, kViolation, kUnknown };

// What a search may cost. It asks `is_over` now and then; whoever has a clock answers.
struct Budget {
  std::uint64_t steps_max = std::numeric_limits<std::uint64_t>::max();
  std::size_t bytes_max = limits::kSearchBytes;
  std::function<bool()> is_over;
};

struct PartOutcome {
  Part part;
  Verdict verdict = Verdict::kUnknown;
  // ok: all that took effect, in an order that explains what was seen. Violation: an order of all
  // that ended before `stuck` did, and of what else it explains.
  std::vector<std::size_t> order;
  // Violation: the operation whose end no order explains; none if the budget ended when it was
  // known only that there is one. The events up to its end are the shortest prefix of the part that
  // is not linearizable, given the answers, also the later ones, of all that began in it.
  std::optional<std::size_t> stuck;
};

struct Outcome {
  Verdict verdict = Verdict::kUnknown;
  std::uint64_t steps = 0;  // configurations looked at
  std::vector<PartOutcome> parts;
};

}  // namespace blixard::linearizability

#pragma once

// What an armed failpoint does, as its user writes it:
//
//   actions = step { "->" step }
//   step    = [percent "%"] [count "*"] action
//   action  = "off" | "return" | "error" [ "(" code ["," reason] ")" ] | "delay(" time ")"
//           | "pause" | "panic" | "trigger"
//
//   error                          always, with the site's own error
//   5%error(unavailable,io_error)  one time in twenty, with this one
//   3*delay(200ms)->off            the first three times
//   10*off->error                  from the eleventh time on
//
// The words and how steps follow each other are those of the `fail` library of TiKV (percent,
// count,
// "->", off, return, delay, pause, panic; a step that is used up, or whose chance does not come,
// leaves the passage to the next one). Codes and reasons instead of values come from our Result,
// "trigger" from the boolean return of pingcap/failpoint. Percentages may have up to four decimals;
// times are whole numbers with us, ms, s or m.
//
// Chance comes from a generator of its own, so that the same seed makes the same passages fire,
// and the node's own random numbers stay what they were.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/units.h"

namespace blixard::observe {

inline constexpr std::size_t kFailpointStepsMax = 16;
inline constexpr std::size_t kFailpointTextBytes = 1024;  // of the actions of one site
inline constexpr std::uint64_t kFailpointCountMax = 1'000'000'000;
inline constexpr Duration kFailpointDelayMax = 10min;

enum class FailpointAction : std::uint8_t {
  kOff,
  kReturn,  // what the site does by itself: its own error, or its trigger
  kError,
  kDelay,
  kPause,
  kPanic,
  kTrigger,
};

struct FailpointStep {
  FailpointAction action = FailpointAction::kOff;
  std::uint32_t chance_ppm = 1'000'000;
  std::optional<std::uint64_t> count;  // how often it may still be taken; none: for ever
  std::optional<Code> code;            // none: the site's own
  std::string_view reason;             // zero-terminated, lives as long as the program
  Duration delay{};
};

class FailpointActions {
 public:
  // Errors: kInvalidArgument "failpoint_invalid" with what is wrong and where; kResourceExhausted
  // "failpoint_reasons_full" (there is an end to the reasons one process learns).
  static Result<FailpointActions> parse(std::string_view text);

  void set_seed(std::uint64_t seed) { random_ = seed; }
  // The step of this passage; kOff when none is left.
  FailpointStep next();

  [[nodiscard]] const std::vector<FailpointStep>& steps() const { return steps_; }
  [[nodiscard]] std::string text() const;  // of what is left, in the same grammar

 private:
  std::vector<FailpointStep> steps_;
  std::uint64_t random_ = 0;
};

std::string_view failpoint_action_name(FailpointAction action);

}  // namespace blixard::observe

#include "observe/failpoint_actions.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <set>
#include <utility>

#include <fmt/format.h>

namespace blixard::observe {
namespace {

constexpr std::uint32_t kWhole = 1'000'000;  // parts per million in 100 %
constexpr std::size_t kReasonBytes = 63;
constexpr std::size_t kReasonsMax = 256;
constexpr std::size_t kCodes = static_cast<std::size_t>(Code::kDataLoss) + 1;
constexpr std::array<std::string_view, 7> kWords{"off",   "return", "error",  "delay",
                                                 "pause", "panic",  "trigger"};

struct Unit {
  std::string_view name;
  Duration length;
};
// The longest first, to be written with.
constexpr std::array<Unit, 4> kUnits{{{"m", 1min}, {"s", 1s}, {"ms", 1ms}, {"us", 1us}}};

// Error reasons are static words, so those that users make up are kept for ever. One thread arms.
const std::string* kept_reason(std::string_view word) {
  static std::set<std::string, std::less<>>& reasons = *new std::set<std::string, std::less<>>;
  if (const auto known = reasons.find(word); known != reasons.end()) return &*known;
  if (reasons.size() >= kReasonsMax) return nullptr;
  return &*reasons.emplace(word).first;
}

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text), left_(text) {}

  Result<std::vector<FailpointStep>> all() {
    if (text_.size() > kFailpointTextBytes) return wrong("it is too long");
    std::vector<FailpointStep> steps;
    do {
      if (steps.size() == kFailpointStepsMax) return wrong("there are too many steps");
      BLX_TRY(FailpointStep step, one());
      steps.push_back(step);
    } while (take("->"));
    skip_spaces();
    if (!left_.empty()) return wrong("expected -> or the end");
    return steps;
  }

 private:
  Result<FailpointStep> one() {
    FailpointStep step;
    skip_spaces();
    const std::string_view start = left_;
    if (auto percent = number(); percent && take_percent(*percent, step)) {
      if (step.chance_ppm > kWhole) return wrong("a percentage is at most 100");
    } else {
      left_ = start;
    }
    skip_spaces();
    if (!left_.empty() && is_digit(left_.front())) {
      step.count = number();
      if (!step.count || *step.count > kFailpointCountMax || !take("*")) {
        return wrong("expected a percentage such as 5%, or a count such as 3*");
      }
    }
    BLX_TRY(action(step));
    return step;
  }

  // After the whole digits.
  bool take_percent(std::uint64_t whole, FailpointStep& step) {
    std::uint64_t ppm = std::min<std::uint64_t>(whole, 101) * 10'000;
    if (take(".")) {
      std::uint64_t weight = 1'000;
      std::size_t digits = 0;
      for (; !left_.empty() && is_digit(left_.front()) && weight > 0; weight /= 10, ++digits) {
        ppm += static_cast<std::uint64_t>(left_.front() - '0') * weight;
        left_.remove_prefix(1);
      }
      if (digits == 0) return false;
    }
    if (!take("%")) return false;
    step.chance_ppm = static_cast<std::uint32_t>(ppm);
    return true;
  }

  Result<void> action(FailpointStep& step) {
    const std::string_view name = word();
    const auto* found = std::ranges::find(kWords, name);
    if (found == kWords.end()) {
      return wrong("expected off, return, error, delay, pause, panic or trigger");
    }
    step.action = static_cast<FailpointAction>(found - kWords.begin());
    if (step.action == FailpointAction::kDelay) return delay(step);
    if (!take("(")) return {};
    if (step.action == FailpointAction::kError || step.action == FailpointAction::kReturn) {
      step.action = FailpointAction::kError;
      return error(step);
    }
    return wrong("this action has no arguments");
  }

  Result<void> error(FailpointStep& step) {
    const std::string_view code = word();
    for (std::size_t i = 0; i < kCodes; ++i) {
      if (code_name(static_cast<Code>(i)) == code) step.code = static_cast<Code>(i);
    }
    if (!step.code) return wrong("expected an error code such as unavailable");
    if (take(",")) {
      const std::string_view reason = word();
      if (reason.empty() || reason.size() > kReasonBytes) {
        return wrong("a reason is a word of [a-z0-9_]");
      }
      const std::string* kept = kept_reason(reason);
      if (kept == nullptr) {
        return fail(Code::kResourceExhausted, "failpoint_reasons_full",
                    fmt::format("at most {} different reasons can be made up", kReasonsMax));
      }
      step.reason = *kept;
    }
    return close();
  }

  Result<void> delay(FailpointStep& step) {
    if (!take("(")) return wrong("a delay needs a time, such as delay(100ms)");
    const auto count = number();
    const std::string_view unit = word();
    const auto* known = std::ranges::find(kUnits, unit, &Unit::name);
    if (!count || known == kUnits.end()) return wrong("expected a time such as 100ms, 2s or 1m");
    if (*count > static_cast<std::uint64_t>(kFailpointDelayMax / known->length)) {
      return wrong("a delay is at most ten minutes");
    }
    step.delay = static_cast<std::int64_t>(*count) * known->length;
    return close();
  }

  Result<void> close() {
    if (!take(")")) return wrong("expected )");
    return {};
  }

  std::optional<std::uint64_t> number() {
    skip_spaces();
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(left_.data(), left_.data() + left_.size(), value);
    if (error != std::errc()) return std::nullopt;
    left_.remove_prefix(static_cast<std::size_t>(end - left_.data()));
    return value;
  }
  std::string_view word() {
    skip_spaces();
    std::size_t length = 0;
    while (length < left_.size() && is_word(left_[length]))
      ++length;
    const std::string_view found = left_.substr(0, length);
    left_.remove_prefix(length);
    return found;
  }
  bool take(std::string_view token) {
    skip_spaces();
    if (!left_.starts_with(token)) return false;
    left_.remove_prefix(token.size());
    return true;
  }
  void skip_spaces() {
    while (left_.starts_with(' '))
      left_.remove_prefix(1);
  }
  static bool is_digit(char c) { return c >= '0' && c <= '9'; }
  static bool is_word(char c) { return (c >= 'a' && c <= 'z') || is_digit(c) || c == '_'; }

  [[nodiscard]] std::unexpected<Error> wrong(std::string_view what) const {
    return fail(Code::kInvalidArgument, "failpoint_invalid",
                fmt::format("the actions of a failpoint, at character {}: {}",
                            text_.size() - left_.size() + 1, what));
  }

  std::string_view text_;
  std::string_view left_;
};

// splitmix64: small, and good enough for chance.
std::uint64_t draw(std::uint64_t& state) {
  state += 0x9e3779b97f4a7c15;
  std::uint64_t value = state;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
  value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
  return value ^ (value >> 31);
}

std::string text_of(const FailpointStep& step) {
  std::string text;
  if (step.chance_ppm != kWhole) {
    text += fmt::format("{}", step.chance_ppm / 10'000);
    if (step.chance_ppm % 10'000 != 0) {
      text += fmt::format(".{:04}", step.chance_ppm % 10'000);
      text.erase(text.find_last_not_of('0') + 1);
    }
    text += '%';
  }
  if (step.count) text += fmt::format("{}*", *step.count);
  text += failpoint_action_name(step.action);
  if (step.action == FailpointAction::kDelay) {
    const auto* unit = std::ranges::find_if(
        kUnits, [&](const Unit& u) { return step.delay % u.length == Duration(); });
    text += fmt::format("({}{})", step.delay / unit->length, unit->name);
  } else if (step.code) {
    text +=
        fmt::format("({}{}{})", code_name(*step.code), step.reason.empty() ? "" : ",", step.reason);
  }
  return text;
}

}  // namespace

std::string_view failpoint_action_name(FailpointAction action) {
  return kWords[static_cast<std::size_t>(action)];
}

Result<FailpointActions> FailpointActions::parse(std::string_view text) {
  FailpointActions actions;
  BLX_TRY(actions.steps_, Parser(text).all());
  return actions;
}

FailpointStep FailpointActions::next() {
  for (FailpointStep& step : steps_) {
    if (step.count && *step.count == 0) continue;
    if (step.chance_ppm < kWhole && draw(random_) % kWhole >= step.chance_ppm) continue;
    if (step.count) --*step.count;
    return step;
  }
  return {};
}

std::string FailpointActions::text() const {
  std::string text;
  for (const FailpointStep& step : steps_) {
    if (!text.empty()) text += "->";
    text += text_of(step);
  }
  return text;
}

}  // namespace blixard::observe

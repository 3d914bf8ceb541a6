// The form of constraints, and what no node can ever meet.

#include <algorithm>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "base/limits.h"
#include "core/cluster/reasons.h"
#include "core/cluster/text.h"
#include "core/cluster/wishes.h"

namespace blixard::cluster {

namespace {

using enum ConstraintOp;

std::unexpected<Error> fault(std::string detail) {
  return fail(Code::kInvalidArgument, reason::kPlacementInvalid, std::move(detail));
}

bool compares_numbers(ConstraintOp op) {
  return op == kLess || op == kLessOrEqual || op == kGreater || op == kGreaterOrEqual;
}

struct Count {
  std::size_t least;
  std::size_t most;
};

Count values_of(ConstraintOp op) {
  if (op == kExists || op == kNotExists) return {.least = 0, .most = 0};
  if (op == kIn || op == kNotIn) return {.least = 1, .most = limits::kConstraintValues};
  return {.least = 1, .most = 1};
}

bool is_attribute(std::string_view name) {
  const auto is_attribute_byte = [](char byte) {
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') || byte == '.' || byte == '_' || byte == '/' || byte == '-';
  };
  return !name.empty() && name.size() <= limits::kAttributeBytes &&
         std::ranges::all_of(name, is_attribute_byte);
}

Result<void> check_form(const char* field, const Constraint& constraint) {
  const std::string shown = bounded_text(constraint.attribute, limits::kAttributeBytes);
  if (!is_attribute(constraint.attribute)) {
    return fault(fmt::format("{}: '{}' is no attribute: 1 to {} of a-z, A-Z, 0-9 and . _ / -",
                             field, shown, limits::kAttributeBytes));
  }
  const Count count = values_of(constraint.op);
  const std::size_t values = constraint.values.size();
  if (values < count.least || values > count.most) {
    return fault(fmt::format("{}: {} is compared with {} values, {} to {} are possible", field,
                             shown, values, count.least, count.most));
  }
  for (const std::string& value : constraint.values) {
    if (!is_line(value, limits::kAttributeBytes)) {
      return fault(fmt::format("{}: a value of {} is not one line of at most {} bytes", field,
                               shown, limits::kAttributeBytes));
    }
    if (compares_numbers(constraint.op) && !constraint_number(value)) {
      return fault(
          fmt::format("{}: {} is compared with '{}', which is no number", field, shown, value));
    }
  }
  return {};
}

// What all constraints on one attribute leave of its values.
class Allowed {
 public:
  // False: nothing is left.
  [[nodiscard]] bool narrow(const Constraint& constraint) {
    if (constraint.op == kNotExists) {
      is_absent_ = true;
    } else if (constraint.op != kNotEqual && constraint.op != kNotIn) {
      is_present_ = true;
    }
    switch (constraint.op) {
      case kEqual:
      case kIn:
        only(constraint.values);
        break;
      case kNotEqual:
      case kNotIn:
        denied_.insert(constraint.values.begin(), constraint.values.end());
        break;
      // Millionths are the finest there is, so "less" is "at most one millionth less".
      case kLess:
        highest_ = std::min(highest_, *constraint_number(constraint.values[0]) - 1);
        break;
      case kLessOrEqual:
        highest_ = std::min(highest_, *constraint_number(constraint.values[0]));
        break;
      case kGreater:
        lowest_ = std::max(lowest_, *constraint_number(constraint.values[0]) + 1);
        break;
      case kGreaterOrEqual:
        lowest_ = std::max(lowest_, *constraint_number(constraint.values[0]));
        break;
      case kVersionLess:
      case kVersionAtLeast:
      case kMatches:
      case kExists:
      case kNotExists:
        break;
    }
    return !(is_absent_ && is_present_) && lowest_ <= highest_ && leaves_a_value();
  }

 private:
  void only(const std::vector<std::string>& values) {
    std::set<std::string> both;
    for (const std::string& value : values)
      if (!values_ || values_->contains(value)) both.insert(value);
    values_ = std::move(both);
  }
  [[nodiscard]] bool leaves_a_value() const {
    if (!values_) return true;
    return std::ranges::any_of(*values_, [&](const std::string& value) {
      if (denied_.contains(value)) return false;
      if (!has_range()) return true;
      const auto number = constraint_number(value);
      return number && *number >= lowest_ && *number <= highest_;
    });
  }
  [[nodiscard]] bool has_range() const { return lowest_ != kLowest || highest_ != kHighest; }

  static constexpr std::int64_t kLowest = std::numeric_limits<std::int64_t>::min();
  static constexpr std::int64_t kHighest = std::numeric_limits<std::int64_t>::max();

  std::optional<std::set<std::string>> values_;
  std::set<std::string> denied_;
  std::int64_t lowest_ = kLowest;
  std::int64_t highest_ = kHighest;
  bool is_absent_ = false;
  bool is_present_ = false;
};

}  // namespace

std::optional<std::int64_t> constraint_number(std::string_view text) {
  constexpr std::size_t kWholeDigits = 12;
  constexpr std::size_t kFractionDigits = 6;
  const bool is_negative = text.starts_with('-');
  if (is_negative) text.remove_prefix(1);
  const auto point = text.find('.');
  const std::string_view whole = text.substr(0, point);
  const std::string_view fraction =
      point == std::string_view::npos ? std::string_view() : text.substr(point + 1);
  if (whole.empty() || whole.size() > kWholeDigits || fraction.size() > kFractionDigits ||
      (point != std::string_view::npos && fraction.empty())) {
    return std::nullopt;
  }
  std::int64_t value = 0;
  for (const std::string_view digits : {whole, fraction}) {
    for (const char digit : digits) {
      if (digit < '0' || digit > '9') return std::nullopt;
      value = value * 10 + (digit - '0');
    }
  }
  for (std::size_t missing = fraction.size(); missing < kFractionDigits; ++missing)
    value *= 10;
  return is_negative ? -value : value;
}

Result<void> check_constraints(const Wishes& wishes) {
  if (wishes.constraints.size() > limits::kConstraints) {
    return fault(fmt::format("constraints: {} of them, at most {} are possible",
                             wishes.constraints.size(), limits::kConstraints));
  }
  if (wishes.preferences.size() > limits::kConstraints) {
    return fault(fmt::format("preferences: {} of them, at most {} are possible",
                             wishes.preferences.size(), limits::kConstraints));
  }
  std::map<std::string_view, Allowed> left;
  for (const Constraint& constraint : wishes.constraints) {
    BLX_TRY(check_form("constraints", constraint));
    if (!left[constraint.attribute].narrow(constraint)) {
      return fault(
          fmt::format("constraints: no value of {} meets all that is asked of it: leave some out",
                      constraint.attribute));
    }
  }
  constexpr std::int32_t kWeightMax = 100;
  for (const Preference& preference : wishes.preferences) {
    BLX_TRY(check_form("preferences", preference.constraint));
    if (preference.weight < -kWeightMax || preference.weight > kWeightMax) {
      return fault(fmt::format("preferences: weight {} is not between -{} and {}",
                               preference.weight, kWeightMax, kWeightMax));
    }
  }
  return {};
}

}  // namespace blixard::cluster

#include "core/sched/condition.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <re2/re2.h>

namespace blixard::sched {

namespace {

using cluster::Constraint;
using cluster::Label;
using enum cluster::ConstraintOp;

constexpr std::int64_t kPatternBytes = 64 << 10;  // of memory, once compiled

std::string_view sign_of(cluster::ConstraintOp op) {
  switch (op) {
    case kEqual:
      return "=";
    case kNotEqual:
      return "!=";
    case kIn:
      return "in";
    case kNotIn:
      return "not in";
    case kLess:
      return "<";
    case kLessOrEqual:
      return "<=";
    case kGreater:
      return ">";
    case kGreaterOrEqual:
      return ">=";
    case kVersionLess:
      return "version <";
    case kVersionAtLeast:
      return "version >=";
    case kMatches:
      return "matches";
    case kExists:
      return "exists";
    case kNotExists:
      return "does not exist";
  }
  return "?";
}

bool denies(cluster::ConstraintOp op) {
  return op == kNotEqual || op == kNotIn || op == kNotExists;
}

// The next part of a version: digits compare as numbers, all else as text.
std::string_view take_part(std::string_view& text) {
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  const auto is_between = [](char c) { return c == '.' || c == '-' || c == '+' || c == '~'; };
  while (!text.empty() && is_between(text.front()))
    text.remove_prefix(1);
  std::size_t size = 0;
  while (size < text.size() && !is_between(text[size]) &&
         is_digit(text[size]) == is_digit(text.front()))
    ++size;
  return std::exchange(text, text.substr(size)).substr(0, size);
}

// Digits of any length, without a limit of their value.
int compare_digits(std::string_view a, std::string_view b) {
  a.remove_prefix(std::min(a.find_first_not_of('0'), a.size()));
  b.remove_prefix(std::min(b.find_first_not_of('0'), b.size()));
  if (a.size() != b.size()) return a.size() < b.size() ? -1 : 1;
  return a.compare(b);
}

}  // namespace

Condition::Condition(const Constraint& constraint) : constraint_(constraint) {
  if (constraint.values.empty()) return;
  number_ = cluster::constraint_number(constraint.values.front());
  if (constraint.op != kMatches) return;
  re2::RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(kPatternBytes);
  options.set_never_nl(true);
  expression_ = std::make_shared<const re2::RE2>(constraint.values.front(), options);
}

bool Condition::is_valid() const { return expression_ == nullptr || expression_->ok(); }
std::string Condition::fault() const { return expression_ ? expression_->error() : ""; }

bool Condition::holds(std::span<const Label> attributes) const {
  const auto [first, last] =
      std::ranges::equal_range(attributes, std::string_view(constraint_.attribute), {},
                               [](const Label& label) { return std::string_view(label.key); });
  const auto is_met = [&](const Label& each) { return meets(each.value); };
  return denies(constraint_.op) ? std::all_of(first, last, is_met)
                                : std::any_of(first, last, is_met);
}

bool Condition::meets(std::string_view value) const {
  const auto is_listed = [&] {
    return std::ranges::find(constraint_.values, value) != constraint_.values.end();
  };
  switch (constraint_.op) {
    case kEqual:
    case kIn:
      return is_listed();
    case kNotEqual:
    case kNotIn:
      return !is_listed();
    case kLess:
    case kLessOrEqual:
    case kGreater:
    case kGreaterOrEqual:
      return meets_number(value);
    case kVersionLess:
      return !constraint_.values.empty() && compare_versions(value, constraint_.values[0]) < 0;
    case kVersionAtLeast:
      return !constraint_.values.empty() && compare_versions(value, constraint_.values[0]) >= 0;
    case kMatches:
      return expression_ && expression_->ok() &&
             re2::RE2::FullMatch({value.data(), value.size()}, *expression_);
    case kExists:
      return true;
    case kNotExists:
      return false;
  }
  return false;
}

bool Condition::meets_number(std::string_view value) const {
  const auto number = cluster::constraint_number(value);
  if (!number || !number_) return false;
  switch (constraint_.op) {
    case kLess:
      return *number < *number_;
    case kLessOrEqual:
      return *number <= *number_;
    case kGreater:
      return *number > *number_;
    default:
      return *number >= *number_;
  }
}

std::string condition_text(const Constraint& constraint) {
  std::string text = fmt::format("{} {}", constraint.attribute, sign_of(constraint.op));
  if (!constraint.values.empty()) text += fmt::format(" {}", fmt::join(constraint.values, ", "));
  return text;
}

int compare_versions(std::string_view a, std::string_view b) {
  const auto is_number = [](std::string_view part) {
    return !part.empty() && part.front() >= '0' && part.front() <= '9';
  };
  while (true) {
    const std::string_view left = take_part(a);
    const std::string_view right = take_part(b);
    if (left.empty() && right.empty()) return 0;
    const bool are_numbers = is_number(left) && is_number(right);
    const int order = are_numbers ? compare_digits(left, right) : left.compare(right);
    if (order != 0) return order;
  }
}

}  // namespace blixard::sched

#include "linearizability/calls.h"

#include <array>
#include <charconv>

#include <fmt/format.h>

#include "linearizability/limits.h"

namespace blixard::linearizability {

std::unexpected<Error> bad_line(std::uint64_t line, std::string_view what) {
  return fail(Code::kInvalidArgument, "history_invalid", fmt::format("line {}: {}", line, what));
}

std::optional<Record::Type> parse_type(std::string_view word) {
  constexpr std::array<std::string_view, 4> kNames{"invoke", "ok", "fail", "info"};
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    if (word == kNames.at(i)) return static_cast<Record::Type>(i);
  }
  return std::nullopt;
}

std::optional<std::uint64_t> parse_whole(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return {};
  return value;
}

Result<void> Pairing::add(Record record) {
  const std::uint64_t position = position_++;
  const auto open = open_.find(record.process);
  if (record.type == Record::Type::kInvoke) {
    if (open != open_.end() && mode_ == Mode::kStrict) {
      return bad_line(record.line,
                      fmt::format("process {} begins while its call of line {} has no end",
                                  record.process, calls_[open->second].line));
    }
    if (calls_.size() == limits::kOperations) {
      return fail(Code::kResourceExhausted, "history_too_long",
                  fmt::format("more than {} operations", limits::kOperations));
    }
    open_.insert_or_assign(record.process, calls_.size());
    calls_.push_back({.process = record.process,
                      .function = std::move(record.function),
                      .key = std::move(record.key),
                      .argument = std::move(record.value),
                      .answer = {},
                      .error = {},
                      .invoked = position,
                      .line = record.line});
    dropped_.push_back(false);
    return {};
  }
  const bool is_ok = record.type == Record::Type::kOk;
  if (open == open_.end()) {
    if (!is_ok && mode_ == Mode::kLenient) return {};
    return bad_line(record.line,
                    fmt::format("process {} ends what it did not begin", record.process));
  }
  Call& call = calls_[open->second];
  if (call.function != record.function || call.key != record.key) {
    return bad_line(record.line,
                    fmt::format("process {} began {} {} in line {}, and ends {} {}", record.process,
                                call.function, call.key, call.line, record.function, record.key));
  }
  if (is_ok) {
    call.answer = std::move(record.value);
    call.error = std::move(record.error);
    call.returned = position;
    call.end_line = record.line;
  }
  dropped_[open->second] = record.type == Record::Type::kFail;
  open_.erase(open);
  return {};
}

std::vector<Call> Pairing::take() {
  std::vector<Call> kept;
  for (std::size_t i = 0; i < calls_.size(); ++i) {
    if (!dropped_[i]) kept.push_back(std::move(calls_[i]));
  }
  calls_.clear();
  dropped_.clear();
  open_.clear();
  return kept;
}

}  // namespace blixard::linearizability

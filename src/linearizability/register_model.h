#pragma once

// Registers: read, write, and compare-and-set, each register by itself.
//
// A value is text in the form it is printed in, so that the number 1 and the string "1" differ;
// kNil stands for a register that was never written. A compare-and-set that did not match says
// that the value was another, and changes nothing.

#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "linearizability/history.h"

namespace blixard::linearizability {

using Value = std::string;
inline constexpr std::string_view kNil = "nil";

class RegisterModel {
 public:
  enum class Action : std::uint8_t { kRead, kWrite, kCompareAndSet };
  struct Input {
    Action action = Action::kRead;
    std::string key;
    Value value;     // to write or to set
    Value expected;  // of a compare-and-set
    friend auto operator<=>(const Input&, const Input&) = default;
  };
  struct Output {
    Value value;          // that was read
    bool matched = true;  // of a compare-and-set
    friend auto operator<=>(const Output&, const Output&) = default;
  };
  using State = Value;

  explicit RegisterModel(Value initial = Value(kNil)) : initial_(std::move(initial)) {}

  [[nodiscard]] State initial() const { return initial_; }
  [[nodiscard]] std::optional<State> step(const State& state, const Input& input,
                                          const std::optional<Output>& output) const;
  [[nodiscard]] bool is_read_only(const Input& input, const std::optional<Output>& output) const;
  [[nodiscard]] bool is_overwrite(const Input& input,
                                  const std::optional<Output>& /*output*/) const {
    return input.action == Action::kWrite;
  }
  [[nodiscard]] std::uint64_t hash(const State& state) const;
  [[nodiscard]] std::size_t bytes(const State& state) const { return sizeof(State) + state.size(); }
  [[nodiscard]] std::vector<Part> partition(const History<RegisterModel>& history) const;

 private:
  Value initial_;
};

// What a person reads: `cas 1 2 -> no match`.
std::string text_of(const RegisterModel::Input& input,
                    const std::optional<RegisterModel::Output>& output);

}  // namespace blixard::linearizability

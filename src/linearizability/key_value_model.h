#pragma once

// A store of texts by key: get, put, append. Every key begins empty, and stands for itself.

#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "linearizability/history.h"

namespace blixard::linearizability {

class KeyValueModel {
 public:
  enum class Action : std::uint8_t { kGet, kPut, kAppend };
  struct Input {
    Action action = Action::kGet;
    std::string key;
    std::string value;  // to put or append
    friend auto operator<=>(const Input&, const Input&) = default;
  };
  struct Output {
    std::string value;  // that a get was given
    friend auto operator<=>(const Output&, const Output&) = default;
  };
  using State = std::string;  // of one key

  [[nodiscard]] State initial() const { return {}; }
  [[nodiscard]] std::optional<State> step(const State& state, const Input& input,
                                          const std::optional<Output>& output) const;
  [[nodiscard]] bool is_read_only(const Input& input, const std::optional<Output>& output) const;
  [[nodiscard]] bool is_overwrite(const Input& input,
                                  const std::optional<Output>& /*output*/) const {
    return input.action == Action::kPut;
  }
  [[nodiscard]] bool is_never_refused(const Input& input,
                                      const std::optional<Output>& output) const {
    return input.action != Action::kGet || !output;
  }
  [[nodiscard]] bool leads_to(const State& state, const Input& input,
                              const std::optional<Output>& output) const {
    // Texts only grow.
    return input.action != Action::kGet || !output || output->value.starts_with(state);
  }
  [[nodiscard]] std::uint64_t hash(const State& state) const;
  [[nodiscard]] std::size_t bytes(const State& state) const { return sizeof(State) + state.size(); }
  [[nodiscard]] std::vector<Part> partition(const History<KeyValueModel>& history) const;
};

// What a person reads: `get k -> "v"`.
std::string text_of(const KeyValueModel::Input& input,
                    const std::optional<KeyValueModel::Output>& output);

}  // namespace blixard::linearizability

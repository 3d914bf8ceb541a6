#pragma once

// Several registers, and operations that read and write some of them in one instant, in the order
// they are written: a read sees what the same operation wrote before it. Registers that no
// operation connects are judged apart.

#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "linearizability/history.h"
#include "linearizability/register_model.h"

namespace blixard::linearizability {

class MultiRegisterModel {
 public:
  struct Access {
    bool writes = false;
    std::string key;
    Value value;  // to write
    friend auto operator<=>(const Access&, const Access&) = default;
  };
  struct Input {
    std::vector<Access> accesses;
    friend auto operator<=>(const Input&, const Input&) = default;
  };
  struct Output {
    // As many as accesses; none for a write, and for a read that says nothing.
    std::vector<std::optional<Value>> values;
    friend auto operator<=>(const Output&, const Output&) = default;
  };
  using State = std::map<std::string, Value>;  // what differs from the initial value

  explicit MultiRegisterModel(Value initial = Value(kNil)) : initial_(std::move(initial)) {}

  [[nodiscard]] State initial() const { return {}; }
  [[nodiscard]] std::optional<State> step(const State& state, const Input& input,
                                          const std::optional<Output>& output) const;
  [[nodiscard]] bool is_read_only(const Input& input, const std::optional<Output>& output) const;
  [[nodiscard]] std::uint64_t hash(const State& state) const;
  [[nodiscard]] std::size_t bytes(const State& state) const;
  [[nodiscard]] std::vector<Part> partition(const History<MultiRegisterModel>& history) const;

 private:
  Value initial_;
};

// What a person reads: `x=1 y->2`.
std::string text_of(const MultiRegisterModel::Input& input,
                    const std::optional<MultiRegisterModel::Output>& output);

}  // namespace blixard::linearizability

#pragma once

// A lock that at most one holds at a time: acquire, release. Who releases is not looked at, as in
// the published histories of this kind: a lock whose holder vanished may be released for it. Locks
// of several keys are several locks.

#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "linearizability/history.h"

namespace blixard::linearizability {

class MutexModel {
 public:
  enum class Action : std::uint8_t { kAcquire, kRelease };
  struct Input {
    Action action = Action::kAcquire;
    std::string key;
    friend auto operator<=>(const Input&, const Input&) = default;
  };
  struct Output {
    bool done = true;  // false: it was held, or was not held
    friend auto operator<=>(const Output&, const Output&) = default;
  };
  using State = bool;  // held

  [[nodiscard]] State initial() const { return false; }
  [[nodiscard]] std::optional<State> step(const State& held, const Input& input,
                                          const std::optional<Output>& output) const;
  [[nodiscard]] bool is_read_only(const Input& input, const std::optional<Output>& output) const;
  [[nodiscard]] std::uint64_t hash(const State& held) const { return held ? 1 : 0; }
  [[nodiscard]] std::size_t bytes(const State& /*held*/) const { return 1; }
  [[nodiscard]] std::vector<Part> partition(const History<MutexModel>& history) const;
};

// What a person reads: `acquire -> refused`.
std::string text_of(const MutexModel::Input& input,
                    const std::optional<MutexModel::Output>& output);

}  // namespace blixard::linearizability

#include "linearizability/register_model.h"

#include <fmt/format.h>

#include "linearizability/mixing.h"
#include "linearizability/partition.h"

namespace blixard::linearizability {

using enum RegisterModel::Action;

std::optional<Value> RegisterModel::step(const State& state, const Input& input,
                                         const std::optional<Output>& output) const {
  switch (input.action) {
    case kRead:
      if (output && output->value != state) return std::nullopt;
      return state;
    case kWrite:
      return input.value;
    case kCompareAndSet: {
      const bool matches = input.expected == state;
      if (output && output->matched != matches) return std::nullopt;
      return matches ? input.value : state;
    }
  }
  return std::nullopt;
}

bool RegisterModel::is_read_only(const Input& input, const std::optional<Output>& output) const {
  if (input.action == kRead) return true;
  if (input.action == kWrite) return false;
  return input.expected == input.value || (output && !output->matched);
}

std::uint64_t RegisterModel::hash(const State& state) const { return mix(0, state); }

std::vector<Part> RegisterModel::partition(const History<RegisterModel>& history) const {
  return partition_by_key(history);
}

std::string text_of(const RegisterModel::Input& input,
                    const std::optional<RegisterModel::Output>& output) {
  const std::string key = input.key.empty() ? "" : input.key + " ";
  switch (input.action) {
    case kRead:
      return fmt::format("{}read -> {}", key, output ? output->value : "?");
    case kWrite:
      return fmt::format("{}write {}", key, input.value);
    case kCompareAndSet: {
      const char* answer = !output ? "?" : output->matched ? "matched" : "no match";
      return fmt::format("{}cas {} {} -> {}", key, input.expected, input.value, answer);
    }
  }
  return {};
}

}  // namespace blixard::linearizability

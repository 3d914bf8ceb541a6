#include "linearizability/multi_register_model.h"

#include <algorithm>
#include <string_view>

#include "linearizability/mixing.h"
#include "linearizability/partition.h"

namespace blixard::linearizability {

std::optional<MultiRegisterModel::State> MultiRegisterModel::step(
    const State& state, const Input& input, const std::optional<Output>& output) const {
  State next = state;
  for (std::size_t i = 0; i < input.accesses.size(); ++i) {
    const Access& access = input.accesses[i];
    if (access.writes) {
      if (access.value == initial_) {
        next.erase(access.key);
      } else {
        next[access.key] = access.value;
      }
      continue;
    }
    if (!output || !output->values[i]) continue;
    const auto held = next.find(access.key);
    if ((held == next.end() ? initial_ : held->second) != *output->values[i]) return std::nullopt;
  }
  return next;
}

bool MultiRegisterModel::is_read_only(const Input& input,
                                      const std::optional<Output>& /*output*/) const {
  return std::ranges::none_of(input.accesses, &Access::writes);
}

std::uint64_t MultiRegisterModel::hash(const State& state) const {
  std::uint64_t hash = state.size();
  for (const auto& [key, value] : state)
    hash = mix(mix(hash, key), value);
  return hash;
}

std::size_t MultiRegisterModel::bytes(const State& state) const {
  std::size_t bytes = sizeof(State);
  for (const auto& [key, value] : state)
    bytes += 128 + key.size() + value.size();
  return bytes;
}

std::vector<Part> MultiRegisterModel::partition(const History<MultiRegisterModel>& history) const {
  return partition_by_keys(history, [](const auto& operation) {
    std::vector<std::string_view> keys;
    keys.reserve(operation.input.accesses.size());
    for (const Access& access : operation.input.accesses)
      keys.push_back(access.key);
    if (keys.empty()) keys.push_back("");  // touches nothing
    return keys;
  });
}

std::string text_of(const MultiRegisterModel::Input& input,
                    const std::optional<MultiRegisterModel::Output>& output) {
  std::string text;
  for (std::size_t i = 0; i < input.accesses.size(); ++i) {
    const auto& access = input.accesses[i];
    if (i != 0) text += ' ';
    text += access.key;
    if (access.writes) {
      text += "=" + access.value;
    } else {
      text += "->" + (output && output->values[i] ? *output->values[i] : std::string("?"));
    }
  }
  return text;
}

}  // namespace blixard::linearizability

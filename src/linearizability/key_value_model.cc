#include "linearizability/key_value_model.h"

#include <fmt/format.h>

#include "linearizability/mixing.h"
#include "linearizability/partition.h"

namespace blixard::linearizability {

using enum KeyValueModel::Action;

std::optional<std::string> KeyValueModel::step(const State& state, const Input& input,
                                               const std::optional<Output>& output) const {
  switch (input.action) {
    case kGet:
      if (output && output->value != state) return std::nullopt;
      return state;
    case kPut:
      return input.value;
    case kAppend:
      return state + input.value;
  }
  return std::nullopt;
}

bool KeyValueModel::is_read_only(const Input& input,
                                 const std::optional<Output>& /*output*/) const {
  return input.action == kGet || (input.action == kAppend && input.value.empty());
}

std::uint64_t KeyValueModel::hash(const State& state) const { return mix(0, state); }

std::vector<Part> KeyValueModel::partition(const History<KeyValueModel>& history) const {
  return partition_by_key(history);
}

std::string text_of(const KeyValueModel::Input& input,
                    const std::optional<KeyValueModel::Output>& output) {
  switch (input.action) {
    case kGet:
      return output ? fmt::format("get {} -> \"{}\"", input.key, output->value)
                    : fmt::format("get {} -> ?", input.key);
    case kPut:
      return fmt::format("put {} \"{}\"", input.key, input.value);
    case kAppend:
      return fmt::format("append {} \"{}\"", input.key, input.value);
  }
  return {};
}

}  // namespace blixard::linearizability

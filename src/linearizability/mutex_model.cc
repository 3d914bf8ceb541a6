#include "linearizability/mutex_model.h"

#include <fmt/format.h>

#include "linearizability/partition.h"

namespace blixard::linearizability {

std::optional<bool> MutexModel::step(const State& held, const Input& input,
                                     const std::optional<Output>& output) const {
  const bool acquires = input.action == Action::kAcquire;
  const bool succeeds = held != acquires;
  if (output ? output->done != succeeds : !succeeds) return std::nullopt;
  return succeeds ? acquires : held;
}

bool MutexModel::is_read_only(const Input& /*input*/, const std::optional<Output>& output) const {
  return output && !output->done;
}

std::vector<Part> MutexModel::partition(const History<MutexModel>& history) const {
  return partition_by_key(history);
}

std::string text_of(const MutexModel::Input& input,
                    const std::optional<MutexModel::Output>& output) {
  return fmt::format("{}{}{} -> {}", input.key, input.key.empty() ? "" : " ",
                     input.action == MutexModel::Action::kAcquire ? "acquire" : "release",
                     !output        ? "?"
                     : output->done ? "done"
                                    : "refused");
}

}  // namespace blixard::linearizability

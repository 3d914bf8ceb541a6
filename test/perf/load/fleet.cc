#include "test/perf/load/fleet.h"

#include <charconv>
#include <numeric>
#include <utility>

#include <fmt/format.h>

namespace blixard::load {

std::string_view operation_name(Operation operation) {
  constexpr std::array<std::string_view, kOperations> kNames{"get",  "list",   "create", "start",
                                                             "stop", "delete", "status"};
  return kNames.at(static_cast<std::size_t>(operation));
}

std::optional<std::string> Fleet::Idle::take(env::Random& random) {
  if (names.empty()) return std::nullopt;
  std::swap(names[random.below(names.size())], names.back());
  std::string name = std::move(names.back());
  names.pop_back();
  return name;
}

void Fleet::adopt(std::string name, bool runs) {
  std::uint64_t number = 0;
  const std::string_view tail = std::string_view(name).substr(prefix_.size());
  if (std::from_chars(tail.data(), tail.data() + tail.size(), number).ec == std::errc()) {
    next_ = std::max(next_, number + 1);
  }
  runs_[name] = runs;
  idle_.at(runs ? 1 : 0).names.push_back(std::move(name));
}

Choice Fleet::choose_create() {
  return {.operation = Operation::kCreate, .vm = fmt::format("{}{:06}", prefix_, next_++)};
}

std::optional<Choice> Fleet::change(Operation operation, env::Random& random) {
  const bool has_to_run =
      operation == Operation::kStop || (operation != Operation::kStart && random.below(4) != 0);
  auto name = idle_.at(has_to_run ? 1 : 0).take(random);
  if (!name && operation != Operation::kStart && operation != Operation::kStop) {
    name = idle_.at(has_to_run ? 0 : 1).take(random);
  }
  if (!name) return std::nullopt;
  return Choice{.operation = operation, .vm = *std::move(name)};
}

Choice Fleet::choose(env::Random& random, const Mix& mix) {
  std::uint64_t at = random.below(std::accumulate(mix.begin(), mix.end(), 0U));
  std::size_t index = 0;
  while (at >= mix.at(index))
    at -= mix.at(index++);
  const auto operation = static_cast<Operation>(index);
  if (operation == Operation::kStatus) return {.operation = operation};
  if (operation == Operation::kCreate) return choose_create();
  if (operation == Operation::kList) {
    return {.operation = operation, .vm = fmt::format("{}{:06}", prefix_, random.below(next_ + 1))};
  }
  if (auto choice = change(operation, random)) return *std::move(choice);
  if (operation == Operation::kStart) {
    if (auto choice = change(Operation::kStop, random)) return *std::move(choice);
  }
  if (operation == Operation::kStop) {
    if (auto choice = change(Operation::kStart, random)) return *std::move(choice);
  }
  return choose_create();
}

void Fleet::answered(const Choice& choice, Answer answer) {
  const Operation operation = choice.operation;
  if (operation == Operation::kList || operation == Operation::kStatus) return;
  const bool changes = operation != Operation::kGet;
  if (answer == Answer::kUnknown && changes) {
    runs_.erase(choice.vm);
    uncertain_.insert(choice.vm);
    return;
  }
  if (answer == Answer::kDone) {
    if (operation == Operation::kCreate || operation == Operation::kStart) runs_[choice.vm] = true;
    if (operation == Operation::kStop) runs_[choice.vm] = false;
    if (operation == Operation::kDelete) runs_.erase(choice.vm);
  }
  if (const auto found = runs_.find(choice.vm); found != runs_.end()) {
    idle_.at(found->second ? 1 : 0).names.push_back(choice.vm);
  }
}

}  // namespace blixard::load

#pragma once

// For tests and benchmarks: long histories of real objects under many clients, and such that were
// spoiled late.

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "linearizability/history.h"
#include "linearizability/key_value_model.h"
#include "linearizability/register_model.h"
#include "linearizability/test_histories.h"

namespace blixard::linearizability {

inline RegisterModel::Input ask_register(Dice& dice, std::uint64_t /*process*/) {
  const auto value = [&] { return fmt::format("{}", dice.below(5)); };
  switch (dice.below(3)) {
    case 0:
      return {};
    case 1:
      return {.action = RegisterModel::Action::kWrite, .key = {}, .value = value()};
    default: {
      auto expected = value();
      return {.action = RegisterModel::Action::kCompareAndSet,
              .key = {},
              .value = value(),
              .expected = std::move(expected)};
    }
  }
}

inline RegisterModel::Output act_register(std::string& state, const RegisterModel::Input& input) {
  if (input.action == RegisterModel::Action::kRead) return {.value = state};
  const bool matches = input.action == RegisterModel::Action::kWrite || state == input.expected;
  if (matches) state = input.value;
  return {.value = {}, .matched = matches};
}

inline History<RegisterModel> registers(std::uint64_t seed, const Schedule& schedule) {
  return real_history<RegisterModel>(seed, schedule, std::string(kNil), ask_register, act_register);
}

// Late in the history an answer becomes one of a value that was never there.
inline void spoil(History<RegisterModel>& history) {
  for (std::size_t i = history.size() * 9 / 10; i < history.size(); ++i) {
    if (history[i].input.action != RegisterModel::Action::kRead || !history[i].output) continue;
    history[i].output->value = "9";
    return;
  }
}

// Texts by key, most changes appends, each of a text of its own.
inline History<KeyValueModel> key_values(std::uint64_t seed, const Schedule& schedule,
                                         std::uint64_t keys) {
  std::uint64_t count = 0;
  return real_history<KeyValueModel>(
      seed, schedule, std::map<std::string, std::string>(),
      [&](Dice& dice, std::uint64_t process) {
        KeyValueModel::Input input{.action = static_cast<KeyValueModel::Action>(dice.below(3)),
                                   .key = fmt::format("{}", dice.below(keys)),
                                   .value = {}};
        if (input.action == KeyValueModel::Action::kPut && !dice.one_in(8))
          input.action = KeyValueModel::Action::kAppend;
        if (input.action != KeyValueModel::Action::kGet)
          input.value = fmt::format("x {} {} y", process, count++);
        return input;
      },
      [](std::map<std::string, std::string>& state, const KeyValueModel::Input& input) {
        std::string& value = state[input.key];
        if (input.action == KeyValueModel::Action::kGet) return KeyValueModel::Output{value};
        value = input.action == KeyValueModel::Action::kPut ? input.value : value + input.value;
        return KeyValueModel::Output{};
      });
}

// Late in the history a get is given what a get long before it was given.
inline void spoil(History<KeyValueModel>& history) {
  const auto is_get = [&](std::size_t i) {
    return history[i].input.action == KeyValueModel::Action::kGet && history[i].output;
  };
  for (std::size_t late = history.size() * 9 / 10; late < history.size(); ++late) {
    if (!is_get(late)) continue;
    for (std::size_t early = late - history.size() / 10; early-- > 0;) {
      if (!is_get(early) || history[early].input.key != history[late].input.key) continue;
      if (history[early].output == history[late].output) continue;
      history[late].output = history[early].output;
      return;
    }
  }
}

}  // namespace blixard::linearizability

// Calls of the product's API as operations of the VM model.

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "linearizability/interpret.h"

namespace blixard::linearizability {
namespace {

using Action = VmModel::Action;
using Answer = VmModel::Answer;
using Seen = VmModel::Seen;

std::optional<Action> parse_action(std::string_view word) {
  for (std::size_t i = 0; i < VmModel::kActions; ++i) {
    const auto action = static_cast<Action>(i);
    if (word == action_name(action)) return action;
  }
  return std::nullopt;
}

Result<Answer> answer_of(const Call& call) {
  if (call.error.empty()) return Answer::kDone;
  for (const auto answer : {Answer::kExists, Answer::kNotFound, Answer::kBeingDeleted}) {
    if (call.error == answer_name(answer)) return answer;
  }
  return bad_line(call.end_line, fmt::format("{} is no answer that tells of a VM; write it as fail "
                                             "if nothing happened, else as info",
                                             call.error));
}

Result<std::uint64_t> number_member(const Form& vm, std::string_view name, std::uint64_t line) {
  const Form* member = vm.find(name);
  const auto number = member->kind == Form::Kind::kNumber || member->kind == Form::Kind::kString
                          ? parse_whole(member->text)
                          : std::nullopt;
  if (!number) return bad_line(line, fmt::format("{} is not a whole number", name));
  return *number;
}

template <class Enum, class Name>
Result<Enum> word_member(const Form& vm, std::string_view member, Enum last, Name name,
                         std::uint64_t line) {
  const std::string& word = vm.find(member)->text;
  for (unsigned i = 1; i <= static_cast<unsigned>(last); ++i) {
    if (word == name(static_cast<Enum>(i))) return static_cast<Enum>(i);
  }
  return bad_line(line, fmt::format("{} is no {}", word, member));
}

// A VM as an answer shows it; of a command only the id, since the rest may have been read later.
Result<Seen> seen_of(const Form& vm, Action action, std::uint64_t line) {
  if (vm.kind != Form::Kind::kMap) return bad_line(line, "a VM is shown as an object");
  Seen seen;
  const auto has = [&](std::string_view name) {
    const Form* member = vm.find(name);
    return member != nullptr && !member->is_nil();
  };
  if (has("id")) {
    BLX_TRY(seen.id, number_member(vm, "id", line));
  }
  if (action == Action::kList) {
    const Form* name = vm.find("name");
    if (name == nullptr || name->kind != Form::Kind::kString || name->text.empty())
      return bad_line(line, "a listed VM without a name");
    seen.name = name->text;
  } else if (action != Action::kGet) {
    return seen;
  }
  if (has("desired")) {
    BLX_TRY(seen.desired, word_member(vm, "desired", cluster::VmDesired::kSuspended,
                                      cluster::desired_name, line));
  }
  if (has("generation")) {
    BLX_TRY(seen.generation, number_member(vm, "generation", line));
    seen.tells_generation = true;
  }
  if (has("state")) {
    BLX_TRY(seen.state,
            word_member(vm, "state", cluster::VmState::kSuspended, cluster::state_name, line));
  }
  return seen;
}

Result<VmModel::Output> output_of(const Call& call, Action action) {
  VmModel::Output output;
  BLX_TRY(output.answer, answer_of(call));
  const Form& told = *call.answer;
  if (output.answer != Answer::kDone) return output;
  if (action != Action::kList) {
    if (told.is_nil()) return output;
    BLX_TRY(auto seen, seen_of(told, action, call.end_line));
    output.seen.push_back(std::move(seen));
    return output;
  }
  if (told.kind != Form::Kind::kVector) return bad_line(call.end_line, "a list is an array");
  for (const Form& vm : told.items) {
    BLX_TRY(auto seen, seen_of(vm, action, call.end_line));
    output.seen.push_back(std::move(seen));
  }
  std::ranges::sort(output.seen);
  const auto same = std::ranges::adjacent_find(output.seen, {}, &Seen::name);
  if (same != output.seen.end())
    return bad_line(call.end_line, fmt::format("{} is listed twice", same->name));
  return output;
}

}  // namespace

Result<Interpreted<VmModel>> as_vms(const RecordedHistory& recorded) {
  Interpreted<VmModel> kept;
  for (std::size_t i = 0; i < recorded.calls.size(); ++i) {
    const Call& call = recorded.calls[i];
    const auto action = parse_action(call.function);
    if (!action) return bad_line(call.line, fmt::format("a VM has no operation {}", call.function));
    if (call.key.empty() != (*action == Action::kList))
      return bad_line(call.line, "a VM's name is its key; a list has none");
    VmModel::Input input{.action = *action, .name = call.key};
    if (*action == Action::kCreate) {
      const Form* start = call.argument.find("start");
      input.create_stopped = start != nullptr && start->printed() == "false";
      const Form* on_evict = call.argument.find("on_evict");
      input.stops_when_evicted = on_evict != nullptr && on_evict->printed() == "\"stop\"";
    }
    std::optional<VmModel::Output> output;
    if (call.answer) {
      BLX_TRY(output, output_of(call, *action));
    }
    keep(kept, call, i, std::move(input), std::move(output));
  }
  return kept;
}

}  // namespace blixard::linearizability

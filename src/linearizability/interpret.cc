#include "linearizability/interpret.h"

#include <fmt/format.h>

namespace blixard::linearizability {
namespace {

std::unexpected<Error> not_known(const Call& call, std::string_view model) {
  return bad_line(call.line, fmt::format("a {} has no operation {}", model, call.function));
}

// The printed form of a plain value.
Result<Value> value_of(const Form& form, std::uint64_t line) {
  if (!form.is_scalar()) return bad_line(line, fmt::format("{} is no value", form.printed()));
  return form.printed();
}

Result<std::string> text_of_form(const Form& form, std::uint64_t line) {
  if (form.kind != Form::Kind::kString)
    return bad_line(line, fmt::format("{} is not a string", form.printed()));
  return form.text;
}

Result<RegisterModel::Input> register_input(const Call& call, CompareAndSet cas) {
  using enum RegisterModel::Action;
  RegisterModel::Input input{.key = call.key, .value = {}, .expected = {}};
  if (call.function == "read") return input;
  if (call.function == "write") {
    input.action = kWrite;
    BLX_TRY(input.value, value_of(call.argument, call.line));
    return input;
  }
  if (call.function != "cas" || cas == CompareAndSet::kUnknown)
    return not_known(call, cas == CompareAndSet::kKnown ? "cas-register" : "register");
  if (call.argument.kind != Form::Kind::kVector || call.argument.items.size() != 2)
    return bad_line(call.line, "a cas needs two values");
  input.action = kCompareAndSet;
  BLX_TRY(input.expected, value_of(call.argument.items[0], call.line));
  BLX_TRY(input.value, value_of(call.argument.items[1], call.line));
  return input;
}

Result<MultiRegisterModel::Access> access_of(const Form& form, std::uint64_t line) {
  const auto is_word = [](const Form& word) {
    return word.kind == Form::Kind::kKeyword || word.kind == Form::Kind::kString;
  };
  if (form.kind != Form::Kind::kVector || form.items.size() != 3 || !is_word(form.items[0]) ||
      !form.items[1].is_scalar()) {
    return bad_line(line, fmt::format("{} is not [read or write, key, value]", form.printed()));
  }
  const std::string& action = form.items[0].text;
  if (action != "read" && action != "r" && action != "write" && action != "w")
    return bad_line(line, fmt::format("{} neither reads nor writes", form.printed()));
  MultiRegisterModel::Access access;
  access.writes = action.front() == 'w';
  access.key = form.items[1].printed();
  if (access.writes) {
    BLX_TRY(access.value, value_of(form.items[2], line));
  }
  return access;
}

Result<MultiRegisterModel::Input> transaction_of(const Form& form, std::uint64_t line) {
  if (form.kind != Form::Kind::kVector) return bad_line(line, "a txn needs a vector");
  MultiRegisterModel::Input input;
  for (const Form& item : form.items) {
    BLX_TRY(auto access, access_of(item, line));
    input.accesses.push_back(std::move(access));
  }
  return input;
}

}  // namespace

Result<Interpreted<RegisterModel>> as_registers(const RecordedHistory& recorded,
                                                CompareAndSet cas) {
  Interpreted<RegisterModel> kept;
  for (std::size_t i = 0; i < recorded.calls.size(); ++i) {
    const Call& call = recorded.calls[i];
    BLX_TRY(auto input, register_input(call, cas));
    std::optional<RegisterModel::Output> output;
    if (call.answer) {
      output.emplace();
      if (input.action == RegisterModel::Action::kRead) {
        if (call.answer->is_nil() && !recorded.conventions.nil_is_absent) continue;
        BLX_TRY(output->value, value_of(*call.answer, call.end_line));
      } else if (input.action == RegisterModel::Action::kCompareAndSet) {
        output->matched = call.answer->printed() != "false";
      }
    }
    keep(kept, call, i, std::move(input), std::move(output));
  }
  return kept;
}

Result<Interpreted<KeyValueModel>> as_key_values(const RecordedHistory& recorded) {
  using enum KeyValueModel::Action;
  Interpreted<KeyValueModel> kept;
  for (std::size_t i = 0; i < recorded.calls.size(); ++i) {
    const Call& call = recorded.calls[i];
    KeyValueModel::Input input{.key = call.key, .value = {}};
    std::optional<KeyValueModel::Output> output;
    if (call.answer) output.emplace();
    if (call.function == "get") {
      if (call.answer && call.answer->is_nil()) continue;  // not told
      if (call.answer) {
        BLX_TRY(output->value, text_of_form(*call.answer, call.end_line));
      }
    } else if (call.function == "put" || call.function == "append") {
      input.action = call.function == "put" ? kPut : kAppend;
      BLX_TRY(input.value, text_of_form(call.argument, call.line));
    } else {
      return not_known(call, "kv");
    }
    keep(kept, call, i, std::move(input), std::move(output));
  }
  return kept;
}

Result<Interpreted<MutexModel>> as_mutexes(const RecordedHistory& recorded) {
  Interpreted<MutexModel> kept;
  for (std::size_t i = 0; i < recorded.calls.size(); ++i) {
    const Call& call = recorded.calls[i];
    const bool acquires = call.function == "acquire";
    if (!acquires && call.function != "release") return not_known(call, "mutex");
    std::optional<MutexModel::Output> output;
    if (call.answer) output = MutexModel::Output{.done = call.answer->printed() != "false"};
    keep(kept, call, i,
         MutexModel::Input{
             .action = acquires ? MutexModel::Action::kAcquire : MutexModel::Action::kRelease,
             .key = call.key},
         output);
  }
  return kept;
}

Result<Interpreted<MultiRegisterModel>> as_multi_registers(const RecordedHistory& recorded) {
  Interpreted<MultiRegisterModel> kept;
  for (std::size_t i = 0; i < recorded.calls.size(); ++i) {
    const Call& call = recorded.calls[i];
    if (call.function != "txn") return not_known(call, "multi-register");
    BLX_TRY(auto input, transaction_of(call.argument, call.line));
    std::optional<MultiRegisterModel::Output> output;
    if (call.answer) {
      BLX_TRY(const auto told, transaction_of(*call.answer, call.end_line));
      const auto same = [](const auto& a, const auto& b) {
        return a.writes == b.writes && a.key == b.key && a.value == b.value;
      };
      if (!std::ranges::equal(told.accesses, input.accesses, same))
        return bad_line(call.end_line, "the answer is to another txn");
      output.emplace().values.resize(input.accesses.size());
      for (std::size_t at = 0; at < input.accesses.size(); ++at) {
        const Form& value = call.answer->items[at].items[2];
        const bool says = !value.is_nil() || recorded.conventions.nil_is_absent;
        if (input.accesses[at].writes || !says) continue;
        BLX_TRY(output->values[at], value_of(value, call.end_line));
      }
    }
    keep(kept, call, i, std::move(input), std::move(output));
  }
  return kept;
}

}  // namespace blixard::linearizability

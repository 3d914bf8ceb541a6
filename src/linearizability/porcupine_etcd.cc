// Porcupine's logs of a register in etcd:
//
//   INFO  jepsen.util - 3	:invoke	:cas	[1 2]
//
// The register begins absent, which a read gives as nil. A failed compare-and-set did not match,
// and says so. A read that timed out says nothing. Lines of any other shape are passed over; what
// they would have ended has no end.

#include "linearizability/formats.h"

namespace blixard::linearizability {
namespace {

using Type = Record::Type;

bool is_space(char byte) { return byte == ' ' || byte == '\t'; }

void skip_spaces(std::string_view& text) {
  while (!text.empty() && is_space(text.front()))
    text.remove_prefix(1);
}

std::string_view take_word(std::string_view& text) {
  skip_spaces(text);
  std::size_t size = 0;
  while (size < text.size() && !is_space(text[size]))
    ++size;
  const std::string_view word = text.substr(0, size);
  text.remove_prefix(size);
  return word;
}

std::optional<Form> number(std::string_view text) {
  const auto value = parse_whole(text);
  if (!value) return std::nullopt;
  return Form::of(Form::Kind::kNumber, std::to_string(*value));
}

// "[1 2]"
std::optional<Form> pair_of_numbers(std::string_view text) {
  if (text.size() < 2 || text.front() != '[' || text.back() != ']') return std::nullopt;
  text = text.substr(1, text.size() - 2);
  Form pair = Form::of(Form::Kind::kVector, {});
  for (int i = 0; i < 2; ++i) {
    auto value = number(take_word(text));
    if (!value) return std::nullopt;
    pair.items.push_back(*std::move(value));
  }
  skip_spaces(text);
  if (!text.empty()) return std::nullopt;
  return pair;
}

// Takes the colon off the front; false if there is none.
bool take_colon(std::string_view& word) {
  if (!word.starts_with(':')) return false;
  word.remove_prefix(1);
  return true;
}

// Makes of the value what the event means; false if it is of no shape that means anything.
bool give_value(Record& record, std::string_view value) {
  const bool is_end = record.type != Type::kInvoke;
  if (is_end && value == ":timed-out") {
    record.type = record.function == "read" ? Type::kFail : Type::kInfo;
    return true;
  }
  if (record.type == Type::kInfo) return false;
  std::optional<Form> form;
  if (record.function == "read") {
    if (record.type == Type::kFail) return false;
    form = value == "nil" ? Form::nil() : is_end ? number(value) : std::nullopt;
  } else if (record.function == "write") {
    if (record.type == Type::kFail) return false;
    form = number(value);
  } else if (record.function == "cas") {
    form = pair_of_numbers(value);
    if (form && is_end) {
      form = Form::boolean(record.type == Type::kOk);
      record.type = Type::kOk;
    }
  }
  if (form) record.value = *std::move(form);
  return form.has_value();
}

std::optional<Record> parse_line(std::string_view line) {
  if (take_word(line) != "INFO" || take_word(line) != "jepsen.util" || take_word(line) != "-")
    return std::nullopt;
  const auto process = parse_whole(take_word(line));
  std::string_view type_word = take_word(line);
  std::string_view function = take_word(line);
  if (!process || !take_colon(type_word) || !take_colon(function)) return std::nullopt;
  const auto type = parse_type(type_word);
  if (!type) return std::nullopt;
  Record record;
  record.type = *type;
  record.process = *process;
  record.function = function;
  skip_spaces(line);
  while (!line.empty() && is_space(line.back()))
    line.remove_suffix(1);
  if (!give_value(record, line)) return std::nullopt;
  return record;
}

}  // namespace

Result<RecordedHistory> read_porcupine_etcd(std::string_view text) {
  Pairing pairing(Pairing::Mode::kLenient);
  Lines lines(text);
  bool has_any = false;
  for (;;) {
    BLX_TRY(const auto line, lines.next());
    if (!line) break;
    auto record = parse_line(*line);
    if (!record) continue;
    has_any = true;
    record->line = lines.number();
    BLX_TRY(pairing.add(*std::move(record)));
  }
  if (!has_any && lines.number() != 0) {
    return bad_line(1, "no line of this file is an event in the form porcupine-etcd");
  }
  return RecordedHistory{.calls = pairing.take(),
                         .conventions = {.initial = "nil", .nil_is_absent = true}};
}

}  // namespace blixard::linearizability

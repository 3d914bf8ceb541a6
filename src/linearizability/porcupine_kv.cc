// Porcupine's logs of a store of texts, one EDN map a line:
//
//   {:process 3, :type :invoke, :f :append, :key "0", :value "x"}
//
// Keys begin empty. Types are :invoke and :ok.

#include <fmt/format.h>

#include "linearizability/edn_reader.h"
#include "linearizability/formats.h"

namespace blixard::linearizability {
namespace {

Result<Record> record_of(const Form& map, std::uint64_t line) {
  if (map.kind != Form::Kind::kMap) return bad_line(line, "not a map");
  const auto member = [&](std::string_view name, Form::Kind kind) -> const Form* {
    const Form* form = map.find(name);
    return form != nullptr && form->kind == kind ? form : nullptr;
  };
  const Form* process = member("process", Form::Kind::kNumber);
  const auto number = process != nullptr ? parse_whole(process->text) : std::nullopt;
  if (!number) return bad_line(line, ":process is not a number");
  const Form* type = member("type", Form::Kind::kKeyword);
  const bool is_end = type != nullptr && type->text == "ok";
  if (!is_end && (type == nullptr || type->text != "invoke"))
    return bad_line(line, ":type is neither :invoke nor :ok");
  const Form* function = member("f", Form::Kind::kKeyword);
  if (function == nullptr ||
      (function->text != "get" && function->text != "put" && function->text != "append")) {
    return bad_line(line, ":f is none of :get, :put and :append");
  }
  const Form* key = member("key", Form::Kind::kString);
  if (key == nullptr) return bad_line(line, ":key is not a string");
  const Form* value = map.find("value");
  const bool asks = function->text == "get" && !is_end;
  if (!asks && (value == nullptr || value->kind != Form::Kind::kString))
    return bad_line(line, ":value is not a string");
  Record record;
  record.type = is_end ? Record::Type::kOk : Record::Type::kInvoke;
  record.line = line;
  record.process = *number;
  record.function = function->text;
  record.key = key->text;
  if (!asks) record.value = *value;
  return record;
}

}  // namespace

Result<RecordedHistory> read_porcupine_kv(std::string_view text) {
  Pairing pairing(Pairing::Mode::kStrict);
  Lines lines(text);
  for (;;) {
    BLX_TRY(const auto line, lines.next());
    if (!line) break;
    EdnReader reader(*line, lines.number());
    BLX_TRY(const auto map, reader.next());
    if (!map) continue;
    BLX_TRY(auto record, record_of(*map, lines.number()));
    BLX_TRY(pairing.add(std::move(record)));
    BLX_TRY(const auto more, reader.next());
    if (more) return bad_line(lines.number(), "more than one form in a line");
  }
  return RecordedHistory{.calls = pairing.take(), .conventions = {}};
}

}  // namespace blixard::linearizability

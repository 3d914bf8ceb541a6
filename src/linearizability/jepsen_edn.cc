// Jepsen's histories in EDN: maps, one after the other or in a vector or list.
//
//   {:process 3, :type :invoke, :f :cas, :value [1 2]}
//
// Registers begin with 0. :fail did not happen; :info may happen later; reading nil says nothing.
// What no numbered process does (the nemesis) is passed over.

#include <fmt/format.h>

#include "linearizability/edn_reader.h"
#include "linearizability/formats.h"

namespace blixard::linearizability {
namespace {

// Nothing for an event of no process.
Result<std::optional<Record>> record_of(const Form& map) {
  if (map.kind != Form::Kind::kMap) {
    return bad_line(map.line, fmt::format("not a map: {}", map.printed().substr(0, 80)));
  }
  const Form* process = map.find("process");
  if (process == nullptr) return bad_line(map.line, "no :process");
  const auto number =
      process->kind == Form::Kind::kNumber ? parse_whole(process->text) : std::nullopt;
  if (!number) {
    if (process->kind == Form::Kind::kKeyword) return std::optional<Record>();
    return bad_line(map.line, ":process is not a number");
  }
  const Form* type = map.find("type");
  const auto known =
      type != nullptr && type->kind == Form::Kind::kKeyword ? parse_type(type->text) : std::nullopt;
  if (!known) return bad_line(map.line, ":type is none of :invoke, :ok, :fail and :info");
  const Form* function = map.find("f");
  if (function == nullptr || function->kind != Form::Kind::kKeyword)
    return bad_line(map.line, ":f is not a keyword");
  Record record;
  record.type = *known;
  record.line = map.line;
  record.process = *number;
  record.function = function->text;
  if (const Form* key = map.find("key"); key != nullptr) {
    if (!key->is_scalar()) return bad_line(map.line, ":key is not a plain value");
    record.key = key->kind == Form::Kind::kString ? key->text : key->printed();
  }
  if (const Form* value = map.find("value")) record.value = *value;
  return std::optional(std::move(record));
}

Result<void> add(Pairing& pairing, const Form& map) {
  BLX_TRY(auto record, record_of(map));
  if (!record) return {};
  return pairing.add(*std::move(record));
}

}  // namespace

Result<RecordedHistory> read_jepsen_edn(std::string_view text) {
  Pairing pairing(Pairing::Mode::kStrict);
  EdnReader reader(text);
  for (;;) {
    BLX_TRY(const auto form, reader.next());
    if (!form) break;
    if (form->kind != Form::Kind::kVector) {
      BLX_TRY(add(pairing, *form));
      continue;
    }
    for (const Form& map : form->items)
      BLX_TRY(add(pairing, map));
  }
  return RecordedHistory{.calls = pairing.take(),
                         .conventions = {.initial = "0", .nil_is_absent = false}};
}

}  // namespace blixard::linearizability

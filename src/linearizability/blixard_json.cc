// Our own form: one JSON object a line, as docs/formats/history.md says.

#include <boost/json/parse.hpp>
#include <fmt/format.h>

#include "linearizability/formats.h"
#include "linearizability/limits.h"

namespace blixard::linearizability {
namespace {

namespace json = boost::json;

constexpr std::uint64_t kVersion = 1;

// Depth is bounded by the parser.
Form form_of(const json::value& value) {
  using enum Form::Kind;
  switch (value.kind()) {
    case json::kind::null:
      return Form::nil();
    case json::kind::bool_:
      return Form::boolean(value.get_bool());
    case json::kind::int64:
      return Form::of(kNumber, std::to_string(value.get_int64()));
    case json::kind::uint64:
      return Form::of(kNumber, std::to_string(value.get_uint64()));
    case json::kind::double_:
      return Form::of(kNumber, fmt::format("{}", value.get_double()));
    case json::kind::string:
      return Form::of(kString, std::string(value.get_string()));
    case json::kind::array: {
      Form form = Form::of(kVector, {});
      for (const json::value& item : value.get_array())
        form.items.push_back(form_of(item));
      return form;
    }
    case json::kind::object: {
      Form form = Form::of(kMap, {});
      for (const auto& [name, item] : value.get_object()) {
        form.items.push_back(Form::of(kString, std::string(name)));
        form.items.push_back(form_of(item));
      }
      return form;
    }
  }
  return Form::nil();
}

Result<Form> parse_line(std::string_view line, std::uint64_t number) {
  json::parse_options options;
  options.max_depth = limits::kFormDepth;
  boost::system::error_code error;
  const json::value value =
      json::parse(json::string_view(line.data(), line.size()), error, {}, options);
  if (error) return bad_line(number, fmt::format("not JSON: {}", error.message()));
  if (!value.is_object()) return bad_line(number, "not an object");
  return form_of(value);
}

Result<std::string> text_member(const Form& object, std::string_view name, std::uint64_t line) {
  const Form* member = object.find(name);
  if (member == nullptr || member->is_nil()) return std::string();
  if (member->kind != Form::Kind::kString)
    return bad_line(line, fmt::format("{} is not a string", name));
  return member->text;
}

Result<Record> record_of(const Form& object, std::uint64_t line) {
  Record record;
  record.line = line;
  const Form* process = object.find("process");
  const auto number = process != nullptr && process->kind == Form::Kind::kNumber
                          ? parse_whole(process->text)
                          : std::nullopt;
  if (!number) return bad_line(line, "process is not a whole number");
  record.process = *number;
  BLX_TRY(const std::string type, text_member(object, "type", line));
  const auto known = parse_type(type);
  if (!known) return bad_line(line, "type is none of invoke, ok, fail and info");
  record.type = *known;
  BLX_TRY(record.function, text_member(object, "f", line));
  if (record.function.empty()) return bad_line(line, "f is missing");
  BLX_TRY(record.key, text_member(object, "key", line));
  BLX_TRY(record.error, text_member(object, "error", line));
  if (const Form* value = object.find("value")) record.value = *value;
  record.value.line = line;
  return record;
}

}  // namespace

Result<RecordedHistory> read_blixard_json(std::string_view text) {
  Pairing pairing(Pairing::Mode::kStrict);
  Lines lines(text);
  for (;;) {
    BLX_TRY(const auto line, lines.next());
    if (!line) break;
    if (line->find_first_not_of(" \t") == std::string_view::npos) continue;
    BLX_TRY(Form object, parse_line(*line, lines.number()));
    if (const Form* version = object.find("blixard_history")) {
      if (lines.number() != 1) return bad_line(lines.number(), "the version stands in line 1");
      if (parse_whole(version->text) != kVersion)
        return bad_line(1, "a version of the form that is not known");
      continue;
    }
    BLX_TRY(Record record, record_of(std::move(object), lines.number()));
    BLX_TRY(pairing.add(std::move(record)));
  }
  return RecordedHistory{.calls = pairing.take(),
                         .conventions = {.initial = "nil", .nil_is_absent = true}};
}

}  // namespace blixard::linearizability

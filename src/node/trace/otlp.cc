#include "node/trace/otlp.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <map>

#include <boost/json.hpp>

#include "base/limits.h"
#include "node/trace/otlp_attributes.h"

namespace blixard::trace {
namespace {

namespace json = boost::json;

constexpr std::string_view kScope = "blixard";
constexpr int kStatusError = 2;
constexpr std::size_t kNameBytes = 256;

// Writing.

json::object span_json(const ReadSpan& span) {
  json::object out{{"traceId", span.trace.text()}, {"spanId", span.id.text()}};
  if (span.parent) out["parentSpanId"] = span.parent.text();
  out["name"] = span.name;
  out["kind"] = static_cast<int>(span.kind);
  out["startTimeUnixNano"] = std::to_string(span.start_unix_ns);
  out["endTimeUnixNano"] = std::to_string(span.end_unix_ns);
  out["attributes"] = attributes_json(span.attributes);
  json::object status;
  if (!span.failure.empty()) status = {{"message", span.failure}, {"code", kStatusError}};
  out["status"] = std::move(status);
  return out;
}

// Reading. What is not there is the default, as protobuf's JSON has it; what is there is right.

std::unexpected<Error> invalid(std::string_view what) {
  return fail(Code::kInvalidArgument, "trace_invalid", std::string(what));
}

const json::value* member(const json::object& object, std::string_view name) {
  const json::value* found = object.if_contains(name);
  return found != nullptr && !found->is_null() ? found : nullptr;
}

Result<const json::array*> list_in(const json::object& object, std::string_view name) {
  static const json::array kNone;
  const json::value* found = member(object, name);
  if (found == nullptr) return &kNone;
  if (!found->is_array()) return invalid(std::string(name) + " is no list");
  return &found->get_array();
}

// Between characters of UTF-8.
std::string cut(std::string_view text) {
  std::size_t bytes = std::min(text.size(), kNameBytes);
  while (bytes != 0 && bytes < text.size() &&
         (static_cast<unsigned char>(text[bytes]) & 0xc0) == 0x80)
    --bytes;
  return std::string(text.substr(0, bytes));
}

Result<std::string> text_in(const json::object& object, std::string_view name) {
  const json::value* found = member(object, name);
  if (found == nullptr) return std::string();
  if (!found->is_string()) return invalid(std::string(name) + " is no text");
  return cut(found->get_string());
}

// As a decimal string or, as some write it, as a number.
Result<std::int64_t> number_of(const json::value& value, std::string_view name) {
  if (value.is_int64()) return value.get_int64();
  std::int64_t number = 0;
  if (value.is_string()) {
    const std::string_view digits = value.get_string();
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    if (!digits.empty() && error == std::errc() && end == digits.data() + digits.size()) {
      return number;
    }
  }
  return invalid(std::string(name) + " is no number");
}

Result<std::int64_t> time_in(const json::object& object, std::string_view name) {
  const json::value* found = member(object, name);
  if (found == nullptr) return invalid(std::string(name) + " is missing");
  BLX_TRY(const std::int64_t ns, number_of(*found, name));
  if (ns < 0) return invalid(std::string(name) + " is negative");
  return ns;
}

// Of values of other kinds there is nothing to show but that they are there.
Result<Value> read_value(const json::value* value) {
  if (value == nullptr) return Value("");
  if (!value->is_object()) return invalid("an attribute's value is no object");
  const json::object& object = value->get_object();
  if (const json::value* number = member(object, "intValue")) {
    BLX_TRY(const std::int64_t read, number_of(*number, "intValue"));
    return Value(read);
  }
  if (member(object, "stringValue") != nullptr) {
    BLX_TRY(std::string text, text_in(object, "stringValue"));
    return Value(std::move(text));
  }
  if (object.empty()) return Value("");
  return Value(cut(json::serialize(object.begin()->value())));
}

Result<Attributes> read_attributes(const json::object& of) {
  BLX_TRY(const json::array* list, list_in(of, "attributes"));
  Attributes attributes;
  for (const json::value& item : *list) {
    if (!item.is_object()) return invalid("an attribute is no object");
    BLX_TRY(std::string key, text_in(item.get_object(), "key"));
    BLX_TRY(Value value, read_value(member(item.get_object(), "value")));
    attributes.emplace_back(std::move(key), std::move(value));
  }
  return attributes;
}

Result<SpanKind> read_kind(const json::object& span) {
  const json::value* found = member(span, "kind");
  if (found == nullptr) return SpanKind::kInternal;
  BLX_TRY(const std::int64_t number, number_of(*found, "kind"));
  if (number == static_cast<int>(SpanKind::kServer)) return SpanKind::kServer;
  if (number == static_cast<int>(SpanKind::kClient)) return SpanKind::kClient;
  return SpanKind::kInternal;
}

Result<std::string> read_failure(const json::object& span) {
  const json::value* found = member(span, "status");
  if (found == nullptr) return std::string();
  if (!found->is_object()) return invalid("status is no object");
  const json::object& status = found->get_object();
  const json::value* code = member(status, "code");
  if (code == nullptr) return std::string();
  BLX_TRY(const std::int64_t number, number_of(*code, "code"));
  if (number != kStatusError) return std::string();
  BLX_TRY(std::string message, text_in(status, "message"));
  return message.empty() ? std::string("error") : message;
}

Result<ReadSpan> read_span(const json::value& value) {
  if (!value.is_object()) return invalid("a span is no object");
  const json::object& object = value.get_object();
  ReadSpan span;
  BLX_TRY(const std::string trace, text_in(object, "traceId"));
  BLX_TRY(const std::string id, text_in(object, "spanId"));
  BLX_TRY(const std::string parent, text_in(object, "parentSpanId"));
  const auto trace_id = observe::TraceId::parse(trace);
  const auto span_id = observe::SpanId::parse(id);
  const auto parent_id = observe::SpanId::parse(parent);
  if (!trace_id) return invalid("traceId is not 32 hex digits");
  if (!span_id) return invalid("spanId is not 16 hex digits");
  if (!parent.empty() && !parent_id) return invalid("parentSpanId is not 16 hex digits");
  span.trace = *trace_id;
  span.id = *span_id;
  span.parent = parent_id.value_or(observe::SpanId());
  BLX_TRY(span.name, text_in(object, "name"));
  BLX_TRY(span.kind, read_kind(object));
  BLX_TRY(span.start_unix_ns, time_in(object, "startTimeUnixNano"));
  BLX_TRY(span.end_unix_ns, time_in(object, "endTimeUnixNano"));
  if (span.end_unix_ns < span.start_unix_ns) return invalid("a span ends before it begins");
  BLX_TRY(span.failure, read_failure(object));
  BLX_TRY(span.attributes, read_attributes(object));
  return span;
}

Result<Resource> read_resource(const json::object& of) {
  Resource resource{.service = {}, .version = {}, .instance = {}, .host = {}, .node = {}};
  const json::value* found = member(of, "resource");
  if (found == nullptr) return resource;
  if (!found->is_object()) return invalid("resource is no object");
  BLX_TRY(const Attributes attributes, read_attributes(found->get_object()));
  for (const auto& [key, value] : attributes) {
    const auto* text = std::get_if<std::string>(&value);
    if (text == nullptr) continue;
    if (key == "service.name") resource.service = *text;
    if (key == "service.version") resource.version = *text;
    if (key == "service.instance.id") resource.instance = *text;
    if (key == "host.name") resource.host = *text;
    if (key == "blixard.node.name") resource.node = *text;
  }
  return resource;
}

Result<ResourceSpans> read_resource_spans(const json::value& value) {
  if (!value.is_object()) return invalid("an item of resourceSpans is no object");
  ResourceSpans read;
  BLX_TRY(read.resource, read_resource(value.get_object()));
  BLX_TRY(const json::array* scopes, list_in(value.get_object(), "scopeSpans"));
  for (const json::value& scope : *scopes) {
    if (!scope.is_object()) return invalid("an item of scopeSpans is no object");
    BLX_TRY(const json::array* spans, list_in(scope.get_object(), "spans"));
    for (const json::value& item : *spans) {
      BLX_TRY(ReadSpan span, read_span(item));
      read.spans.push_back(std::move(span));
    }
  }
  return read;
}

}  // namespace

json::array attributes_json(const Attributes& attributes) {
  json::array list;
  list.reserve(attributes.size());
  for (const auto& [key, value] : attributes) {
    json::object content;
    if (const auto* number = std::get_if<std::int64_t>(&value)) {
      content["intValue"] = std::to_string(*number);
    } else {
      content["stringValue"] = std::get<std::string>(value);
    }
    list.push_back(json::object{{"key", key}, {"value", std::move(content)}});
  }
  return list;
}

ReadSpan read_span(const observe::Span& span) {
  ReadSpan read{.trace = span.trace,
                .id = span.id,
                .parent = span.parent,
                .name = span.name,
                .kind = span.kind,
                .start_unix_ns = span.start_unix_ns,
                .end_unix_ns = span.start_unix_ns + span.duration.count(),
                .failure = span.failure != nullptr ? span.failure : "",
                .attributes = {}};
  for (const observe::Span::Attribute& attribute : span.all()) {
    read.attributes.emplace_back(attribute.key, attribute.is_text
                                                    ? Value(std::string(span.text_of(attribute)))
                                                    : Value(attribute.number));
  }
  return read;
}

Attributes attributes_of(const Resource& resource) {
  Attributes attributes;
  const auto add = [&](const char* key, const std::string& text) {
    if (!text.empty()) attributes.emplace_back(key, text);
  };
  add("service.name", resource.service);
  add("service.version", resource.version);
  add("service.instance.id", resource.instance);
  add("host.name", resource.host);
  add("blixard.node.name", resource.node);
  return attributes;
}

std::string otlp_json(const Traces& traces) {
  json::array resources;
  for (const ResourceSpans& of : traces.resources) {
    json::array spans;
    spans.reserve(of.spans.size());
    for (const ReadSpan& span : of.spans)
      spans.push_back(span_json(span));
    resources.push_back(json::object{
        {"resource", json::object{{"attributes", attributes_json(attributes_of(of.resource))}}},
        {"scopeSpans", json::array{json::object{{"scope", json::object{{"name", kScope}}},
                                                {"spans", std::move(spans)}}}}});
  }
  json::object document{{"resourceSpans", std::move(resources)}};
  if (!traces.missing.empty()) {
    document["missingNodes"] = json::array(traces.missing.begin(), traces.missing.end());
  }
  return json::serialize(document);
}

Result<Traces> read_otlp_json(std::string_view text) {
  if (text.size() > limits::kTraceJsonBytes) return invalid("it is too large");
  boost::system::error_code error;
  json::parse_options options;
  options.max_depth = limits::kTraceJsonDepth;
  const json::value document = json::parse(text, error, {}, options);
  if (error || !document.is_object()) return invalid("it is not a JSON object");
  const json::object& object = document.get_object();
  Traces traces;
  BLX_TRY(const json::array* resources, list_in(object, "resourceSpans"));
  for (const json::value& item : *resources) {
    BLX_TRY(ResourceSpans read, read_resource_spans(item));
    traces.resources.push_back(std::move(read));
  }
  BLX_TRY(const json::array* missing, list_in(object, "missingNodes"));
  for (const json::value& name : *missing) {
    if (!name.is_string()) return invalid("missingNodes has something that is no text");
    traces.missing.push_back(cut(name.get_string()));
  }
  return traces;
}

std::vector<ReadSpan> spans_of(const Tracer& tracer, const observe::TraceId& trace) {
  std::vector<ReadSpan> spans;
  for (std::uint64_t number = tracer.recorded(); number > tracer.oldest(); --number) {
    const observe::Span& span = tracer.at(number - 1);
    if (span.trace != trace) continue;
    if (spans.size() == limits::kTraceAnswerSpans) break;
    spans.push_back(read_span(span));
  }
  std::ranges::sort(spans, {},
                    [](const ReadSpan& span) { return std::pair(span.start_unix_ns, span.id); });
  return spans;
}

std::vector<Summary> newest_traces(const Tracer& tracer) {
  std::vector<Summary> traces;
  std::map<observe::TraceId, std::size_t> places;
  for (std::uint64_t number = tracer.recorded(); number > tracer.oldest(); --number) {
    const observe::Span& span = tracer.at(number - 1);
    const auto [place, is_new] = places.try_emplace(span.trace, traces.size());
    if (is_new) {
      traces.push_back({.trace = span.trace,
                        .name = {},
                        .start_unix_ns = std::numeric_limits<std::int64_t>::max(),
                        .end_unix_ns = 0,
                        .spans = 0,
                        .failure = {}});
    }
    Summary& summary = traces[place->second];
    if (span.start_unix_ns <= summary.start_unix_ns) {
      summary.start_unix_ns = span.start_unix_ns;
      summary.name = span.name;
      summary.failure = span.failure != nullptr ? span.failure : "";
    }
    summary.end_unix_ns = std::max(summary.end_unix_ns, span.start_unix_ns + span.duration.count());
    ++summary.spans;
  }
  // By when they began, so that long ones do not come first for their end alone.
  std::ranges::sort(traces, std::ranges::greater(), [](const Summary& summary) {
    return std::pair(summary.start_unix_ns, summary.trace);
  });
  if (traces.size() > limits::kTracesListed) traces.resize(limits::kTracesListed);
  return traces;
}

}  // namespace blixard::trace

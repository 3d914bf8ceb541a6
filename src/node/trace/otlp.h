#pragma once

// Spans as OTLP/JSON: the JSON form of opentelemetry.proto.collector.trace.v1's request, which
// collectors take by HTTP, in which nodes tell each other their spans, and which the command line
// draws.
//
// The form is the specification's (https://opentelemetry.io/docs/specs/otlp/, "JSON Protobuf
// Encoding"): lowerCamelCase names, ids in hex, 64 bit numbers as decimal strings, enumerations as
// numbers. Reading takes what nodes and collectors write: unknown members are ignored, as the
// specification demands; what we know is checked and bounded.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.h"
#include "node/trace/tracer.h"
#include "observe/trace.h"

namespace blixard::trace {

using Value = std::variant<std::int64_t, std::string>;
using Attributes = std::vector<std::pair<std::string, Value>>;

// A span from anywhere.
struct ReadSpan {
  observe::TraceId trace;
  observe::SpanId id;
  observe::SpanId parent;  // none: the root of its trace
  std::string name;
  SpanKind kind = SpanKind::kInternal;
  std::int64_t start_unix_ns = 0;
  std::int64_t end_unix_ns = 0;
  std::string failure;  // "": none
  Attributes attributes;
  friend bool operator==(const ReadSpan&, const ReadSpan&) = default;
};
[[nodiscard]] ReadSpan read_span(const observe::Span& span);

// Whose spans these are.
struct Resource {
  std::string service = "blixard";
  std::string version;
  std::string instance;  // unique among all instances of the service
  std::string host;
  std::string node;  // its name in the cluster
  friend bool operator==(const Resource&, const Resource&) = default;
};
[[nodiscard]] Attributes attributes_of(const Resource& resource);

struct ResourceSpans {
  Resource resource;
  std::vector<ReadSpan> spans;
  friend bool operator==(const ResourceSpans&, const ResourceSpans&) = default;
};

struct Traces {
  std::vector<ResourceSpans> resources;
  // Nodes that could not be asked; a member `missingNodes` that only we know.
  std::vector<std::string> missing;
  friend bool operator==(const Traces&, const Traces&) = default;
};

[[nodiscard]] std::string otlp_json(const Traces& traces);
// Errors: kInvalidArgument "trace_invalid" with what is wrong.
[[nodiscard]] Result<Traces> read_otlp_json(std::string_view text);

// The newest limits::kTraceAnswerSpans spans of a trace.
[[nodiscard]] std::vector<ReadSpan> spans_of(const Tracer& tracer, const observe::TraceId& trace);

// A trace as this node knows it.
struct Summary {
  observe::TraceId trace;
  std::string name;  // of its root, or of the first span that is known
  std::int64_t start_unix_ns = 0;
  std::int64_t end_unix_ns = 0;
  std::size_t spans = 0;
  std::string failure;  // of the root
};
// The newest first, at most limits::kTracesListed.
[[nodiscard]] std::vector<Summary> newest_traces(const Tracer& tracer);

}  // namespace blixard::trace

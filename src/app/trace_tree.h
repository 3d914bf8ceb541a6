#pragma once

// A trace as people look at it: spans under their parents, each with its node and its place in
// time, as lines of text with bars.
//
// Spans come from several nodes, whose clocks differ, and some may be missing (a node that was not
// reached, spans that made room for newer ones). One whose parent is not there stands at the top,
// marked; nothing is dropped for it.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "node/trace/otlp.h"

namespace blixard::app {

struct TraceRow {
  const trace::ReadSpan* span = nullptr;
  std::size_t node = 0;    // in TraceTree::nodes
  std::size_t depth = 0;   // of its parents
  bool is_orphan = false;  // its parent is not there, and is no client of ours
};

struct TraceTree {
  observe::TraceId trace;
  std::vector<std::string> nodes;  // by name; as they first appear
  std::vector<TraceRow> rows;      // parents before children, siblings as they began
  std::int64_t start_unix_ns = 0;
  std::int64_t end_unix_ns = 0;
  std::size_t failed = 0;
  std::vector<std::string> missing;  // nodes that were not reached
};

// Keeps pointers into `traces`. Errors: kNotFound "trace_not_found" when it has no span.
[[nodiscard]] Result<TraceTree> trace_tree(const trace::Traces& traces);

// "1.20 s", "35 ms", "0.412 ms".
[[nodiscard]] std::string duration_text(std::int64_t ns);
// "vm=web, node=n2"
[[nodiscard]] std::string attributes_text(const trace::ReadSpan& span);

// At most `width` columns where that is enough for names and times.
[[nodiscard]] std::string trace_text(const TraceTree& tree, std::size_t width);

// One HTML page without any outside reference, readable from 500 to 1400 pixels, light and dark.
[[nodiscard]] std::string trace_page(const TraceTree& tree);

}  // namespace blixard::app

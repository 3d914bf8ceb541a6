#include "app/trace_tree.h"

#include <algorithm>
#include <limits>
#include <map>
#include <set>

#include <fmt/format.h>

#include "app/output.h"

namespace blixard::app {
namespace {

using trace::ReadSpan;

constexpr std::size_t kNameColumns = 44;
constexpr std::size_t kBarColumns = 12;  // at least

struct Placed {
  const ReadSpan* span = nullptr;
  std::size_t node = 0;
};

std::string node_name(const trace::Resource& resource) {
  if (!resource.node.empty()) return resource.node;
  if (!resource.host.empty()) return resource.host;
  if (!resource.instance.empty()) return resource.instance;
  return resource.service.empty() ? "?" : resource.service;
}

// One line, whatever a foreign collector wrote.
std::string plain(std::string_view text) {
  std::string out = printable(text);
  std::ranges::replace_if(out, [](char c) { return c == '\n' || c == '\t'; }, ' ');
  return out;
}

class TreeMaker {
 public:
  explicit TreeMaker(const trace::Traces& traces) {
    tree_.missing = traces.missing;
    for (const trace::ResourceSpans& of : traces.resources) {
      for (const ReadSpan& span : of.spans)
        take(span, node_name(of.resource));
    }
  }

  Result<TraceTree> make() {
    if (spans_.empty()) {
      return fail(Code::kNotFound, "trace_not_found", "no span of that trace is known");
    }
    tree_.trace = spans_.begin()->second.span->trace;
    tree_.start_unix_ns = std::numeric_limits<std::int64_t>::max();
    for (const auto& [id, placed] : spans_) {
      tree_.start_unix_ns = std::min(tree_.start_unix_ns, placed.span->start_unix_ns);
      tree_.end_unix_ns = std::max(tree_.end_unix_ns, placed.span->end_unix_ns);
      if (!placed.span->failure.empty()) ++tree_.failed;
      const bool has_parent = spans_.contains(placed.span->parent);
      children_[has_parent ? placed.span->parent : observe::SpanId()].push_back(placed);
    }
    add_children();
    return std::move(tree_);
  }

 private:
  // Twice the same span: a node was read twice.
  void take(const ReadSpan& span, const std::string& node) {
    const auto known = std::ranges::find(tree_.nodes, node);
    const auto index = static_cast<std::size_t>(known - tree_.nodes.begin());
    if (known == tree_.nodes.end()) tree_.nodes.push_back(node);
    spans_.try_emplace(span.id, Placed{&span, index});
  }

  // Without recursion: how deep it goes is for whoever wrote the spans to decide. A circle of
  // parents has no beginning and is shown as it is met.
  void add_children() {
    for (auto& [parent, list] : children_) {
      std::ranges::sort(list, std::ranges::greater(), [](const Placed& placed) {
        return std::pair(placed.span->start_unix_ns, placed.span->id);
      });
    }
    std::set<observe::SpanId> shown;
    add_from(observe::SpanId(), shown);
    for (const auto& [id, placed] : spans_) {
      if (shown.contains(id)) continue;
      children_[observe::SpanId()].push_back(placed);
      add_from(observe::SpanId(), shown);
    }
  }

  void add_from(observe::SpanId top, std::set<observe::SpanId>& shown) {
    struct Next {
      Placed placed;
      std::size_t depth;
    };
    std::vector<Next> open;
    const auto put = [&](observe::SpanId parent, std::size_t depth) {
      const auto found = children_.find(parent);
      if (found == children_.end()) return;
      for (const Placed& placed : std::exchange(found->second, {}))
        open.push_back({placed, depth});
    };
    put(top, 0);
    while (!open.empty()) {
      const auto [placed, depth] = open.back();
      open.pop_back();
      if (!shown.insert(placed.span->id).second) continue;
      tree_.rows.push_back({.span = placed.span,
                            .node = placed.node,
                            .depth = depth,
                            .is_orphan = depth == 0 && placed.span->parent &&
                                         placed.span->kind != trace::SpanKind::kServer});
      put(placed.span->id, depth + 1);
    }
  }

  TraceTree tree_;
  std::map<observe::SpanId, Placed> spans_;
  std::map<observe::SpanId, std::vector<Placed>> children_;  // of each, latest first
};

// From `begin` to `end` of `columns`, at least a sliver.
std::string bar(double begin, double end, std::size_t columns) {
  const auto cells = static_cast<double>(columns);
  auto from = static_cast<std::size_t>(begin * cells);
  from = std::min(from, columns - 1);
  const auto until = std::clamp(static_cast<std::size_t>(end * cells + 0.5), from, columns);
  std::string out(from, ' ');
  if (until == from) return out + "▏";
  for (std::size_t i = from; i < until; ++i)
    out += "█";
  return out;
}

}  // namespace

Result<TraceTree> trace_tree(const trace::Traces& traces) { return TreeMaker(traces).make(); }

std::string duration_text(std::int64_t ns) {
  const auto ms = static_cast<double>(ns) / 1e6;
  if (ms >= 1000) return fmt::format("{:.2f} s", ms / 1000);
  if (ms >= 10) return fmt::format("{:.0f} ms", ms);
  if (ms >= 1) return fmt::format("{:.1f} ms", ms);
  return fmt::format("{:.3f} ms", ms);
}

std::string attributes_text(const ReadSpan& span) {
  std::string out;
  for (const auto& [key, value] : span.attributes) {
    constexpr std::string_view kOurs = "blixard.";
    std::string_view name = key;
    if (name.starts_with(kOurs)) name.remove_prefix(kOurs.size());
    const auto* number = std::get_if<std::int64_t>(&value);
    if (!out.empty()) out += ", ";
    out += fmt::format(
        "{}={}", plain(name),
        number != nullptr ? std::to_string(*number) : plain(std::get<std::string>(value)));
  }
  return out;
}

std::string trace_text(const TraceTree& tree, std::size_t width) {
  std::size_t node_columns = 4;
  for (const std::string& node : tree.nodes)
    node_columns = std::max(node_columns, std::min<std::size_t>(node.size(), 16));
  constexpr std::size_t kTimes = 22;
  const std::size_t used = node_columns + kNameColumns + kTimes + 4;
  const std::size_t columns = std::max(kBarColumns, width > used ? width - used : 0);
  const auto whole =
      static_cast<double>(std::max<std::int64_t>(tree.end_unix_ns - tree.start_unix_ns, 1));
  std::string text = fmt::format("trace {}: {}, {} spans on {}{}\n", tree.trace.text(),
                                 duration_text(tree.end_unix_ns - tree.start_unix_ns),
                                 tree.rows.size(), fmt::join(tree.nodes, ", "),
                                 tree.failed == 0 ? "" : fmt::format(", {} failed", tree.failed));
  text += fmt::format("{:<{}}  {:<{}}  {:>9}  {:>9}\n", "NODE", node_columns, "SPAN", kNameColumns,
                      "BEGINS", "TAKES");
  for (const TraceRow& row : tree.rows) {
    const ReadSpan& span = *row.span;
    std::string name(std::min<std::size_t>(2 * row.depth, kNameColumns / 2), ' ');
    if (row.is_orphan) name += "... ";
    name += plain(span.name);
    if (!span.failure.empty()) name += " (" + plain(span.failure) + ")";
    const std::int64_t begins = span.start_unix_ns - tree.start_unix_ns;
    const std::int64_t ends = span.end_unix_ns - tree.start_unix_ns;
    text += fmt::format(
        "{:<{}}  {:<{}}  {:>9}  {:>9}  {}\n", plain(tree.nodes[row.node]).substr(0, node_columns),
        node_columns, name.substr(0, kNameColumns), kNameColumns, duration_text(begins),
        duration_text(ends - begins),
        bar(static_cast<double>(begins) / whole, static_cast<double>(ends) / whole, columns));
  }
  for (const std::string& node : tree.missing)
    text += fmt::format("{} could not be asked: its spans are missing\n", plain(node));
  return text;
}

}  // namespace blixard::app

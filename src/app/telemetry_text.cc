#include "app/telemetry_text.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <string_view>
#include <vector>

#include <boost/json.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "app/alert_rules.h"
#include "node/declared_metrics.h"
#include "observe/metrics.h"
#include "observe/text.h"

namespace blixard::app {
namespace {

namespace json = boost::json;
using observe::FamilyView;
using observe::Kind;
using observe::Unit;

// A copy of what is declared: the registry itself ends before the text is made.
struct Declared {
  std::string name;
  std::string help;
  Kind kind = Kind::kCounter;
  Unit unit = Unit::kCount;
  observe::HistogramShape shape;
  std::vector<std::string> labels;
};

std::vector<Declared> all_declared() {
  observe::Metrics metrics;
  node::declare_metrics(metrics);
  std::vector<Declared> all;
  metrics.describe([&](const FamilyView& family) {
    all.push_back({.name = std::string(family.name),
                   .help = std::string(family.help),
                   .kind = family.kind,
                   .unit = family.unit,
                   .shape = family.shape,
                   .labels = {family.labels.begin(), family.labels.end()}});
  });
  return all;
}

std::string joined(const std::vector<std::string>& words, std::string_view between) {
  return fmt::format("{}", fmt::join(words, between));
}

// The part of the node that a metric is of: the word behind "blixard_".
std::string part_of(const Declared& metric) {
  std::string_view name = metric.name;
  if (!name.starts_with("blixard_")) return "process";
  name.remove_prefix(8);
  std::string part(name.substr(0, name.find('_')));
  static const std::map<std::string, std::string, std::less<>> kTogether{
      {"vms", "vm"},      {"build", "node"},         {"event", "http"},
      {"heap", "memory"}, {"allocations", "memory"}, {"allocated", "memory"},
      {"frees", "memory"}};
  if (const auto found = kTogether.find(part); found != kTogether.end()) return found->second;
  return part;
}

std::map<std::string, std::vector<Declared>> by_part() {
  std::map<std::string, std::vector<Declared>> parts;
  for (Declared& metric : all_declared())
    parts[part_of(metric)].push_back(std::move(metric));
  return parts;
}

std::string bounds_text(const Declared& metric) {
  const auto bound = [&](std::uint32_t bucket) {
    const auto value = static_cast<double>(metric.shape.bound(bucket));
    return metric.unit == Unit::kSeconds ? fmt::format("{:.3g} s", value / 1e9)
                                         : fmt::format("{:.0f}", value);
  };
  return fmt::format("{} buckets, {} to {}", metric.shape.buckets(), bound(0),
                     bound(metric.shape.buckets() - 1));
}

// Dashboard.

constexpr int kPanelWidth = 8;
constexpr int kPanelHeight = 7;
constexpr int kColumns = 3;

struct Query {
  std::string expression;
  std::string legend;
};

std::string legend_of(const std::vector<std::string>& labels) {
  std::vector<std::string> words;
  for (const std::string& label : labels)
    words.push_back(fmt::format("{{{{{}}}}}", label));
  return words.empty() ? "{{instance}}" : joined(words, " ");
}

std::vector<Query> queries_of(const Declared& metric) {
  const std::string labels = joined(metric.labels, ", ");
  const std::string by = labels.empty() ? "" : fmt::format(" by ({})", labels);
  const std::string legend = legend_of(metric.labels);
  if (metric.kind == Kind::kCounter) {
    const std::string rate =
        fmt::format("rate({}{{instance=~\"$instance\"}}[$__rate_interval])", metric.name);
    return {{fmt::format("sum{}({})", by, rate), labels.empty() ? "all" : legend}};
  }
  if (metric.kind == Kind::kGauge) {
    return {{fmt::format("{}{{instance=~\"$instance\"}}", metric.name),
             labels.empty() ? legend : "{{instance}} " + legend}};
  }
  std::vector<Query> queries;
  for (const std::string_view quantile : {"0.5", "0.95", "0.99"}) {
    queries.push_back(
        {fmt::format("histogram_quantile({}, sum by (le{}{}) "
                     "(rate({}_bucket{{instance=~\"$instance\"}}[$__rate_interval])))",
                     quantile, labels.empty() ? "" : ", ", labels, metric.name),
         fmt::format("p{} {}", quantile.substr(2), labels.empty() ? "" : legend)});
  }
  return queries;
}

std::string_view grafana_unit(const Declared& metric) {
  const bool is_rate = metric.kind == Kind::kCounter;
  if (metric.unit == Unit::kBytes) return is_rate ? "Bps" : "bytes";
  if (metric.unit == Unit::kSeconds) return is_rate ? "percentunit" : "s";
  return is_rate ? "cps" : "short";
}

json::object panel_of(const Declared& metric, int id, int x, int y) {
  json::array targets;
  char reference = 'A';
  for (const Query& query : queries_of(metric)) {
    targets.push_back({{"refId", std::string(1, reference++)},
                       {"expr", query.expression},
                       {"legendFormat", query.legend}});
  }
  return {{"id", id},
          {"type", "timeseries"},
          {"title", metric.name},
          {"description", metric.help},
          {"datasource", {{"type", "prometheus"}, {"uid", "${datasource}"}}},
          {"gridPos", {{"h", kPanelHeight}, {"w", kPanelWidth}, {"x", x}, {"y", y}}},
          {"fieldConfig",
           {{"defaults", {{"unit", std::string(grafana_unit(metric))}, {"min", 0}}},
            {"overrides", json::array()}}},
          {"targets", std::move(targets)}};
}

json::array panels() {
  json::array all;
  int id = 0;
  int y = 0;
  for (const auto& [part, metrics] : by_part()) {
    all.push_back({{"id", ++id},
                   {"type", "row"},
                   {"title", part},
                   {"collapsed", false},
                   {"gridPos", {{"h", 1}, {"w", kPanelWidth * kColumns}, {"x", 0}, {"y", y}}},
                   {"panels", json::array()}});
    ++y;
    int column = 0;
    for (const Declared& metric : metrics) {
      all.push_back(panel_of(metric, ++id, column * kPanelWidth, y));
      if (++column < kColumns) continue;
      column = 0;
      y += kPanelHeight;
    }
    if (column != 0) y += kPanelHeight;
  }
  return all;
}

void indent(std::string& out, int depth) {
  out += '\n';
  out.append(static_cast<std::size_t>(2 * depth), ' ');
}

// One member or element a line, small ones in one.
void pretty(std::string& out, const json::value& value, int depth) {
  constexpr std::size_t kShort = 80;
  const std::string line = json::serialize(value);
  const bool is_leaf = !value.is_object() && !value.is_array();
  if (is_leaf || line.size() <= kShort) {
    out += line;
    return;
  }
  const bool is_object = value.is_object();
  out += is_object ? '{' : '[';
  bool is_first = true;
  const auto next = [&] {
    if (!is_first) out += ',';
    is_first = false;
    indent(out, depth + 1);
  };
  if (is_object) {
    for (const auto& member : value.get_object()) {
      next();
      out += json::serialize(json::value(member.key())) + ": ";
      pretty(out, member.value(), depth + 1);
    }
  } else {
    for (const json::value& element : value.get_array()) {
      next();
      pretty(out, element, depth + 1);
    }
  }
  indent(out, depth);
  out += is_object ? '}' : ']';
}

}  // namespace

std::string metrics_markdown() {
  std::string text =
      "# Metrics\n\n"
      "What a node tells at `/metrics`, as Prometheus text or, if asked for with `Accept`, as\n"
      "OpenMetrics. Made by `blixard telemetry metrics`; a dashboard and alerts for them are in\n"
      "`packaging/observability`.\n";
  for (const auto& [part, metrics] : by_part()) {
    text += fmt::format("\n## {}\n\n| metric | kind | labels | what |\n|---|---|---|---|\n", part);
    for (const Declared& metric : metrics) {
      const std::string more =
          metric.kind == Kind::kHistogram ? fmt::format(" ({})", bounds_text(metric)) : "";
      text +=
          fmt::format("| `{}` | {} | {} | {}{} |\n", metric.name, observe::kind_name(metric.kind),
                      joined(metric.labels, ", "), metric.help, more);
    }
  }
  return text;
}

std::string dashboard_json() {
  const json::object choice_of_source{
      {"name", "datasource"}, {"type", "datasource"}, {"query", "prometheus"}};
  const json::object choice_of_node{
      {"name", "instance"},
      {"type", "query"},
      {"datasource", {{"type", "prometheus"}, {"uid", "${datasource}"}}},
      {"query", "label_values(blixard_build_info, instance)"},
      {"refresh", 2},
      {"includeAll", true},
      {"multi", true},
      {"current", {{"text", "All"}, {"value", "$__all"}}}};
  const json::object dashboard{{"title", "Blixard"},
                               {"uid", "blixard"},
                               {"schemaVersion", 38},
                               {"editable", true},
                               {"time", {{"from", "now-1h"}, {"to", "now"}}},
                               {"refresh", "30s"},
                               {"templating", {{"list", {choice_of_source, choice_of_node}}}},
                               {"panels", panels()}};
  std::string out;
  pretty(out, dashboard, 0);
  return out + "\n";
}

// Quoted as YAML wants it: everything between single quotes, those doubled.
std::string alerts_yaml() {
  const auto quoted = [](std::string_view text) {
    std::string out = "'";
    for (const char c : text) {
      if (c == '\'') out += c;
      out += c;
    }
    return out + "'";
  };
  std::string out =
      "# Made by `blixard telemetry alerts`. The job that scrapes the nodes is named blixard.\n"
      "groups:\n- name: blixard\n  rules:\n";
  for (const AlertRule& rule : alert_rules()) {
    out += fmt::format("  - alert: {}\n    expr: {}\n    for: {}\n", rule.name,
                       quoted(rule.expression), rule.lasting);
    out += fmt::format("    labels:\n      severity: {}\n", rule.severity);
    out += fmt::format("    annotations:\n      summary: {}\n", quoted(rule.summary));
    if (rule.description.empty()) continue;
    out += fmt::format("      description: {}\n", quoted(rule.description));
  }
  return out;
}

std::string unknown_names_in_alerts() {
  std::set<std::string, std::less<>> known;
  for (const Declared& metric : all_declared()) {
    known.insert(metric.name);
    if (metric.kind != Kind::kHistogram) continue;
    for (const char* end : {"_bucket", "_sum", "_count"})
      known.insert(metric.name + end);
  }
  std::string unknown;
  for (const AlertRule& rule : alert_rules()) {
    const std::string_view expression = rule.expression;
    for (std::size_t at = expression.find("blixard_"); at != std::string_view::npos;
         at = expression.find("blixard_", at + 1)) {
      const std::size_t end =
          expression.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_", at);
      const std::string_view name = expression.substr(at, end - at);
      if (!known.contains(name)) unknown += fmt::format("{}: {}\n", rule.name, name);
    }
  }
  return unknown;
}

}  // namespace blixard::app

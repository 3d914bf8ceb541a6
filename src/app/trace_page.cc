// A trace as an HTML page: names on the left, bars on a common axis on the right.
//
// Positions are percentages of inner pictures, so that the page follows the window's width and its
// letters keep their size.

#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>

#include "app/trace_tree.h"
#include "base/markup.h"

namespace blixard::app {
namespace {

using trace::ReadSpan;

constexpr std::size_t kRowsMost = 5000;
constexpr std::size_t kColours = 8;
constexpr int kRowHeight = 22;
constexpr int kAxisHeight = 26;
constexpr int kIndent = 9;
constexpr std::size_t kDepthMost = 8;  // that is indented
constexpr double kNamesPercent = 34;
constexpr std::size_t kNameBytes = 120;
constexpr std::size_t kLabelBytes = 32;
constexpr std::size_t kTitleBytes = 900;

constexpr std::string_view kStyle = R"(
:root{color-scheme:light dark;--bg:#fff;--ink:#1c2733;--soft:#5b6875;--line:#dde2e7;--lane:#f5f7f9;
--bad:#c62828;--n0:#3b7dd8;--n1:#e08a2c;--n2:#3f9d57;--n3:#b8559c;--n4:#7d62c9;--n5:#b39a16;
--n6:#2a9d95;--n7:#9a6b4b}
@media(prefers-color-scheme:dark){:root{--bg:#12181f;--ink:#e3e9ef;--soft:#93a1af;--line:#2c3742;
--lane:#18202a;--bad:#ff6b64;--n0:#5b9bf0;--n1:#e59a47;--n2:#58b571;--n3:#d077b6;--n4:#9b84e0;
--n5:#cdb433;--n6:#45bdb4;--n7:#bd8d6b}}
body{font:14px/1.45 system-ui,sans-serif;margin:1.2em auto;max-width:1400px;padding:0 1em;
color:var(--ink);background:var(--bg)}
h1{font-size:1.35em;margin:0 0 .3em;overflow-wrap:anywhere}.soft{color:var(--soft)}
p{margin:.35em 0;overflow-wrap:anywhere}.bad{color:var(--bad)}
code{font:12.5px ui-monospace,monospace}
.key{display:flex;flex-wrap:wrap;gap:.2em 1.2em;margin:.6em 0;font-size:13px}
.key i{display:inline-block;width:1.3em;height:.8em;border-radius:3px;margin-right:.45em;
vertical-align:-1px}
svg.time{display:block;width:100%;border:1px solid var(--line);border-radius:8px;
font:12px system-ui,sans-serif}
text{fill:var(--ink)}text.soft{fill:var(--soft);font-size:11px}text.bad{fill:var(--bad)}
.lane{fill:var(--lane)}.grid{stroke:var(--line)}.failed{stroke:var(--bad);stroke-width:2}
text.end{text-anchor:end}text.middle{text-anchor:middle}g.row:hover .bar{opacity:.75}
.n0{fill:var(--n0)}.n1{fill:var(--n1)}.n2{fill:var(--n2)}.n3{fill:var(--n3)}.n4{fill:var(--n4)}
.n5{fill:var(--n5)}.n6{fill:var(--n6)}.n7{fill:var(--n7)}
)";

// A round step that gives at most so many ticks.
std::int64_t tick_step(std::int64_t whole_ns, int most) {
  const double least = static_cast<double>(whole_ns) / most;
  const double power = std::pow(10.0, std::floor(std::log10(std::max(least, 1.0))));
  for (const double factor : {1.0, 2.0, 5.0, 10.0}) {
    if (factor * power >= least) return static_cast<std::int64_t>(factor * power);
  }
  return whole_ns;
}

class Page {
 public:
  explicit Page(const TraceTree& tree)
      : tree_(tree),
        whole_(std::max<std::int64_t>(tree.end_unix_ns - tree.start_unix_ns, 1)),
        drawn_(std::min(tree.rows.size(), kRowsMost)) {}

  std::string draw() {
    const std::string name = tree_.rows.front().span->name;
    out_ = fmt::format(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
        "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
        "<title>{0}</title>\n<style>{1}</style></head><body>\n<h1>{0}</h1>\n",
        escaped(shortened(name, kNameBytes)), kStyle);
    facts();
    key();
    picture();
    out_ += "</body></html>\n";
    return std::move(out_);
  }

 private:
  [[nodiscard]] double percent(std::int64_t unix_ns) const {
    const auto since = static_cast<double>(unix_ns - tree_.start_unix_ns);
    return 100 * since / static_cast<double>(whole_);
  }

  void facts() {
    out_ += fmt::format("<p>{} · {} spans on {} nodes", duration_text(whole_), tree_.rows.size(),
                        tree_.nodes.size());
    if (tree_.failed != 0)
      out_ += fmt::format(" · <span class=\"bad\">{} failed</span>", tree_.failed);
    out_ += fmt::format(" · <code class=\"soft\">{}</code></p>\n", tree_.trace.text());
    for (const std::string& node : tree_.missing) {
      out_ += fmt::format("<p class=\"bad\">{} could not be asked: its spans are missing.</p>\n",
                          escaped(node));
    }
    if (drawn_ < tree_.rows.size()) {
      out_ += fmt::format("<p class=\"soft\">The first {} spans are drawn.</p>\n", drawn_);
    }
  }

  void key() {
    out_ += "<div class=\"key\">";
    for (std::size_t i = 0; i < tree_.nodes.size(); ++i) {
      out_ += fmt::format("<span><i style=\"background:var(--n{})\"></i>{}</span>\n", i % kColours,
                          escaped(shortened(tree_.nodes[i], kNameBytes)));
    }
    out_ += "</div>\n";
  }

  void picture() {
    const auto height = kAxisHeight + kRowHeight * static_cast<int>(drawn_) + 6;
    out_ += fmt::format("<svg class=\"time\" height=\"{}\" role=\"img\">\n", height);
    for (std::size_t i = 0; i < drawn_; i += 2) {
      out_ += fmt::format("<rect class=\"lane\" y=\"{}\" width=\"100%\" height=\"{}\"/>\n", top(i),
                          kRowHeight);
    }
    out_ += fmt::format("<svg width=\"{}%\" height=\"{}\">\n", kNamesPercent - 1, height);
    for (std::size_t i = 0; i < drawn_; ++i)
      row_name(i);
    out_ +=
        fmt::format("</svg>\n<svg x=\"{}%\" width=\"{}%\" height=\"{}\" overflow=\"visible\">\n",
                    kNamesPercent, 100 - kNamesPercent - 1.5, height);
    axis(height);
    for (std::size_t i = 0; i < drawn_; ++i)
      row_bar(i);
    out_ += "</svg>\n</svg>\n";
  }

  [[nodiscard]] static int top(std::size_t row) {
    return kAxisHeight + kRowHeight * static_cast<int>(row);
  }

  void axis(int height) {
    const std::int64_t step = tick_step(whole_, 5);
    for (std::int64_t at = 0;; at += step) {
      const double x = percent(tree_.start_unix_ns + at);
      out_ += fmt::format(
          "<line class=\"grid\" x1=\"{0:.2f}%\" x2=\"{0:.2f}%\" y1=\"{1}\" y2=\"{2}\"/>\n", x,
          kAxisHeight - 6, height);
      const std::string_view side = at == 0 ? "" : x > 93 ? " end" : " middle";
      out_ += fmt::format("<text class=\"soft{}\" x=\"{:.2f}%\" y=\"{}\">{}</text>\n", side, x,
                          kAxisHeight - 10, at == 0 ? "0" : duration_text(at));
      if (whole_ - at < step) return;
    }
  }

  void row_name(std::size_t index) {
    const TraceRow& row = tree_.rows[index];
    const auto depth = static_cast<int>(std::min(row.depth, kDepthMost));
    out_ += fmt::format(
        "<g class=\"row\"><title>{}</title><text{} x=\"{}\" y=\"{}\">{}{}</text></g>\n", title(row),
        row.span->failure.empty() ? "" : " class=\"bad\"", 8 + kIndent * depth, top(index) + 15,
        row.is_orphan ? "… " : "", escaped(shortened(row.span->name, kNameBytes)));
  }

  void row_bar(std::size_t index) {
    const TraceRow& row = tree_.rows[index];
    const double left = percent(row.span->start_unix_ns);
    const double right = percent(row.span->end_unix_ns);
    out_ += fmt::format("<g class=\"row\"><title>{}</title>", title(row));
    // What is short is still to be seen, and to be hit by the mouse.
    out_ += fmt::format(
        "<svg x=\"{:.3f}%\" width=\"{:.3f}%\" y=\"{}\" height=\"{}\" "
        "overflow=\"visible\"><rect class=\"bar n{}{}\" rx=\"2\" "
        "style=\"width:max(100%,3px)\" height=\"{}\"/></svg>",
        left, std::max(right - left, 0.001), top(index) + 4, kRowHeight - 8, row.node % kColours,
        row.span->failure.empty() ? "" : " failed", kRowHeight - 8);
    const bool before = right > 84;
    const bool inside = before && left < 16;
    std::string_view side = before && !inside ? " end" : "";
    const double at = inside ? left : before ? left : right;
    out_ += fmt::format(
        "<svg x=\"{:.3f}%\" overflow=\"visible\"><text class=\"soft{}\" x=\"{}\" y=\"{}\"{}>{}"
        "</text></svg></g>\n",
        at, side, before && !inside ? -6 : 8, top(index) + 15, inside ? " style=\"fill:#fff\"" : "",
        label(row));
  }

  // Also for who does not tell the colours apart.
  [[nodiscard]] std::string label(const TraceRow& row) const {
    std::string text =
        fmt::format("{} · {}", escaped(shortened(tree_.nodes[row.node], kLabelBytes)),
                    duration_text(row.span->end_unix_ns - row.span->start_unix_ns));
    if (!row.span->failure.empty()) {
      text += " · " + escaped(shortened(row.span->failure, kLabelBytes));
    }
    return text;
  }

  [[nodiscard]] std::string title(const TraceRow& row) const {
    const ReadSpan& span = *row.span;
    std::string text =
        fmt::format("{} on {}\nbegins at {}, takes {}", span.name, tree_.nodes[row.node],
                    duration_text(span.start_unix_ns - tree_.start_unix_ns),
                    duration_text(span.end_unix_ns - span.start_unix_ns));
    if (!span.failure.empty()) text += "\nfailed: " + span.failure;
    if (row.is_orphan) text += "\nits parent is not known";
    if (const std::string more = attributes_text(span); !more.empty()) text += "\n" + more;
    return escaped(shortened(text, kTitleBytes));
  }

  const TraceTree& tree_;
  std::int64_t whole_;
  std::size_t drawn_;
  std::string out_;
};

}  // namespace

std::string trace_page(const TraceTree& tree) { return Page(tree).draw(); }

}  // namespace blixard::app

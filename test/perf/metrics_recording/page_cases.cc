// X4: formatting in a loop that many lines pass, into a buffer that is used again.

#include <string>

#include <fmt/format.h>

#include "node/declared_metrics.h"
#include "observe/text.h"
#include "test/perf/metrics_recording/cases.h"
#include "test/perf/report/counting.h"

namespace blixard::perf {
namespace {

// Each line a text of its own, which is what one writes without thinking of it.
class LineByLine final : public observe::Visitor {
 public:
  explicit LineByLine(std::string& out) : out_(out) {}

  void family(const observe::FamilyView& family) override {
    family_ = family;
    out_ += fmt::format("# HELP {} {}\n", family.name, family.help);
    out_ += fmt::format("# TYPE {} untyped\n", family.name);
  }
  void value(std::span<const std::string_view> labels, observe::Number number) override {
    line("", labels, "", number.is_computed ? number.computed : static_cast<double>(number.whole));
  }
  void histogram(std::span<const std::string_view> labels,
                 const observe::HistogramReading& reading) override {
    std::uint64_t sum = 0;
    for (std::uint32_t i = 0; i < reading.counts.size(); ++i) {
      sum += reading.counts[i];
      const std::string bound =
          i == reading.shape.buckets() ? "+Inf" : fmt::format("{}", reading.shape.bound(i));
      line("_bucket", labels, bound, static_cast<double>(sum));
    }
    line("_sum", labels, "", static_cast<double>(reading.sum));
    line("_count", labels, "", static_cast<double>(reading.count));
  }

 private:
  void line(std::string_view suffix, std::span<const std::string_view> labels,
            const std::string& bound, double value) {
    std::string text;
    for (std::size_t i = 0; i < labels.size(); ++i)
      text += fmt::format("{}{}=\"{}\"", i == 0 ? "" : ",", family_.labels[i], labels[i]);
    if (!bound.empty()) text += fmt::format("{}le=\"{}\"", text.empty() ? "" : ",", bound);
    if (!text.empty()) text = fmt::format("{{{}}}", text);
    out_ += fmt::format("{}{}{} {}\n", family_.name, suffix, text, value);
  }

  std::string& out_;
  observe::FamilyView family_{};
};

struct Page {
  Page() { node::declare_metrics(metrics); }

  void ours() {
    text.clear();
    observe::write_text(metrics, observe::TextFormat::kPrometheus, text);
    keep(text.size());
  }
  void line_by_line() {
    text.clear();
    LineByLine lines(text);
    metrics.visit(lines);
    keep(text.size());
  }

  observe::Metrics metrics;
  std::string text;
};

}  // namespace

void add_page_cases(Report& report) {
  static Page& page = *new Page;
  constexpr std::uint64_t kPages = 200;
  constexpr const char* kTexts = "a text for each line";
  const auto ours = [] { page.ours(); };
  const auto line_by_line = [] { page.line_by_line(); };
  report.add({.name = "a page of all metrics of a node",
              .unit = "ns",
              .items = {"X4"},
              .measure = [=] { return cpu_ns_per_call(kPages, ours); },
              .baselines = {{kTexts, [=] { return cpu_ns_per_call(kPages, line_by_line); }}},
              .allocations = [=] { return allocations_of(ours, kPages); },
              .targets = {better_than(kTexts, 2)}});
  report.add({.name = "a page of all metrics of a node: allocations",
              .unit = "a page",
              .items = {"X4"},
              .measure = [=] { return allocations_of(ours, kPages); },
              .baselines = {{kTexts, [=] { return allocations_of(line_by_line, kPages); }}},
              .allocations = {},
              .targets = {better_than(kTexts, 20)}});
}

}  // namespace blixard::perf

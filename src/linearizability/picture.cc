#include "linearizability/picture.h"

#include <algorithm>
#include <functional>
#include <map>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/markup.h"
#include "linearizability/limits.h"

namespace blixard::linearizability {
namespace {

constexpr std::size_t kEventGap = 18;
constexpr std::size_t kTail = 90;  // of what has no end
constexpr std::size_t kLetterWidth = 8;
constexpr std::size_t kLabelLetters = 28;
constexpr std::size_t kBarHeight = 30;
constexpr std::size_t kLaneHeight = 40;
constexpr std::size_t kLeft = 96;

constexpr std::string_view kStyle = R"(
body{font:14px system-ui,sans-serif;margin:1.5em;color:#1c2733;background:#fff}
h1{font-size:1.3em;margin:0 0 .3em}
.ok{color:#1a7f37}.violation{color:#c62828}.unknown{color:#8a6d00}
p{margin:.3em 0;max-width:70em}
.key span{display:inline-block;width:1.6em;height:.9em;border-radius:3px;margin:0 .3em 0 1em;
vertical-align:baseline}
.time{display:flex;overflow-x:auto;border:1px solid #d5dbe1;border-radius:6px;margin:1em 0}
svg{display:block;flex:none;font:12px system-ui,sans-serif;white-space:pre}
.names{position:sticky;left:0;background:#fff;border-right:1px solid #d5dbe1}
pre{background:#f5f7f9;border-radius:6px;padding:1em;overflow-x:auto}
.placed{fill:#cfe3f7;stroke:#4a86c5}.stuck{fill:#f9c8c4;stroke:#c62828;stroke-width:2.5}
.left{fill:#eceff2;stroke:#98a4b0}
.number{font-weight:700;fill:#1d4f86}
)";

// The operations to show of a part, in order of their invocations.
std::vector<std::size_t> shown_of(const Judgement& judgement, const PartOutcome& part) {
  std::vector<std::size_t> shown = part.part.operations;
  const auto& operations = judgement.operations;
  if (part.stuck) {
    const std::uint64_t end = operations[*part.stuck].returned;
    std::erase_if(shown, [&](std::size_t i) { return operations[i].invoked > end; });
  }
  if (shown.size() <= limits::kPicturedOperations) return shown;
  if (part.stuck) {
    // Those that ended last, and all that were under way at the end.
    std::ranges::sort(shown, std::greater<>(),
                      [&](std::size_t i) { return std::pair(operations[i].returned, i); });
    shown.resize(limits::kPicturedOperations);
    std::ranges::sort(shown);
  } else {
    shown.resize(limits::kPicturedOperations);
  }
  return shown;
}

// A drawn operation. Who has no end keeps its lane: its process goes on in another.
struct Bar {
  std::size_t operation = 0;
  std::size_t lane = 0;
  std::string number;
  std::string label;
};

class Drawing {
 public:
  Drawing(const Judgement& judgement, const PartOutcome& part)
      : judgement_(judgement), part_(part) {
    lay_out_lanes(shown_of(judgement, part));
    lay_out_columns();
  }

  std::string draw() const {
    const std::size_t height = lanes_.size() * kLaneHeight + 16;
    std::string text = fmt::format(
        "<div class=\"time\"><svg class=\"names\" width=\"{}\" height=\"{}\">", kLeft, height);
    for (std::size_t lane = 0; lane < lanes_.size(); ++lane) {
      text += fmt::format("<text x=\"8\" y=\"{}\">process {}</text>\n", top_of(lane) + 20,
                          lanes_[lane]);
    }
    text += fmt::format("</svg><svg width=\"{}\" height=\"{}\">\n", width_, height);
    for (std::size_t lane = 0; lane < lanes_.size(); ++lane) {
      const std::size_t y = top_of(lane) + kBarHeight + 5;
      text += fmt::format("<line x1=\"0\" x2=\"{}\" y1=\"{}\" y2=\"{}\" stroke=\"#eceff2\"/>\n",
                          width_, y, y);
    }
    for (const Bar& bar : bars_)
      text += drawn(bar);
    if (part_.stuck) {
      text += fmt::format(
          "<line x1=\"{0}\" x2=\"{0}\" y1=\"0\" y2=\"{1}\" stroke=\"#c62828\" "
          "stroke-dasharray=\"5 4\"/>",
          columns_.at(of(*part_.stuck).returned), height);
    }
    return text + "</svg></div>\n";
  }

 private:
  void lay_out_lanes(const std::vector<std::size_t>& shown) {
    std::map<std::pair<std::uint64_t, std::uint64_t>, std::vector<std::size_t>> by_lane;
    std::map<std::uint64_t, std::uint64_t> without_end;
    for (const std::size_t i : shown) {
      std::uint64_t& turn = without_end[of(i).process];
      by_lane[{of(i).process, turn}].push_back(i);
      if (of(i).returned == kNever) ++turn;
    }
    for (const auto& [lane, operations] : by_lane) {
      for (const std::size_t i : operations) {
        Bar bar{.operation = i, .lane = lanes_.size(), .number = {}, .label = {}};
        if (of(i).place != 0) bar.number = fmt::format("{}", of(i).place);
        bar.label = shortened(of(i).text, kLabelLetters);
        bars_.push_back(std::move(bar));
      }
      lanes_.push_back(lane.first);
    }
  }

  // Events stand in their order, each bar being wide enough for its label.
  void lay_out_columns() {
    std::multimap<std::uint64_t, std::pair<std::uint64_t, std::size_t>> ends;  // begin, width
    for (const Bar& bar : bars_) {
      const JudgedOperation& operation = of(bar.operation);
      columns_.try_emplace(operation.invoked);
      if (operation.returned == kNever) continue;
      columns_.try_emplace(operation.returned);
      ends.emplace(operation.returned, std::pair(operation.invoked, width_of(bar)));
    }
    std::size_t at = 8;
    for (auto& [position, x] : columns_) {
      const auto [first, last] = ends.equal_range(position);
      for (auto end = first; end != last; ++end)
        at = std::max(at, columns_.at(end->second.first) + end->second.second);
      x = at;
      at += kEventGap;
    }
    width_ = at + kTail;
  }

  static std::size_t width_of(const Bar& bar) {
    return 20 + kLetterWidth * (bar.number.size() + bar.label.size());
  }
  static std::size_t top_of(std::size_t lane) { return 8 + kLaneHeight * lane; }
  [[nodiscard]] const JudgedOperation& of(std::size_t i) const { return judgement_.operations[i]; }

  [[nodiscard]] std::string drawn(const Bar& bar) const {
    const JudgedOperation& operation = of(bar.operation);
    const std::size_t x = columns_.at(operation.invoked);
    const bool ends = operation.returned != kNever;
    const std::size_t end = ends ? columns_.at(operation.returned) : width_;
    const std::string kind = operation.is_stuck
                                 ? fmt::format("stuck\" id=\"stuck-{}", operation.end_line)
                             : operation.place != 0 ? "placed"
                                                    : "left";
    return fmt::format(
        "<g><title>{}\nprocess {}, lines {}-{}{}</title>"
        "<rect class=\"{}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"4\"{}/>"
        "<text x=\"{}\" y=\"{}\"><tspan class=\"number\">{}</tspan><tspan "
        "dx=\"{}\">{}</tspan></text></g>\n",
        escaped(shortened(operation.text, limits::kLabelBytes)), operation.process, operation.line,
        ends ? fmt::format("{}", operation.end_line) : std::string(),
        operation.place != 0 ? fmt::format(", place {}", operation.place) : std::string(), kind, x,
        top_of(bar.lane), end - x, kBarHeight,
        ends ? "" : " stroke-dasharray=\"4 3\" fill-opacity=\"0.5\"", x + 6, top_of(bar.lane) + 20,
        bar.number, bar.number.empty() ? 0 : 5, escaped(bar.label));
  }

  const Judgement& judgement_;
  const PartOutcome& part_;
  std::vector<Bar> bars_;
  std::vector<std::uint64_t> lanes_;              // whose they are
  std::map<std::uint64_t, std::size_t> columns_;  // where events are
  std::size_t width_ = 0;
};

std::string part_section(const Judgement& judgement, const PartOutcome& part) {
  std::string text =
      fmt::format("<h2>{}<span class=\"{}\">{}</span></h2>\n",
                  part.part.key.empty() ? "" : escaped(shortened(part.part.key, 80)) + ": ",
                  verdict_name(part.verdict), verdict_name(part.verdict));
  if (part.stuck) {
    const JudgedOperation& stuck = judgement.operations[*part.stuck];
    text += fmt::format(
        "<p>No order of these operations explains the answer <b>{}</b> of process {} in line {}. "
        "The numbers are the longest order that explains the answers before it. "
        "<a href=\"#stuck-{}\">Show it</a></p>\n",
        escaped(shortened(stuck.text, limits::kLabelBytes)), stuck.process, stuck.end_line,
        stuck.end_line);
  }
  return text + Drawing(judgement, part).draw();
}

}  // namespace

std::string picture(std::string_view title, const Judgement& judgement) {
  const std::string_view verdict = verdict_name(judgement.verdict);
  std::string text = fmt::format(
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{0}: {1}</title>"
      "<style>{2}</style></head><body>\n<h1>{0}: <span class=\"{1}\">{1}</span></h1>\n"
      "<p>{3} operations, {4} steps of search.</p>\n"
      "<p class=\"key\"><span style=\"background:#cfe3f7\"></span>placed, with its number"
      "<span style=\"background:#f9c8c4\"></span>stuck"
      "<span style=\"background:#eceff2\"></span>not placed; dashed: no end was seen</p>\n",
      escaped(title), verdict, kStyle, judgement.operations.size(), judgement.steps);
  // What is wrong first.
  std::size_t drawn = 0;
  for (const bool wrong : {true, false}) {
    for (const PartOutcome& part : judgement.parts) {
      if ((part.verdict == Verdict::kViolation) != wrong) continue;
      if (drawn > limits::kPicturedOperations) continue;
      drawn += std::min(part.part.operations.size(), limits::kPicturedOperations);
      text += part_section(judgement, part);
    }
  }
  const std::string stuck = violation_text(judgement);
  if (!stuck.empty()) text += "<pre>" + escaped(stuck) + "</pre>\n";
  return text + "</body></html>\n";
}

}  // namespace blixard::linearizability

#include "linearizability/picture.h"

#include <algorithm>
#include <map>
#include <vector>

#include <fmt/format.h>

#include "linearizability/limits.h"

namespace blixard::linearizability {
namespace {

constexpr std::size_t kEventWidth = 44;
constexpr std::size_t kBarHeight = 30;
constexpr std::size_t kLaneHeight = 40;
constexpr std::size_t kLeft = 110;

constexpr std::string_view kStyle = R"(
body{font:14px system-ui,sans-serif;margin:1.5em;color:#1c2733;background:#fff}
h1{font-size:1.3em;margin:0 0 .3em}
.ok{color:#1a7f37}.violation{color:#c62828}.unknown{color:#8a6d00}
p{margin:.3em 0;max-width:70em}
.key span{display:inline-block;width:1.6em;height:.9em;border-radius:3px;margin:0 .3em 0 1em;
vertical-align:baseline}
.time{overflow-x:auto;border:1px solid #d5dbe1;border-radius:6px;margin:1em 0}
svg{display:block;font:12px system-ui,sans-serif}
pre{background:#f5f7f9;border-radius:6px;padding:1em;overflow-x:auto}
.placed{fill:#cfe3f7;stroke:#4a86c5}.stuck{fill:#f9c8c4;stroke:#c62828;stroke-width:2.5}
.left{fill:#eceff2;stroke:#98a4b0}
.number{font-weight:700;fill:#1d4f86}
)";

std::string escaped(std::string_view text) {
  std::string safe;
  for (const char byte : text) {
    switch (byte) {
      case '<':
        safe += "&lt;";
        break;
      case '>':
        safe += "&gt;";
        break;
      case '&':
        safe += "&amp;";
        break;
      case '"':
        safe += "&quot;";
        break;
      default:
        safe += static_cast<unsigned char>(byte) < 0x20 && byte != '\n' ? ' ' : byte;
    }
  }
  return safe;
}

// At most so many bytes, cut between characters.
std::string shortened(std::string_view text, std::size_t bytes) {
  if (text.size() <= bytes) return std::string(text);
  while (bytes != 0 && (static_cast<unsigned char>(text[bytes]) & 0xc0) == 0x80)
    --bytes;
  return std::string(text.substr(0, bytes)) + "…";
}

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

class Drawing {
 public:
  Drawing(const Judgement& judgement, const PartOutcome& part)
      : judgement_(judgement), part_(part), shown_(shown_of(judgement, part)) {
    for (const std::size_t i : shown_) {
      const JudgedOperation& operation = judgement.operations[i];
      columns_.try_emplace(operation.invoked);
      if (operation.returned != kNever) columns_.try_emplace(operation.returned);
      lanes_.try_emplace(operation.process);
    }
    std::size_t at = kLeft;
    for (auto& [position, x] : columns_) {
      x = at;
      at += kEventWidth;
    }
    width_ = at + kEventWidth;
    std::size_t lane = 0;
    for (auto& [process, y] : lanes_)
      y = 8 + kLaneHeight * lane++;
  }

  std::string draw() const {
    std::string text = fmt::format("<div class=\"time\"><svg width=\"{}\" height=\"{}\">", width_,
                                   lanes_.size() * kLaneHeight + 16);
    for (const auto& [process, y] : lanes_) {
      text += fmt::format(
          "<text x=\"8\" y=\"{}\">process {}</text>"
          "<line x1=\"{}\" x2=\"{}\" y1=\"{}\" y2=\"{}\" stroke=\"#eceff2\"/>\n",
          y + 20, process, kLeft, width_, y + kBarHeight + 5, y + kBarHeight + 5);
    }
    for (const std::size_t i : shown_)
      text += bar(judgement_.operations[i]);
    if (part_.stuck) {
      const std::size_t x = columns_.at(judgement_.operations[*part_.stuck].returned);
      text += fmt::format(
          "<line x1=\"{0}\" x2=\"{0}\" y1=\"0\" y2=\"{1}\" stroke=\"#c62828\" "
          "stroke-dasharray=\"5 4\"/>",
          x, lanes_.size() * kLaneHeight + 16);
    }
    return text + "</svg></div>\n";
  }

 private:
  std::string bar(const JudgedOperation& operation) const {
    const std::size_t x = columns_.at(operation.invoked);
    const std::size_t y = lanes_.at(operation.process);
    const bool ends = operation.returned != kNever;
    const std::size_t end = ends ? columns_.at(operation.returned) : width_ - 4;
    const std::string_view kind = operation.is_stuck     ? "stuck"
                                  : operation.place != 0 ? "placed"
                                                         : "left";
    const std::string full = escaped(shortened(operation.text, limits::kLabelBytes));
    const std::size_t letters = (end - x) / 7;
    const std::string number = operation.place != 0 ? fmt::format("{} ", operation.place) : "";
    const std::string label = escaped(
        shortened(operation.text, letters > number.size() + 1 ? letters - number.size() - 1 : 1));
    return fmt::format(
        "<g><title>{}\nprocess {}, lines {}-{}{}</title>"
        "<rect class=\"{}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"4\"{}/>"
        "<text x=\"{}\" y=\"{}\"><tspan class=\"number\">{}</tspan>{}</text></g>\n",
        full, operation.process, operation.line,
        ends ? fmt::format("{}", operation.end_line) : std::string(),
        operation.place != 0 ? fmt::format(", place {}", operation.place) : std::string(), kind, x,
        y, end - x, kBarHeight, ends ? "" : " stroke-dasharray=\"4 3\" fill-opacity=\"0.5\"", x + 6,
        y + 20, number, label);
  }

  const Judgement& judgement_;
  const PartOutcome& part_;
  std::vector<std::size_t> shown_;
  std::map<std::uint64_t, std::size_t> columns_;  // where events are
  std::map<std::uint64_t, std::size_t> lanes_;    // where processes are
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
        "The numbers are the longest order that explains the answers before it.</p>\n",
        escaped(shortened(stuck.text, limits::kLabelBytes)), stuck.process, stuck.end_line);
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

#include "vopr/timeline_picture.h"

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include <fmt/format.h>

#include "base/markup.h"
#include "vopr/timeline_scale.h"

namespace blixard::vopr {
namespace {

constexpr double kLeft = 92;
constexpr double kWidth = 1180;
constexpr double kRight = kLeft + kWidth;
constexpr double kMargin = 12;  // to the right of the end
constexpr double kTickGap = 72;
constexpr double kLetter = 6.2;
constexpr double kBold = 1.13;
constexpr double kRoleHeight = 24;
constexpr double kGuestHeight = 13;
constexpr double kRowHeight = 17;
constexpr double kClientHeight = 15;
constexpr std::size_t kFaultRows = 18;
constexpr std::size_t kClientRows = 4;
constexpr std::size_t kGuestRows = 8;
constexpr std::size_t kColours = 8;
constexpr std::size_t kTitleBytes = 600;
constexpr Duration kEvenUntil = 45s;  // longer runs are drawn in windows
constexpr int kWindowsEvenAbove = 3;  // and shorter ones, if little of them is to be seen

double width_of(std::string_view text) { return kLetter * static_cast<double>(text.size()); }

// Bars beside each other where they have room, else below.
class Rows {
 public:
  explicit Rows(std::size_t most) : most_(most) {}
  // The row, or none if there are too many.
  std::optional<std::size_t> place(double left, double right) {
    for (std::size_t row = 0; row < ends_.size(); ++row) {
      if (ends_[row] > left) continue;
      ends_[row] = right;
      return row;
    }
    if (ends_.size() >= most_) return std::nullopt;
    ends_.push_back(right);
    return ends_.size() - 1;
  }
  [[nodiscard]] std::size_t size() const { return ends_.size(); }

 private:
  std::size_t most_;
  std::vector<double> ends_;
};

// Where something is to be seen: the end of the trouble, and the violation. Short troubles, as
// shrunk runs have them, have short windows, so that they are drawn large.
std::vector<Span> windows_of(const Report& report, Duration end) {
  if (!report.violation) return {};
  const Duration at = report.violation->at;
  const Duration trouble = std::min(at, report.trouble_until) - report.trouble_from;
  const Duration around = std::clamp<Duration>(trouble, 500ms, 8s);
  const Duration begin = report.trouble_from - around / 2;
  std::vector<Span> windows{{std::max(at - 20s, begin), at + around / 2}};
  // What did not settle went wrong when the trouble ended.
  if (at > report.trouble_until + 20s) {
    windows = {{std::max(report.trouble_until - 12s, begin), report.trouble_until + around},
               {at - around / 2, at + around / 4}};
  }
  Duration length{};
  for (const Span& window : windows)
    length += window.until - window.from;
  // Time that is even is easier to read.
  return end <= kEvenUntil && kWindowsEvenAbove * length > end ? std::vector<Span>() : windows;
}

class Picture {
 public:
  Picture(const Plan& plan, const Report& report, const Tracks& tracks)
      : plan_(plan),
        report_(report),
        tracks_(tracks),
        scale_(tracks.end, windows_of(report, tracks.end), kLeft, kWidth) {
    for (const VmTrack& track : tracks.vms)
      colours_.try_emplace(track.vm, colours_.size() % kColours);
    for (const NodeTrack& node : tracks.nodes) {
      for (const GuestSpan& guest : node.guests)
        colours_.try_emplace(guest.vm, colours_.size() % kColours);
    }
  }

  std::string draw() {
    y_ = report_.violation ? 34 : 8;
    const double top = y_;
    axis();
    phases();
    const double lanes_top = y_;
    for (const NodeTrack& node : tracks_.nodes)
      node_lane(node);
    heading("What was done to it");
    faults();
    if (!tracks_.vms.empty()) heading("VMs, as the replicated state has them");
    for (const VmTrack& vm : tracks_.vms)
      vm_lane(vm);
    if (!tracks_.clients.empty()) heading("What clients asked");
    for (const ClientTrack& client : tracks_.clients)
      client_lane(client);
    y_ += 6;
    const std::string body = std::exchange(body_, {});
    behind(top, lanes_top);
    body_ += body;
    violation(top);
    return fmt::format(
        "<svg viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\" role=\"img\">\n"
        "<defs><pattern id=\"down\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" "
        "patternTransform=\"rotate(45)\"><line x1=\"0\" x2=\"0\" y1=\"0\" y2=\"6\" "
        "class=\"hatch\"/></pattern></defs>\n{2}</svg>\n",
        kRight + kMargin, y_, body_);
  }

  [[nodiscard]] std::size_t undrawn() const { return undrawn_; }

 private:
  void rect(std::string_view style, double left, double top, double right, double height,
            std::string_view title) {
    body_ += fmt::format(
        "<rect class=\"{}\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\"", style,
        left, top, std::max(right - left, 0.0), height);
    body_ += title.empty() ? std::string("/>\n")
                           : fmt::format("><title>{}</title></rect>\n",
                                         escaped(shortened(title, kTitleBytes)));
  }

  void line(std::string_view style, double x1, double y1, double x2, double y2) {
    body_ += fmt::format(
        "<line class=\"{}\" x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\"/>\n", style, x1,
        y1, x2, y2);
  }

  void text(std::string_view style, double x, double y, std::string_view words) {
    body_ += fmt::format("<text class=\"{}\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text>\n", style, x, y,
                         escaped(words));
  }

  // As much of the words as fits; nothing if that is next to nothing.
  void text_within(std::string_view style, double left, double right, double y,
                   std::string_view words) {
    const double room = right - left - 6;
    if (room < 2 * kLetter) return;
    const auto letters = static_cast<std::size_t>(room / kLetter);
    if (words.size() <= letters) {
      text(style, left + 3, y, words);
    } else if (letters >= 4) {
      text(style, left + 3, y, shortened(words, letters - 1));
    }
  }

  [[nodiscard]] static std::string when(const Span& span) {
    return span.ends ? fmt::format("{} to {} s", seconds_text(span.from), seconds_text(span.until))
                     : fmt::format("from {} s", seconds_text(span.from));
  }

  void heading(std::string_view words) {
    y_ += 12;
    text("heading", 8, y_ + 12, words);
    line("rule", 8, y_ + 18, kRight, y_ + 18);
    y_ += 24;
  }

  void axis() {
    text("label soft", 8, y_ + 14, "seconds");
    double labelled = 0;
    for (const TimeScale::Piece& piece : scale_.pieces()) {
      if (!piece.full) {
        rect("pressed", piece.left, y_, piece.right, 20,
             "this stretch is pressed together: " + when({piece.from, piece.until, true}));
      }
      for (const Duration at : ticks_of(piece, kTickGap)) {
        const double x = scale_.x(at);
        line("tick", x, y_ + 16, x, y_ + 20);
        if (x < labelled + kTickGap / 2) continue;
        labelled = x;
        const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(at).count();
        const std::string words = ms % 1000 == 0
                                      ? fmt::format("{}", ms / 1000)
                                      : fmt::format("{:g}", static_cast<double>(ms) / 1000);
        text("label soft middle", x, y_ + 13, words);
      }
    }
    y_ += 22;
  }

  void phases() {
    const double from = scale_.x(report_.trouble_from);
    const double until = scale_.x(report_.trouble_until);
    phase("phase quiet", kLeft, from, "the cluster forms");
    phase("phase trouble", from, until, "trouble");
    phase("phase quiet", until, kRight, "all is healed, it has to settle");
    y_ += 26;
  }

  void phase(std::string_view style, double left, double right, std::string_view words) {
    if (right - left < 1) return;
    rect(style, left, y_, right, 18, words);
    text_within("label", left, right, y_ + 13, words);
  }

  // Below everything: lines at the ticks, where trouble begins and ends, what is pressed together.
  void behind(double top, double lanes_top) {
    for (const TimeScale::Piece& piece : scale_.pieces()) {
      if (!piece.full) rect("pressed", piece.left, lanes_top - 4, piece.right, y_ - lanes_top, "");
      for (const Duration at : ticks_of(piece, kTickGap))
        line("grid", scale_.x(at), lanes_top - 4, scale_.x(at), y_);
    }
    for (const Duration at : {report_.trouble_from, report_.trouble_until}) {
      if (at.count() > 0) line("border", scale_.x(at), top + 22, scale_.x(at), y_);
    }
  }

  void node_lane(const NodeTrack& node) {
    const double top = y_;
    const bool spare = node.node > plan_.settings.nodes;
    text("name", 8, top + 16, fmt::format("n{}", node.node));
    if (spare) text("label soft", 34, top + 16, "spare");
    for (const RoleSpan& role : node.roles)
      role_bar(role, top);
    for (const Span& frozen : node.frozen) {
      rect("frozen", scale_.x(frozen.from), top + 6,
           std::max(scale_.x(frozen.until), scale_.x(frozen.from) + 2), kRoleHeight - 12,
           "stands still, " + when(frozen));
    }
    for (const Span& cut : node.cut_off) {
      rect("cut", scale_.x(cut.from), top - 3,
           std::max(scale_.x(cut.until), scale_.x(cut.from) + 2), 4, "cut off, " + when(cut));
    }
    for (const Mark& mark : node.marks)
      draw_mark(mark, top);
    for (const Mark& mark : node.stops)
      draw_mark(mark, top);
    y_ += kRoleHeight + 2;
    Rows rows(kGuestRows);
    for (const GuestSpan& guest : node.guests) {
      const double left = scale_.x(guest.span.from);
      const double right = std::max(scale_.x(guest.span.until), left + 2);
      const auto row = rows.place(left, right);
      if (!row) {
        ++undrawn_;
        continue;
      }
      const double bar_top = y_ + kGuestHeight * static_cast<double>(*row);
      rect(fmt::format("v{}{}", colours_.at(guest.vm), guest.span.ends ? "" : " open"), left,
           bar_top, right, kGuestHeight - 2, guest.text + "\n" + when(guest.span));
      text_within("small onbar", left, right, bar_top + 9, guest.vm);
    }
    y_ += kGuestHeight * static_cast<double>(rows.size()) + 11;
  }

  void role_bar(const RoleSpan& role, double top) {
    const double left = scale_.x(role.span.from);
    const double right = scale_.x(role.span.until);
    const bool leads = role.role == Role::kLeader;
    std::string title = fmt::format("{}{}\n{}", role_name(role.role),
                                    leads ? fmt::format(" of term {}", role.term.value) : "",
                                    when({role.span.from, role.span.until, true}));
    rect(role_name(role.role), left, top, std::max(right, left + 0.5), kRoleHeight, title);
    if (leads) {
      const std::string term = fmt::format("leads term {}", role.term.value);
      const bool fits = width_of(term) + 6 < right - left;
      text_within("label onleader", left, right, top + 16,
                  fits ? term : fmt::format("{}", role.term.value));
    } else if (role.role == Role::kDown) {
      const bool never = role.span.from == Duration{} && !role.span.ends;
      text_within("label soft", left + 7, right, top + 16, never ? "never started" : "down");
    }
  }

  void draw_mark(const Mark& mark, double top) {
    const double x = scale_.x(mark.at);
    const std::string_view name =
        mark.action != Action::kNone ? facts_of(mark.action).name : event_name(mark.event);
    const std::string title = escaped(shortened(
        fmt::format("{} at {} s\n{}", name, seconds_text(mark.at), mark.text), kTitleBytes));
    std::string shape;
    if (mark.action == Action::kPowerLoss || mark.action == Action::kReplaceDisk) {
      shape = "<path class=\"bolt\" d=\"M2 -8 L-5 2 L0 2 L-2 9 L5 -2 L0 -2 Z\"/>";
    } else if (mark.action == Action::kRestart || mark.action == Action::kUpgrade) {
      shape = "<circle class=\"ring\" r=\"5\"/>";
    } else if (mark.action != Action::kNone || mark.event == Event::kEnded) {
      shape = "<path class=\"cross\" d=\"M-5 -5 L5 5 M-5 5 L5 -5\"/>";
    } else {
      shape = "<path class=\"notch\" d=\"M0 5 L0 12\"/>";
    }
    body_ += fmt::format("<g transform=\"translate({:.1f} {:.1f})\"><title>{}</title>{}</g>\n", x,
                         top + kRoleHeight / 2, title, shape);
  }

  // "n1-n3 cut", "n2 slow-disk 20".
  static std::string words_of(const FaultSpan& fault) {
    std::string words = fault.node == 0 ? "" : fmt::format("n{}", fault.node);
    if (fault.other != 0) words += fmt::format("-n{}", fault.other);
    if (!words.empty()) words += ' ';
    const std::string_view name = facts_of(fault.action).name;
    if (fault.text.starts_with(name)) return words + fault.text;
    return fmt::format("{}{} {}", words, name, fault.text);
  }

  void faults() {
    Rows rows(kFaultRows);
    for (const FaultSpan& fault : tracks_.faults) {
      const std::string label =
          scale_.is_pressed(fault.span.from) ? "" : shortened(words_of(fault), 40);
      const double left = scale_.x(fault.span.from);
      const double right = std::max(scale_.x(fault.span.until), left + 3);
      const double room = label.empty() ? 0 : width_of(label) + 10;
      const bool inside = right - left >= room;
      const bool before = !inside && right + room > kRight;
      const auto row =
          rows.place(before ? left - room : left, (inside || before ? right : right + room) + 4);
      if (!row) {
        ++undrawn_;
        continue;
      }
      const double top = y_ + kRowHeight * static_cast<double>(*row);
      const Group group = facts_of(fault.action).group;
      rect(fmt::format("g-{}", group_name(group)), left, top, right, kRowHeight - 3,
           words_of(fault) + "\n" + when(fault.span));
      if (label.empty()) continue;
      text(before ? "small last" : "small", before ? left - 4 : (inside ? left + 4 : right + 4),
           top + 11, label);
    }
    if (tracks_.faults.empty()) text("label soft", kLeft, y_ + 12, "nothing");
    y_ += kRowHeight * static_cast<double>(std::max<std::size_t>(rows.size(), 1));
  }

  void vm_lane(const VmTrack& vm) {
    const std::size_t colour = colours_.at(vm.vm);
    rect(fmt::format("v{}", colour), 8, y_ + 3, 18, 10, "");
    text("label", 23, y_ + 12, shortened(vm.vm, 10));
    for (const VmSpan& state : vm.states) {
      const double left = scale_.x(state.span.from);
      const double right = std::max(scale_.x(state.span.until), left + 1);
      const std::string name(event_name(state.state).substr(3));
      rect(fmt::format("v{} s-{}", colour, name), left, y_, right, kRowHeight - 3,
           fmt::format("{}: {}\n{}", vm.vm, name, when(state.span)));
      text_within("small", left, right, y_ + 11, name);
    }
    y_ += kRowHeight;
  }

  void client_lane(const ClientTrack& client) {
    text("label", 8, y_ + 11,
         client.client == 0 ? std::string("clients") : fmt::format("client {}", client.client));
    Rows rows(kClientRows);
    const auto& operations = client.operations;
    for (std::size_t i = 0; i < operations.size(); ++i) {
      const double next =
          i + 1 < operations.size() ? scale_.x(operations[i + 1].span.from) : kRight;
      operation_bar(operations[i], rows, next);
    }
    y_ += kClientHeight * static_cast<double>(std::max<std::size_t>(rows.size(), 1)) + 4;
  }

  // The words stand in the bar, or behind it where there is room until the next one.
  void operation_bar(const OperationSpan& operation, Rows& rows, double next) {
    const double left = scale_.x(operation.span.from);
    const double right = std::max(scale_.x(operation.span.until), left + 2);
    const auto row = rows.place(left, right);
    if (!row) {
      ++undrawn_;
      return;
    }
    const double top = y_ + kClientHeight * static_cast<double>(*row);
    const bool ends = operation.outcome != Event::kAsked;
    rect(fmt::format("o-{}", ends ? event_name(operation.outcome) : "open"), left, top, right,
         kClientHeight - 3,
         fmt::format("{}\n{}, {}", operation.text,
                     ends ? event_name(operation.outcome) : "no end was seen",
                     when(operation.span)));
    const auto words = std::string_view(operation.text).substr(0, operation.text.find('\n'));
    if (width_of(words) + 6 <= right - left || right + width_of(words) + 6 > next) {
      text_within("small", left, right, top + 9, words);
    } else {
      text("small soft", right + 3, top + 9, words);
    }
  }

  void violation(double top) {
    if (!report_.violation) return;
    const Violation& found = *report_.violation;
    const double x = scale_.x(found.at);
    line("wrong", x, top - 6, x, y_);
    const std::string words = shortened(
        fmt::format("{} s  {}: {}", seconds_text(found.at), found.checker, found.text), 120);
    const double width = kBold * width_of(words) + 16;
    const double left = std::clamp(x - width / 2, 4.0, kRight + kMargin - width);
    rect("wrongbox", left, top - 28, left + width, 22, "");
    text("label onwrong", left + 8, top - 13, words);
  }

  const Plan& plan_;
  const Report& report_;
  const Tracks& tracks_;
  TimeScale scale_;
  std::map<std::string, std::size_t> colours_;
  std::string body_;
  double y_ = 0;
  std::size_t undrawn_ = 0;
};

}  // namespace

std::string seconds_text(Duration at) {
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(at).count();
  return fmt::format("{}.{:03}", ms / 1000, ms % 1000);
}

std::string timeline_picture(const Plan& plan, const Report& report, Tracks& tracks) {
  Picture picture(plan, report, tracks);
  std::string svg = picture.draw();
  if (picture.undrawn() != 0) {
    tracks.left_out.push_back(
        fmt::format("{} bars for which there was no room", picture.undrawn()));
  }
  return svg;
}

}  // namespace blixard::vopr

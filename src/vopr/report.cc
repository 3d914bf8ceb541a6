#include "vopr/report.h"

#include <algorithm>

#include <fmt/format.h>

namespace blixard::vopr {
namespace {

constexpr std::size_t kTextBytes = 240;

// One line of at most so many bytes, cut between characters.
std::string one_line(std::string_view text) {
  const bool is_long = text.size() > kTextBytes;
  if (is_long) {
    std::size_t end = kTextBytes;
    while (end != 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80)
      --end;
    text = text.substr(0, end);
  }
  std::string line(text);
  std::ranges::replace_if(
      line, [](char byte) { return static_cast<unsigned char>(byte) < 0x20 || byte == 0x7f; }, ' ');
  return is_long ? line + "…" : line;
}

std::string seconds_of(Duration at) {
  const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(at).count();
  return fmt::format("{}.{:06}", micros / 1'000'000, micros % 1'000'000);
}

std::string text_of(const TraceEvent& event) {
  if (event.action == Action::kNone) return one_line(event.text);
  std::string text(facts_of(event.action).name);
  if (event.text.starts_with(text)) {
    text = event.text;
  } else if (!event.text.empty()) {
    text += ' ' + event.text;
  }
  if (event.other != 0) text += fmt::format(", with n{}", event.other);
  if (event.until > event.at) text += fmt::format(", until {}", seconds_of(event.until));
  return one_line(text);
}

}  // namespace

std::string_view role_name(Role role) {
  constexpr std::array<std::string_view, kRoles> kNames{"down", "follower", "candidate", "leader"};
  return kNames.at(static_cast<std::size_t>(role));
}

std::string_view event_name(Event event) {
  constexpr std::array<std::string_view, kEvents> kNames{"step",
                                                         "healed",
                                                         "skipped",
                                                         "started",
                                                         "ready",
                                                         "ended",
                                                         "leads",
                                                         "follows",
                                                         "campaigns",
                                                         "snapshot-taken",
                                                         "snapshot-installed",
                                                         "members",
                                                         "guest-starts",
                                                         "guest-ends",
                                                         "guest-saved",
                                                         "vm-pending",
                                                         "vm-placed",
                                                         "vm-starting",
                                                         "vm-running",
                                                         "vm-paused",
                                                         "vm-suspended",
                                                         "vm-stopping",
                                                         "vm-stopped",
                                                         "vm-failed",
                                                         "vm-lost",
                                                         "vm-gone",
                                                         "vm-evicted",
                                                         "node-joined",
                                                         "node-leaving",
                                                         "node-gone",
                                                         "drain-begins",
                                                         "drain-ends",
                                                         "asked",
                                                         "answered",
                                                         "refused",
                                                         "uncertain",
                                                         "rare",
                                                         "frame-refused",
                                                         "settled",
                                                         "violation"};
  static_assert(!kNames.back().empty());
  return kNames.at(static_cast<std::size_t>(event));
}

std::string trace_header() {
  return fmt::format("{:>12} {:<4} {:<9} {:>5} {:>7} {:<18} {}", "seconds", "node", "role", "term",
                     "commit", "event", "what");
}

std::string trace_line(const TraceEvent& event) {
  const std::string node = event.node == 0 ? "-" : fmt::format("n{}", event.node);
  std::string line =
      fmt::format("{:>12} {:<4} {:<9} {:>5} {:>7} {:<18} {}", seconds_of(event.at), node,
                  event.node == 0 ? "-" : role_name(event.role), event.term.value,
                  event.commit.value, event_name(event.event), text_of(event));
  line.erase(line.find_last_not_of(' ') + 1);
  return line;
}

}  // namespace blixard::vopr

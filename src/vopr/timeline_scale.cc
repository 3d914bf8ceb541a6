#include "vopr/timeline_scale.h"

#include <algorithm>

namespace blixard::vopr {
namespace {

constexpr double kPressedShare = 0.2;  // of the width, for all that is outside the windows

constexpr Duration kJoined = 15s;  // between two windows: they become one

double seconds(Duration length) { return std::chrono::duration<double>(length).count(); }

std::vector<Span> merged(std::vector<Span> windows, Duration end) {
  for (Span& window : windows) {
    window.from = std::clamp(window.from, Duration{}, end);
    window.until = std::clamp(window.until, window.from, end);
  }
  std::erase_if(windows, [](const Span& window) { return window.from == window.until; });
  std::ranges::sort(windows, {}, &Span::from);
  std::vector<Span> result;
  for (const Span& window : windows) {
    if (!result.empty() && window.from <= result.back().until + kJoined) {
      result.back().until = std::max(result.back().until, window.until);
    } else {
      result.push_back(window);
    }
  }
  return result;
}

}  // namespace

TimeScale::TimeScale(Duration end, std::vector<Span> windows, double left, double width) {
  end = std::max(end, Duration(1ms));
  Duration at{};
  Duration in_windows{};
  for (const Span& window : merged(std::move(windows), end)) {
    if (window.from > at) pieces_.push_back({.from = at, .until = window.from, .full = false});
    pieces_.push_back({.from = window.from, .until = window.until});
    in_windows += window.until - window.from;
    at = window.until;
  }
  if (at < end) pieces_.push_back({.from = at, .until = end, .full = pieces_.empty()});
  if (pieces_.size() == 1) in_windows = end;
  const Duration pressed = end - in_windows;
  const double pressed_width = pressed.count() == 0 ? 0 : width * kPressedShare;
  for (Piece& piece : pieces_) {
    const double share = piece.full ? (width - pressed_width) / seconds(in_windows)
                                    : pressed_width / seconds(pressed);
    piece.left = left;
    left += seconds(piece.until - piece.from) * share;
    piece.right = left;
  }
}

double TimeScale::x(Duration at) const {
  for (const Piece& piece : pieces_) {
    if (at > piece.until) continue;
    if (at <= piece.from) return piece.left;
    const double share = seconds(at - piece.from) / seconds(piece.until - piece.from);
    return piece.left + (piece.right - piece.left) * share;
  }
  return pieces_.back().right;
}

bool TimeScale::is_pressed(Duration at) const {
  return std::ranges::any_of(pieces_, [&](const Piece& piece) {
    return !piece.full && at >= piece.from && at < piece.until;
  });
}

std::vector<Duration> ticks_of(const TimeScale::Piece& piece, double gap) {
  const double width = piece.right - piece.left;
  const Duration length = piece.until - piece.from;
  if (width < gap) return {};
  const double least = seconds(length) * gap / width;
  Duration step{};
  for (std::int64_t power = 1'000'000; step == Duration{}; power *= 10) {
    for (const std::int64_t times : {1, 2, 5}) {
      if (step == Duration{} && seconds(Duration(power * times)) >= least) {
        step = Duration(power * times);
      }
    }
  }
  std::vector<Duration> ticks;
  for (Duration at = (piece.from + step - 1ns) / step * step; at <= piece.until; at += step)
    ticks.push_back(at);
  return ticks;
}

}  // namespace blixard::vopr

#pragma once

// From virtual time to a place on the page. A short run is drawn evenly. Of a long one some
// windows get most of the width and what is between them is pressed together, so that the second
// in which it went wrong can still be read after five minutes of settling.

#include <vector>

#include "vopr/timeline_tracks.h"

namespace blixard::vopr {

class TimeScale {
 public:
  struct Piece {
    Duration from{};
    Duration until{};
    double left = 0;
    double right = 0;
    bool full = true;  // no: pressed together
  };

  // `windows` may overlap and reach beyond 0 and `end`; those close to each other become one.
  TimeScale(Duration end, std::vector<Span> windows, double left, double width);

  [[nodiscard]] double x(Duration at) const;  // within the page, wherever `at` is
  [[nodiscard]] bool is_pressed(Duration at) const;
  [[nodiscard]] const std::vector<Piece>& pieces() const { return pieces_; }

 private:
  std::vector<Piece> pieces_;
};

// Where ticks stand on a piece, at least `gap` apart: at whole 1, 2 or 5 times a power of ten.
[[nodiscard]] std::vector<Duration> ticks_of(const TimeScale::Piece& piece, double gap);

}  // namespace blixard::vopr

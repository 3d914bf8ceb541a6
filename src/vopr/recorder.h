#pragma once

// Writes down what happens in a run: the lines of the trace, the bits of coverage, the counts and
// the first violation. Everything that watches the run tells it here.

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "vopr/report.h"

namespace blixard::vopr {

// What a machine's daemon is at this moment.
struct Standing {
  Role role = Role::kDown;
  Term term;
  LogIndex commit;
};

class Recorder {
 public:
  // `elapsed` gives the world's time, `standing` that of a machine (from 1).
  Recorder(std::function<Duration()> elapsed, std::function<Standing(std::uint32_t)> standing)
      : elapsed_(std::move(elapsed)), standing_(std::move(standing)) {}

  // `node`: the machine, 0 for the world.
  void note(std::uint32_t node, Event event, std::string text);
  // Of a decision that is carried out, healed or skipped.
  void note_step(std::uint32_t node, Event event, Action action, std::string text,
                 std::uint32_t other = 0, Duration until = {});

  // A fault is there from now on, or is not any more: for coverage. There it counts for
  // kAftermath longer, since much of what it does comes when it is over; what takes no time counts
  // for so long after it was done.
  static constexpr Duration kAftermath = 3s;  // about an election, and what comes of it
  void begin(Action fault) { ++active_.at(static_cast<std::size_t>(fault)); }
  void end(Action fault) {
    --active_.at(static_cast<std::size_t>(fault));
    felt(fault);
  }

  // The first one is kept.
  void fail(std::string checker, std::string text);
  [[nodiscard]] bool failed() const { return report_.violation.has_value(); }

  // The run is over: how it is taken apart is not part of it.
  void close() { closed_ = true; }

  [[nodiscard]] Report& report() { return report_; }
  [[nodiscard]] Duration elapsed() const { return elapsed_(); }

 private:
  void add(std::uint32_t node, TraceEvent event);
  void felt(Action action) {
    felt_until_.at(static_cast<std::size_t>(action)) = elapsed_() + kAftermath;
  }

  std::function<Duration()> elapsed_;
  std::function<Standing(std::uint32_t)> standing_;
  std::array<std::uint32_t, kActions> active_{};
  std::array<Duration, kActions> felt_until_{};
  Report report_;
  bool closed_ = false;
};

}  // namespace blixard::vopr

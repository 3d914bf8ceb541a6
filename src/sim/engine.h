#pragma once

// The heart of the simulation: virtual time, the events that will happen in it and the coroutines
// that are ready to run. Everything is ordered by (time, sequence number), so that a run depends
// on its seed alone; the trace hash proves it.
//
// A cancelled event leaves the queue at once, so an empty queue means that nothing can ever happen
// again.

#include <compare>
#include <coroutine>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string_view>

#include "base/units.h"

namespace blixard::sim {

// FNV-1a, 64 bits, over words.
class Trace {
 public:
  void mix(std::uint64_t word);
  void mix(std::string_view bytes);
  [[nodiscard]] std::uint64_t hash() const { return hash_; }

 private:
  std::uint64_t hash_ = 0xcbf29ce484222325;
};

struct EventId {
  Instant at;
  std::uint64_t sequence = 0;
  friend constexpr auto operator<=>(const EventId&, const EventId&) = default;
};

class Engine {
 public:
  using Action = std::move_only_function<void()>;
  enum class Step : std::uint8_t { kRan, kNothingLeft, kPastLimit };

  [[nodiscard]] Instant now() const { return now_; }

  // `owner` is the number of the machine it happens on, 0 for the world. A time that has passed
  // counts as now.
  EventId schedule(Instant at, std::uint32_t owner, Action action);
  void cancel(EventId id);  // fine if it has happened
  void make_ready(std::coroutine_handle<> coroutine, std::uint32_t owner);

  // Runs the next event or ready coroutine, unless it lies after `limit`.
  Step step(Instant limit);

  // Forgets what has not happened; nothing may be ready.
  void clear();

  [[nodiscard]] Trace& trace() { return trace_; }

 private:
  struct Event {
    std::uint32_t owner = 0;
    Action action;
  };
  struct Ready {
    std::uint64_t sequence = 0;
    std::uint32_t owner = 0;
    std::coroutine_handle<> coroutine;
  };

  void note(std::uint64_t sequence, std::uint32_t owner);

  Instant now_;
  std::uint64_t sequence_ = 0;
  std::uint64_t steps_at_this_instant_ = 0;
  std::map<EventId, Event> events_;
  std::deque<Ready> ready_;
  Trace trace_;
};

}  // namespace blixard::sim

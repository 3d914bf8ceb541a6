#pragma once

// The heart of the simulation: virtual time, the events that will happen in it and the coroutines
// that are ready to run. Everything is ordered by (time, sequence number), so that a run depends
// on its seed alone; the trace hash proves it.
//
// An event lives in what waits for it (a sleep, a connection) and knows its place in the queue, a
// binary heap: scheduling one allocates nothing. A cancelled one leaves the queue at once, so an
// empty queue means that nothing can ever happen again.

#include <coroutine>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/assert.h"
#include "base/units.h"
#include "sim/fifo.h"

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

class Engine;

// What happens once at a time. It must have been cancelled, or have happened, before it goes away.
class Event {
 public:
  Event() = default;
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  [[nodiscard]] bool scheduled() const { return place_ != kNowhere; }

 protected:
  ~Event() { BLX_ASSERT(!scheduled()); }

 private:
  friend class Engine;
  static constexpr std::size_t kNowhere = SIZE_MAX;

  virtual void happen() = 0;
  // The time to happen at, where that depends on a machine's clock, which has changed.
  [[nodiscard]] virtual Instant due() const { return at_; }

  Instant at_;
  std::size_t place_ = kNowhere;
  std::uint32_t owner_ = 0;
};

class Engine {
 public:
  enum class Step : std::uint8_t { kRan, kNothingLeft, kPastLimit };

  Engine() = default;
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  ~Engine() { clear(); }

  [[nodiscard]] Instant now() const { return now_; }
  [[nodiscard]] std::uint64_t steps() const { return steps_; }

  // `owner` is the number of the machine it happens on, 0 for the world. A time that has passed
  // counts as now. Precondition: the event is not scheduled.
  void schedule(Event& event, Instant at, std::uint32_t owner);
  void cancel(Event& event);  // fine if it is not scheduled
  void make_ready(std::coroutine_handle<> coroutine, std::uint32_t owner);

  // Asks every event of the owner when it is due now.
  void retime(std::uint32_t owner);

  // Runs the next event or ready coroutine, unless it lies after `limit`.
  Step step(Instant limit);

  // Forgets what has not happened; nothing may be ready.
  void clear();

  [[nodiscard]] Trace& trace() { return trace_; }

 private:
  struct Entry {
    Instant at;
    std::uint64_t sequence = 0;
    Event* event = nullptr;
    [[nodiscard]] bool before(const Entry& other) const {
      return at != other.at ? at < other.at : sequence < other.sequence;
    }
  };
  struct Ready {
    std::uint64_t sequence = 0;
    std::uint32_t owner = 0;
    std::coroutine_handle<> coroutine;
  };

  void put(std::size_t place, Entry entry);
  void rise(std::size_t place, Entry entry);
  void sink(std::size_t place, Entry entry);
  void take_out(std::size_t place);
  void note(std::uint64_t sequence, std::uint32_t owner);

  Instant now_;
  std::uint64_t sequence_ = 0;
  std::uint64_t steps_ = 0;
  std::uint64_t steps_at_this_instant_ = 0;
  std::vector<Entry> events_;  // a heap: children of i are 2i+1 and 2i+2
  Fifo<Ready> ready_;
  Trace trace_;
};

}  // namespace blixard::sim

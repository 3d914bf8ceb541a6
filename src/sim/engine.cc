#include "sim/engine.h"

#include <algorithm>
#include <cstring>

#include "base/assert.h"

namespace blixard::sim {
namespace {

// More than this without time going on is a task that spins: on Linux it would burn a CPU.
constexpr std::uint64_t kStepsPerInstantMax = 20'000'000;
constexpr std::uint64_t kFnvPrime = 0x100000001b3;

}  // namespace

void Trace::mix(std::uint64_t word) {
  // A plain FNV step carries nothing downwards; the shift brings the high bits back.
  hash_ = (hash_ ^ word) * kFnvPrime;
  hash_ ^= hash_ >> 32;
}

void Trace::mix(std::string_view bytes) {
  mix(bytes.size());
  while (!bytes.empty()) {
    std::uint64_t word = 0;
    const std::size_t count = std::min(bytes.size(), sizeof(word));
    std::memcpy(&word, bytes.data(), count);
    mix(word);
    bytes.remove_prefix(count);
  }
}

EventId Engine::schedule(Instant at, std::uint32_t owner, Action action) {
  const EventId id{std::max(at, now_), ++sequence_};
  events_.emplace(id, Event{owner, std::move(action)});
  return id;
}

void Engine::cancel(EventId id) { events_.erase(id); }

void Engine::make_ready(std::coroutine_handle<> coroutine, std::uint32_t owner) {
  ready_.push_back({++sequence_, owner, coroutine});
}

Engine::Step Engine::step(Instant limit) {
  const auto next = events_.begin();
  const bool event_is_first =
      next != events_.end() && (ready_.empty() || (next->first.at == now_ &&
                                                   next->first.sequence < ready_.front().sequence));
  if (!event_is_first) {
    if (ready_.empty()) return Step::kNothingLeft;
    const Ready ready = ready_.front();
    ready_.pop_front();
    note(ready.sequence, ready.owner);
    ready.coroutine.resume();
    return Step::kRan;
  }
  if (next->first.at > limit) {
    now_ = std::max(now_, limit);
    return Step::kPastLimit;
  }
  if (next->first.at > now_) steps_at_this_instant_ = 0;
  now_ = next->first.at;
  auto event = events_.extract(next);
  note(event.key().sequence, event.mapped().owner);
  event.mapped().action();
  return Step::kRan;
}

void Engine::clear() {
  BLX_ASSERT(ready_.empty());
  // An action may own what schedules or cancels while it goes away.
  while (!events_.empty())
    events_.extract(events_.begin());
}

void Engine::note(std::uint64_t sequence, std::uint32_t owner) {
  BLX_ASSERT(++steps_at_this_instant_ < kStepsPerInstantMax);
  trace_.mix(static_cast<std::uint64_t>(now_.since_start.count()));
  trace_.mix(sequence << 16 ^ owner);
}

}  // namespace blixard::sim

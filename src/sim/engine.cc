#include "sim/engine.h"

#include <algorithm>
#include <cstring>

#include "observe/allocations.h"

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
  std::uint64_t word = 0;
  for (; bytes.size() >= sizeof(word); bytes.remove_prefix(sizeof(word))) {
    std::memcpy(&word, bytes.data(), sizeof(word));
    mix(word);
  }
  if (bytes.empty()) return;
  word = 0;
  std::memcpy(&word, bytes.data(), bytes.size());
  mix(word);
}

void Engine::schedule(Event& event, Instant at, std::uint32_t owner) {
  BLX_ASSERT(!event.scheduled());
  event.at_ = std::max(at, now_);
  event.owner_ = owner;
  events_.emplace_back();
  rise(events_.size() - 1, {event.at_, ++sequence_, &event});
}

void Engine::cancel(Event& event) {
  if (event.scheduled()) take_out(event.place_);
}

void Engine::make_ready(std::coroutine_handle<> coroutine, std::uint32_t owner) {
  ready_.push({++sequence_, owner, coroutine});
}

void Engine::retime(std::uint32_t owner) {
  std::vector<Entry> theirs;
  for (const Entry& entry : events_)
    if (entry.event->owner_ == owner) theirs.push_back(entry);
  std::ranges::sort(theirs, [](const Entry& a, const Entry& b) { return a.before(b); });
  for (const Entry& entry : theirs) {
    const Instant due = entry.event->due();
    if (due == entry.at) continue;
    cancel(*entry.event);
    schedule(*entry.event, due, owner);
  }
}

Engine::Step Engine::step(Instant limit) {
  const bool event_is_first =
      !events_.empty() && (ready_.empty() || (events_.front().at == now_ &&
                                              events_.front().sequence < ready_.front().sequence));
  if (!event_is_first) {
    if (ready_.empty()) return Step::kNothingLeft;
    const Ready ready = ready_.pop();
    note(ready.sequence, ready.owner);
    ready.coroutine.resume();
    observe::set_allocation_tag(observe::Subsystem::kOther);
    return Step::kRan;
  }
  const Entry next = events_.front();
  if (next.at > limit) {
    now_ = std::max(now_, limit);
    return Step::kPastLimit;
  }
  if (next.at > now_) steps_at_this_instant_ = 0;
  now_ = next.at;
  take_out(0);
  note(next.sequence, next.event->owner_);
  const observe::AllocationTag tag(observe::Subsystem::kSimulator);
  next.event->happen();
  return Step::kRan;
}

void Engine::clear() {
  BLX_ASSERT(ready_.empty());
  for (const Entry& entry : events_)
    entry.event->place_ = Event::kNowhere;
  events_.clear();
}

void Engine::put(std::size_t place, Entry entry) {
  events_[place] = entry;
  entry.event->place_ = place;
}

void Engine::rise(std::size_t place, Entry entry) {
  while (place > 0) {
    const std::size_t parent = (place - 1) / 2;
    if (!entry.before(events_[parent])) break;
    put(place, events_[parent]);
    place = parent;
  }
  put(place, entry);
}

void Engine::sink(std::size_t place, Entry entry) {
  while (true) {
    std::size_t child = 2 * place + 1;
    if (child >= events_.size()) break;
    if (child + 1 < events_.size() && events_[child + 1].before(events_[child])) ++child;
    if (!events_[child].before(entry)) break;
    put(place, events_[child]);
    place = child;
  }
  put(place, entry);
}

void Engine::take_out(std::size_t place) {
  events_[place].event->place_ = Event::kNowhere;
  const Entry last = events_.back();
  events_.pop_back();
  if (place == events_.size()) return;
  if (place > 0 && last.before(events_[(place - 1) / 2])) {
    rise(place, last);
  } else {
    sink(place, last);
  }
}

void Engine::note(std::uint64_t sequence, std::uint32_t owner) {
  ++steps_;
  BLX_ASSERT(++steps_at_this_instant_ < kStepsPerInstantMax);
  trace_.mix(static_cast<std::uint64_t>(now_.since_start.count()));
  trace_.mix(sequence << 16 ^ owner);
}

}  // namespace blixard::sim

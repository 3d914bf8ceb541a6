#include "node/trace/tracer.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/assert.h"
#include "base/limits.h"

namespace blixard::trace {

ActiveSpan& ActiveSpan::operator=(ActiveSpan&& other) noexcept {
  if (this == &other) return *this;
  end();
  tracer_ = std::exchange(other.tracer_, nullptr);
  begun_ = other.begun_;
  return *this;
}

TraceContext ActiveSpan::context() const {
  if (tracer_ == nullptr) return {};
  return {.trace = begun_->span.trace, .span = begun_->span.id, .sampled = true};
}

void ActiveSpan::began(Instant at) {
  if (tracer_ == nullptr || at > begun_->at) return;
  begun_->span.start_unix_ns -= (begun_->at - at).count();
  begun_->at = at;
}

void ActiveSpan::make_root() {
  if (tracer_ != nullptr) begun_->span.parent = {};
}

void ActiveSpan::fail(const Error& error) {
  if (tracer_ != nullptr) begun_->span.failure = error.reason().data();
}

void ActiveSpan::finish(bool is_recorded) {
  Tracer& tracer = *std::exchange(tracer_, nullptr);
  if (is_recorded) {
    begun_->span.duration = std::max(tracer.clock_.monotonic() - begun_->at, Duration());
    tracer.record(begun_->span);
  }
  begun_->next = tracer.free_;
  tracer.free_ = begun_;
}

Tracer::Tracer(env::Clock& clock, env::Random& random, double sample_ratio)
    : clock_(clock), random_(random.fork("trace")) {
  spans_.reserve(limits::kTraceSpans);
  begun_.reserve(limits::kActiveSpans);
  set_sample_ratio(sample_ratio);
}

void Tracer::set_sample_ratio(double ratio) {
  ratio_ = std::isnan(ratio) ? 0 : std::clamp(ratio, 0.0, 1.0);
  constexpr double kWords = 18446744073709551616.0;  // 2^64
  sampled_below_ = ratio_ >= 1 ? std::numeric_limits<std::uint64_t>::max()
                               : static_cast<std::uint64_t>(ratio_ * kWords);
}

bool Tracer::draw() {
  if (sampled_below_ == 0) return false;
  return ratio_ >= 1 || random_->next() < sampled_below_;
}

std::uint64_t Tracer::draw_id() {
  std::uint64_t id = random_->next();
  while (id == 0)
    id = random_->next();
  return id;
}

ActiveSpan Tracer::begin_request(const std::optional<TraceContext>& remote, const char* name) {
  if (remote) return begin(*remote, name, SpanKind::kServer);
  if (!draw()) return {};
  const observe::TraceId trace{.high = draw_id(), .low = draw_id()};
  return begin_traced({.trace = trace, .span = {}, .sampled = true}, name, SpanKind::kServer);
}

ActiveSpan::Begun* Tracer::take_place() {
  if (free_ != nullptr) return std::exchange(free_, free_->next);
  if (begun_.size() == limits::kActiveSpans) return nullptr;
  return &begun_.emplace_back();
}

ActiveSpan Tracer::begin_traced(const TraceContext& parent, const char* name, SpanKind kind) {
  ActiveSpan active;
  active.begun_ = take_place();
  if (active.begun_ == nullptr) {
    ++refused_;
    return active;
  }
  active.tracer_ = this;
  active.begun_->at = clock_.monotonic();
  observe::Span& span = active.begun_->span;
  span = {};
  span.trace = parent.trace;
  span.id = {draw_id()};
  span.parent = parent.span;
  span.name = name;
  span.kind = kind;
  span.start_unix_ns = unix_ns(active.begun_->at);
  return active;
}

// The wall clock's word is a millisecond wide: true is any offset from `least` to a millisecond
// more. The estimate is moved as little as that demands, so it becomes exact with the readings and
// follows a clock that is set or slewed.
std::int64_t Tracer::unix_ns(Instant at) {
  const Duration least = std::chrono::milliseconds(clock_.wall().unix_ms) - at.since_start;
  const Duration before = wall_ahead_.value_or(least);
  wall_ahead_ = std::clamp<Duration>(before, least, least + 1ms);
  return (at.since_start + *wall_ahead_).count();
}

void Tracer::record(const observe::Span& span) {
  if (spans_.size() < limits::kTraceSpans) {
    spans_.push_back(span);
  } else {
    spans_[recorded_ % limits::kTraceSpans] = span;
  }
  ++recorded_;
}

const observe::Span& Tracer::at(std::uint64_t number) const {
  BLX_ASSERT(number < recorded_ && number >= oldest());
  return spans_[number % limits::kTraceSpans];
}

}  // namespace blixard::trace

#pragma once

// One node's spans: who begins them, and the newest that ended.
//
//   trace::ActiveSpan span = tracer.begin(context, "agent.start");
//   span.set("blixard.vm.name", vm.name);
//   auto done = co_await start(..., span.context());   // what it does are children
//   span.end(done);
//
// Sampling is decided once, where a request enters the cluster: one that comes with a sampled
// `traceparent` is followed always, one with an unsampled never, one with none at the configured
// ratio. Everything below asks the context only, which costs a branch when nothing is recorded.
//
// The spans are kept in a ring of the newest limits::kTraceSpans, whose memory is taken when the
// tracer is made; recording copies into it and allocates nothing. Readers (the API, the exporter)
// follow the ring by sequence number, so that no span is queued anywhere else and an exporter that
// is too slow knows how many it missed.
//
// Ids come from a stream of randomness of their own: tracing more or less shifts nothing else in a
// simulated run.
//
// Spans begin at wall time, whose clock tells milliseconds; how the monotonic clock lies to it is
// estimated from all readings, so that spans of one node are in order.

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "env/clock.h"
#include "env/random.h"
#include "node/trace/traced_vms.h"
#include "observe/trace.h"

namespace blixard::trace {

using observe::SpanKind;
using observe::TraceContext;

class Tracer;

// A span that has begun; it is recorded when it ends, at the latest with this object. One of a
// request that is not sampled does nothing at all. What it says is kept by the tracer, which
// outlives it: a coroutine that may be traced is no larger for it.
class ActiveSpan {
 public:
  ActiveSpan() = default;
  ActiveSpan(ActiveSpan&& other) noexcept : tracer_(std::exchange(other.tracer_, nullptr)) {
    begun_ = other.begun_;
  }
  ActiveSpan& operator=(ActiveSpan&& other) noexcept;
  ~ActiveSpan() { end(); }

  [[nodiscard]] bool is_recorded() const { return tracer_ != nullptr; }
  // The parent of what is done within it; not sampled when this is not recorded.
  [[nodiscard]] TraceContext context() const;

  // `key` must be a string literal.
  template <class Value>
  void set(const char* key, const Value& value) {
    if (tracer_ == nullptr) return;
    if constexpr (std::is_integral_v<Value>) {
      begun_->span.set(key, static_cast<std::int64_t>(value));
    } else {
      begun_->span.set(key, std::string_view(value));
    }
  }
  // It began before anybody knew whether it is traced.
  void began(Instant at);
  // It is the first of its trace: whoever sent the context leaves no span.
  void make_root();
  void fail(const Error& error);

  void end() {
    if (tracer_ != nullptr) finish(true);
  }
  template <class T>
  void end(const Result<T>& result) {
    if (tracer_ == nullptr) return;
    if (!result) fail(result.error());
    finish(true);
  }
  // Nothing is recorded: it was not what it seemed.
  void drop() {
    if (tracer_ != nullptr) finish(false);
  }

 private:
  friend class Tracer;
  struct Begun {
    observe::Span span;
    Instant at;
    Begun* next = nullptr;  // of those that are free
  };

  void finish(bool is_recorded);

  Tracer* tracer_ = nullptr;
  Begun* begun_ = nullptr;
};

class Tracer {
 public:
  Tracer(env::Clock& clock, env::Random& random, double sample_ratio = 0);
  Tracer(const Tracer&) = delete;
  Tracer& operator=(const Tracer&) = delete;

  // Of requests that come without a traceparent; 0 to 1.
  void set_sample_ratio(double ratio);
  [[nodiscard]] double sample_ratio() const { return ratio_; }

  // A request that enters here, with the context it brought, if any.
  ActiveSpan begin_request(const std::optional<TraceContext>& remote, const char* name);

  ActiveSpan begin(const TraceContext& parent, const char* name,
                   SpanKind kind = SpanKind::kInternal) {
    return parent.is_traced() ? begin_traced(parent, name, kind) : ActiveSpan();
  }

  [[nodiscard]] TracedVms& vms() { return vms_; }

  // Spans that were not begun because limits::kActiveSpans are under way.
  [[nodiscard]] std::uint64_t refused() const { return refused_; }

  // The spans that ended have the numbers [oldest(), recorded()).
  [[nodiscard]] std::uint64_t recorded() const { return recorded_; }
  [[nodiscard]] std::uint64_t oldest() const { return recorded_ - spans_.size(); }
  // Valid until the next span ends. Precondition: oldest() <= number < recorded().
  [[nodiscard]] const observe::Span& at(std::uint64_t number) const;

 private:
  friend class ActiveSpan;

  ActiveSpan begin_traced(const TraceContext& parent, const char* name, SpanKind kind);
  [[nodiscard]] bool draw();
  [[nodiscard]] std::uint64_t draw_id();
  std::int64_t unix_ns(Instant at);
  void record(const observe::Span& span);
  ActiveSpan::Begun* take_place();

  env::Clock& clock_;
  std::unique_ptr<env::Random> random_;
  double ratio_ = 0;
  std::uint64_t sampled_below_ = 0;
  std::vector<observe::Span> spans_;  // a ring once it is full
  std::uint64_t recorded_ = 0;
  std::uint64_t refused_ = 0;
  std::vector<ActiveSpan::Begun>
      begun_;  // never grows beyond what it reserved: they are pointed to
  ActiveSpan::Begun* free_ = nullptr;
  TracedVms vms_;
  std::optional<Duration> wall_ahead_;  // of the monotonic clock, as estimated
};

// Where a part may run without a tracer.
inline ActiveSpan begin(Tracer* tracer, const TraceContext& parent, const char* name,
                        SpanKind kind = SpanKind::kInternal) {
  return tracer != nullptr ? tracer->begin(parent, name, kind) : ActiveSpan();
}

}  // namespace blixard::trace

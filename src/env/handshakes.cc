#include "env/handshakes.h"

#include <deque>
#include <optional>
#include <string>

#include "base/limits.h"
#include "env/accept_loop.h"
#include "env/sync.h"

namespace blixard::env {

void HandshakeFailures::add(std::string_view address, const Error& error) {
  ++count_;
  const Instant now = clock_.monotonic();
  if (now < next_line_) return;
  next_line_ = now + limits::kHandshakeLogInterval;
  const std::uint64_t silent = count_ - count_logged_ - 1;
  count_logged_ = count_;
  BLX_LOG(log_, kWarn, "handshake with {} failed: {} ({} more failed since the last such line)",
          address, error.message(), silent);
}

struct HandshakeListener::State {
  struct Ready {
    std::unique_ptr<Stream> stream;
    Places::Place* place;
  };

  State(Executor& executor_of_it, Clock& clock_of_it, Scope& background_of_it,
        std::unique_ptr<Listener> plain_of_it, Handshake handshake_of_it,
        std::shared_ptr<HandshakeFailures> failures_of_it)
      : executor(executor_of_it),
        clock(clock_of_it),
        background(background_of_it),
        plain(std::move(plain_of_it)),
        handshake(std::move(handshake_of_it)),
        failures(std::move(failures_of_it)),
        accepting(clock, failures->log()),
        cancellation(&background.cancellation()),
        changed(executor) {}

  Executor& executor;
  Clock& clock;
  Scope& background;
  std::unique_ptr<Listener> plain;
  Handshake handshake;
  std::shared_ptr<HandshakeFailures> failures;
  AcceptLoop accepting;
  Cancellation cancellation;
  Signal changed;
  Places places{limits::kHandshakesMax};
  std::deque<Ready> ready;
  std::optional<Error> end;  // of the plain listener
  bool closed = false;
};

HandshakeListener::HandshakeListener(Executor& executor, Clock& clock, Scope& background,
                                     std::unique_ptr<Listener> plain, Handshake handshake,
                                     std::shared_ptr<HandshakeFailures> failures)
    : state_(std::make_shared<State>(executor, clock, background, std::move(plain),
                                     std::move(handshake), std::move(failures))) {
  background.spawn(take_all(state_).under(state_->cancellation));
}

Task<void> HandshakeListener::take_all(std::shared_ptr<State> state) {
  const auto end = co_await state->accepting.run(
      *state->plain, [&state](std::unique_ptr<Stream> plain) { take(state, std::move(plain)); });
  if (!end) state->end = end.error();
  state->changed.notify_all();
}

void HandshakeListener::take(const std::shared_ptr<State>& state, std::unique_ptr<Stream> plain) {
  Places::Place* place = state->places.enter(&state->cancellation);
  if (place == nullptr) {  // all wait to be accepted, which nobody does
    state->failures->add(plain->peer().address, Error(Code::kResourceExhausted, "not_accepted"));
    return;
  }
  state->background.spawn(shake(state, std::move(plain), *place).under(state->cancellation));
}

Task<void> HandshakeListener::shake(std::shared_ptr<State> state, std::unique_ptr<Stream> plain,
                                    Places::Place& place) {
  const std::string address = plain->peer().address;
  const Instant deadline = state->clock.monotonic() + limits::kHandshakeTimeout;
  auto secure = co_await with_deadline(state->executor, state->clock, deadline,
                                       state->handshake(std::move(plain)))
                    .under(place.cancellation);
  if (place.displaced) {
    secure = fail(Code::kResourceExhausted, "handshake_displaced", "newer ones needed its place");
  }
  if (secure && !state->closed) {
    place.settled = true;
    state->ready.push_back({std::move(*secure), &place});
    state->changed.notify_all();
    co_return;
  }
  state->places.leave(place);
  if (!secure && !state->closed && secure.error().code() != Code::kCancelled) {
    state->failures->add(address, secure.error());
  }
}

Task<Result<std::unique_ptr<Stream>>> HandshakeListener::accept() { return next(state_); }

Task<Result<std::unique_ptr<Stream>>> HandshakeListener::next(std::shared_ptr<State> state) {
  const Cancellation* cancellation = co_await this_cancellation();
  while (true) {
    if (cancellation != nullptr && cancellation->requested()) {
      co_return fail(Code::kCancelled, "cancelled");
    }
    if (state->closed) co_return fail(Code::kUnavailable, "closed");
    if (!state->ready.empty()) {
      auto [stream, place] = std::move(state->ready.front());
      state->ready.pop_front();
      state->places.leave(*place);
      co_return std::move(stream);
    }
    if (state->end) co_return std::unexpected(*state->end);
    BLX_CO_TRY(co_await state->changed.wait());
  }
}

Endpoint HandshakeListener::local() const { return state_->plain->local(); }

void HandshakeListener::close() {
  if (state_->closed) return;
  state_->closed = true;
  state_->accepting.stop();
  state_->plain->close();
  state_->cancellation.request();
  for (const State::Ready& ready : state_->ready)
    state_->places.leave(*ready.place);
  state_->ready.clear();
  state_->changed.notify_all();
}

}  // namespace blixard::env

#include "env/handshakes.h"

#include <deque>
#include <optional>
#include <string>

#include "base/limits.h"
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
  State(Executor& executor_of_it, Clock& clock_of_it, Scope& background_of_it,
        std::unique_ptr<Listener> plain_of_it, Handshake handshake_of_it,
        std::shared_ptr<HandshakeFailures> failures_of_it)
      : executor(executor_of_it),
        clock(clock_of_it),
        background(background_of_it),
        plain(std::move(plain_of_it)),
        handshake(std::move(handshake_of_it)),
        failures(std::move(failures_of_it)),
        cancellation(&background.cancellation()),
        changed(executor) {}

  [[nodiscard]] bool full() const { return under_way + ready.size() >= limits::kHandshakesMax; }

  Executor& executor;
  Clock& clock;
  Scope& background;
  std::unique_ptr<Listener> plain;
  Handshake handshake;
  std::shared_ptr<HandshakeFailures> failures;
  Cancellation cancellation;
  Signal changed;
  std::deque<std::unique_ptr<Stream>> ready;
  std::size_t under_way = 0;
  std::optional<Error> plain_failure;  // until accept() has reported it
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
  while (!state->closed) {
    if (state->full() || state->plain_failure) {
      if (!co_await state->changed.wait()) co_return;
      continue;
    }
    auto plain = co_await state->plain->accept();
    if (state->closed) co_return;
    if (plain) {
      ++state->under_way;
      state->background.spawn(shake(state, std::move(*plain)).under(state->cancellation));
    } else {
      state->plain_failure = plain.error();
      state->changed.notify_all();
    }
  }
}

Task<void> HandshakeListener::shake(std::shared_ptr<State> state, std::unique_ptr<Stream> plain) {
  const std::string address = plain->peer().address;
  const Instant deadline = state->clock.monotonic() + limits::kHandshakeTimeout;
  auto secure = co_await with_deadline(state->executor, state->clock, deadline,
                                       state->handshake(std::move(plain)));
  --state->under_way;
  if (!state->closed) {
    if (secure) {
      state->ready.push_back(std::move(*secure));
    } else if (secure.error().code() != Code::kCancelled) {  // by ourselves, who stop
      state->failures->add(address, secure.error());
    }
  }
  state->changed.notify_all();
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
      std::unique_ptr<Stream> stream = std::move(state->ready.front());
      state->ready.pop_front();
      state->changed.notify_all();
      co_return std::move(stream);
    }
    if (state->plain_failure) {
      Error failure = *std::exchange(state->plain_failure, std::nullopt);
      state->changed.notify_all();
      co_return std::unexpected(std::move(failure));
    }
    BLX_CO_TRY(co_await state->changed.wait());
  }
}

Endpoint HandshakeListener::local() const { return state_->plain->local(); }

void HandshakeListener::close() {
  if (state_->closed) return;
  state_->closed = true;
  state_->plain->close();
  state_->cancellation.request();
  state_->ready.clear();
  state_->changed.notify_all();
}

}  // namespace blixard::env

#pragma once

// The accepting half of a secure transport, on both sides of the seam: a Listener that takes plain
// streams, runs a handshake on each and hands out those that pass.
//
// Handshakes run in the background, many at a time, so a client that connects and says nothing
// holds up nobody. At most limits::kHandshakesMax are under way or wait to be accepted; for one
// more the oldest that is under way is dropped, so that however many keep silent, the next is
// heard. One that fails or is dropped is counted; at most one line a second is logged about them.

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

#include "env/clock.h"
#include "env/network.h"
#include "env/places.h"
#include "env/scope.h"
#include "observe/log.h"

namespace blixard::env {

// What the listeners of one transport share.
class HandshakeFailures {
 public:
  HandshakeFailures(Clock& clock, observe::LogSink& log) : clock_(clock), log_(log) {}

  void add(std::string_view address, const Error& error);
  [[nodiscard]] std::uint64_t count() const { return count_; }
  [[nodiscard]] observe::LogSink& log() { return log_; }

 private:
  Clock& clock_;
  observe::LogSink& log_;
  std::uint64_t count_ = 0;
  std::uint64_t count_logged_ = 0;
  Instant next_line_;
};

class HandshakeListener final : public Listener {
 public:
  // Must own what it uses: it may run on after the listener is gone, until it finds itself
  // cancelled.
  using Handshake = std::function<Task<Result<std::unique_ptr<Stream>>>(std::unique_ptr<Stream>)>;

  // `background` outlives the listener and is joined by its owner.
  HandshakeListener(Executor& executor, Clock& clock, Scope& background,
                    std::unique_ptr<Listener> plain, Handshake handshake,
                    std::shared_ptr<HandshakeFailures> failures);
  HandshakeListener(const HandshakeListener&) = delete;
  HandshakeListener& operator=(const HandshakeListener&) = delete;
  ~HandshakeListener() override { close(); }

  Task<Result<std::unique_ptr<Stream>>> accept() override;
  [[nodiscard]] Endpoint local() const override;
  void close() override;

 private:
  struct State;
  static Task<void> take_all(std::shared_ptr<State> state);
  static void take(const std::shared_ptr<State>& state, std::unique_ptr<Stream> plain);
  static Task<void> shake(std::shared_ptr<State> state, std::unique_ptr<Stream> plain,
                          Places::Place& place);
  static Task<Result<std::unique_ptr<Stream>>> next(std::shared_ptr<State> state);

  std::shared_ptr<State> state_;
};

}  // namespace blixard::env

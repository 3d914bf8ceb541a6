#pragma once

// Taking connections from listeners until told to stop: the one loop that does, for servers of
// every kind.
//
// It ends by stop(), by cancellation, and when its listener is closed; never because one connection
// could not be taken. What keeps it from taking any (no free file descriptor) passes when others
// end, so it pauses and tries again, without spinning; at most one line per
// limits::kAcceptLogInterval is logged about it.

#include <functional>
#include <memory>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "env/clock.h"
#include "env/network.h"
#include "env/task.h"
#include "observe/log.h"

namespace blixard::env {

class AcceptLoop {
 public:
  // Spawns what serves the stream, or drops it, which closes it. Must not wait.
  using Take = std::function<void(std::unique_ptr<Stream>)>;

  AcceptLoop(Clock& clock, observe::LogSink& log) : clock_(clock), log_(log) {}
  AcceptLoop(const AcceptLoop&) = delete;
  AcceptLoop& operator=(const AcceptLoop&) = delete;
  ~AcceptLoop();

  // Once for each listener, beside each other; the listener is closed when it returns. Errors
  // unless it was stopped: kCancelled; kUnavailable when the listener was closed.
  Task<Result<void>> run(Listener& listener, Take take);

  // For good.
  void stop();
  [[nodiscard]] bool stopped() const { return stopped_; }

 private:
  void tell(const Listener& listener, const Error& error);

  Clock& clock_;
  observe::LogSink& log_;
  std::vector<Listener*> listeners_;  // in the order of run()
  bool stopped_ = false;
  Instant next_line_;
};

}  // namespace blixard::env

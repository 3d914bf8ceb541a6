#include "env/accept_loop.h"

#include <utility>

#include "base/limits.h"
#include "observe/failpoint.h"

namespace blixard::env {

AcceptLoop::~AcceptLoop() { BLX_ASSERT(listeners_.empty()); }

Task<Result<void>> AcceptLoop::run(Listener& listener, Take take) {
  listeners_.push_back(&listener);
  Result<void> end;
  while (end && !stopped_) {
    auto stream = co_await listener.accept();
    if (stopped_) break;
    if (auto error = BLX_FAILPOINT_ERROR("system::too_many_files", kResourceExhausted,
                                         "too_many_open_files")) {
      stream = std::unexpected(*std::move(error));
    }
    if (stream) {
      take(std::move(*stream));
    } else if (stream.error().code() == Code::kCancelled ||
               stream.error().code() == Code::kUnavailable) {
      end = std::unexpected(stream.error());
    } else {
      tell(listener, stream.error());
      end = co_await clock_.sleep(limits::kAcceptPause);
    }
  }
  std::erase(listeners_, &listener);
  listener.close();
  co_return stopped_ ? Result<void>() : end;
}

void AcceptLoop::stop() {
  stopped_ = true;
  for (Listener* listener : listeners_)
    listener->close();
}

void AcceptLoop::tell(const Listener& listener, const Error& error) {
  const Instant now = clock_.monotonic();
  if (now < next_line_) return;
  next_line_ = now + limits::kAcceptLogInterval;
  BLX_LOG(log_, kWarn, "cannot accept on {}: {}; trying again until it passes",
          listener.local().text(), error.message());
}

}  // namespace blixard::env

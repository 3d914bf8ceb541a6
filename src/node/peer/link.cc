#include "node/peer/link.h"

#include <utility>

#include "base/assert.h"

namespace blixard::peer {

namespace {

constexpr std::uint32_t kFramesPerTurn = 64;

}  // namespace

Link::Link(env::Env env, std::unique_ptr<env::Stream> stream, Traffic& traffic)
    : env_(env),
      stream_(std::move(stream)),
      traffic_(traffic),
      reader_(*stream_),
      queued_(env.executor),
      last_received_(env.clock.monotonic()) {}

bool Link::send(wire::Message message) {
  const Urgency urgency = urgency_of(message.content);
  if (ended() || finishing_ || !queue_.push(std::move(message), env_.clock.monotonic())) {
    ++traffic_.dropped[static_cast<std::size_t>(urgency)];
    return false;
  }
  queued_.notify_all();
  return true;
}

env::Task<Result<wire::Message>> Link::receive() {
  if (++since_turn_ >= kFramesPerTurn) {
    since_turn_ = 0;
    co_await env::Turn{env_.executor};
  }
  auto message = co_await reader_.next();
  traffic_.bytes_received += reader_.bytes() - std::exchange(bytes_read_, reader_.bytes());
  traffic_.bytes_received_copied +=
      reader_.bytes_copied() - std::exchange(bytes_read_copied_, reader_.bytes_copied());
  // What was read ahead of the end is not of a connection any more.
  if (ended()) co_return std::unexpected(*why_);
  if (message) {
    ++traffic_.frames_received;
    last_received_ = env_.clock.monotonic();
  } else if (is_violation(message.error())) {
    ++traffic_.violations;
  }
  co_return std::move(message);
}

env::Task<void> Link::write_loop() {
  while (!ended()) {
    if (queue_.empty()) {
      if (finishing_ || !co_await queued_.wait()) co_return;
      continue;
    }
    writer_.clear();
    held_.clear();
    queue_.take(writer_, held_, traffic_.dropped);
    if (writer_.frames() == 0) continue;
    const auto written = co_await stream_->write(writer_.parts());
    if (!written) {
      end(written.error());
      co_return;
    }
    count_write();
  }
}

void Link::count_write() {
  ++traffic_.writes;
  traffic_.frames_sent += writer_.frames();
  traffic_.bytes_sent += writer_.bytes();
  traffic_.bytes_sent_copied +=
      stream_->bytes_joined() - std::exchange(bytes_joined_, stream_->bytes_joined());
}

env::Task<Result<void>> Link::write_now(wire::Message message, Duration limit) {
  writer_.clear();
  if (!wire::encode_message(message, writer_)) {
    co_return fail(Code::kResourceExhausted, "frame_too_large");
  }
  const auto written = co_await env::with_deadline(
      env_.executor, env_.clock, env_.clock.monotonic() + limit, stream_->write(writer_.parts()));
  if (written) count_write();
  co_return written;
}

void Link::finish() {
  finishing_ = true;
  queued_.notify_all();
}

void Link::end(Error why) {
  if (ended()) return;
  why_ = std::move(why);
  stream_->close();
  queued_.notify_all();
}

}  // namespace blixard::peer

#pragma once

// One connection: its stream, the frames that come and those that wait to go. Both directions of
// the pool are made of it (outbound.h, inbound.h); who dialled decides what the frames mean.
//
// Belongs to one coroutine, which runs write_loop() beside its reading and waits for both before
// the link's end. What ends a link first is remembered as its reason.

#include <coroutine>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "core/wire/frame.h"
#include "core/wire/message.h"
#include "env/env.h"
#include "env/network.h"
#include "env/sync.h"
#include "env/task.h"
#include "node/peer/frame_reader.h"
#include "node/peer/peers.h"
#include "node/peer/send_queue.h"

namespace blixard::peer {

class Link {
 public:
  Link(env::Env env, std::unique_ptr<env::Stream> stream, Traffic& traffic);
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  // False: the queue is full or the link is ending; the message is dropped and counted.
  bool send(wire::Message message);

  // The next frame, with turns for others in between.
  env::Task<Result<wire::Message>> receive();

  // Writes what is queued, many frames at a time, until the link ends.
  env::Task<void> write_loop();

  // Writes one frame now, within `limit`. Only while write_loop() does not run.
  env::Task<Result<void>> write_now(wire::Message message, Duration limit);

  // Nothing more is taken; what is queued is still written. The stream ends when the other side
  // ends it: ending it here could reset it before the last frame was read there.
  void finish();
  // Ends it now. The first reason stays.
  void end(Error why);

  [[nodiscard]] bool ended() const { return why_.has_value(); }
  [[nodiscard]] const std::optional<Error>& why() const { return why_; }
  [[nodiscard]] const SendQueue& queue() const { return queue_; }
  [[nodiscard]] const env::PeerIdentity& peer() const { return stream_->peer(); }
  [[nodiscard]] Instant last_received() const { return last_received_; }

 private:
  void count_write();

  env::Env env_;
  std::unique_ptr<env::Stream> stream_;
  Traffic& traffic_;
  FrameReader reader_;
  SendQueue queue_;
  env::Signal queued_;
  wire::FrameWriter writer_;
  std::vector<wire::Message> held_;  // by the write under way
  bool finishing_ = false;
  std::optional<Error> why_;
  Instant last_received_;
  std::uint32_t since_turn_ = 0;
  std::uint64_t bytes_read_ = 0;
  std::uint64_t bytes_read_copied_ = 0;
  std::uint64_t bytes_joined_ = 0;
};

}  // namespace blixard::peer

#pragma once

// Frames out of a stream. Headers and bodies are read ahead into one buffer that is used again; a
// tail gets a buffer of its own, which the payloads of the message then share. So a message without
// a tail allocates nothing here, and many small ones cost one read.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/limits.h"
#include "base/result.h"
#include "core/wire/frame.h"
#include "core/wire/message.h"
#include "env/network.h"
#include "env/task.h"

namespace blixard::peer {

class FrameReader {
 public:
  explicit FrameReader(env::Stream& stream, std::size_t tail_max = limits::kFrameTailBytes);

  // After an error the stream is of no further use. Errors: kUnavailable "peer_closed" and the
  // stream's; of what was read, those of decode_frame_header() and decode_message().
  env::Task<Result<wire::Message>> next();

  [[nodiscard]] std::uint64_t frames() const { return frames_; }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
  // Of those, moved in memory: what was read ahead of its place.
  [[nodiscard]] std::uint64_t bytes_copied() const { return bytes_copied_; }

 private:
  env::Task<Result<void>> fill(std::size_t count);  // until so many bytes are unread
  env::Task<Result<Payload>> read_tail(std::string_view first, std::size_t bytes);
  [[nodiscard]] std::size_t unread() const { return end_ - begin_; }

  env::Stream& stream_;
  std::size_t tail_max_;
  std::string buffer_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  std::uint64_t frames_ = 0;
  std::uint64_t bytes_ = 0;
  std::uint64_t bytes_copied_ = 0;
};

// Is that the error of what a peer sent, rather than of the connection?
[[nodiscard]] bool is_violation(const Error& error);

}  // namespace blixard::peer

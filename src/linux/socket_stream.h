#pragma once

// A connected socket as a Stream. Small writes go to the kernel at once, on the caller's stack;
// only when its buffer is full does a writer wait for the event loop.

#include <memory>
#include <span>
#include <string_view>

#include <boost/asio/generic/stream_protocol.hpp>

#include "env/network.h"
#include "linux/descriptor.h"
#include "linux/event_loop.h"

namespace blixard::linux_side {

class SocketStream final : public env::Stream {
 public:
  using Socket = asio::generic::stream_protocol::socket;

  SocketStream(Loop& loop, Socket socket, env::PeerIdentity peer)
      : loop_(loop), socket_(std::move(socket)), peer_(std::move(peer)) {}

  env::Task<Result<std::size_t>> read_some(std::span<char> buffer) override;
  env::Task<Result<void>> write(std::span<const std::string_view> parts) override;
  env::Task<Result<void>> write_with(std::string_view bytes,
                                     std::unique_ptr<env::Stream> handed) override;
  void close() override;
  [[nodiscard]] const env::PeerIdentity& peer() const override { return peer_; }

  // What the kernel takes without waiting; the rest is dropped. For last words before close().
  // Nothing while a write() is under way.
  void write_last(std::string_view bytes);

 private:
  [[nodiscard]] Error failure(const ErrorCode& error, std::string_view operation) const;
  [[nodiscard]] std::unexpected<Error> fail_with(int error) const;
  env::Task<Result<void>> write_parts(std::span<const std::string_view> parts);
  [[nodiscard]] bool is_local() const;
  // The descriptor goes with the first byte; how many went is the answer.
  env::Task<Result<std::size_t>> send_with(std::string_view bytes, int descriptor);
  ssize_t send(std::span<const std::string_view> parts, std::size_t first_done);

  Loop& loop_;
  Socket socket_;
  env::PeerIdentity peer_;
  bool reading_ = false;
  bool writing_ = false;
  unsigned inline_writes_ = 0;
};

// Takes over a connected socket.
Result<std::unique_ptr<SocketStream>> make_stream(Loop& loop, Fd fd, int family);

}  // namespace blixard::linux_side

#include "linux/socket_stream.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "linux/stream_socket.h"
#include "linux/system_error.h"

namespace blixard::linux_side {
namespace {

constexpr std::size_t kVectors = 64;
constexpr unsigned kInlineWritesMax = 32;

std::unexpected<Error> closed() { return fail(Code::kUnavailable, "closed"); }

}  // namespace

env::Task<Result<std::size_t>> SocketStream::read_some(std::span<char> buffer) {
  BLX_ASSERT(!buffer.empty() && !reading_);
  if (!socket_.is_open()) co_return closed();
  reading_ = true;
  Operation<std::size_t> operation(loop_);
  socket_.async_receive(
      asio::buffer(buffer.data(), buffer.size()),
      operation.handler([this](const ErrorCode& error, std::size_t count) -> Result<std::size_t> {
        if (error == asio::error::eof) return 0;
        if (error) return std::unexpected(failure(error, "read from"));
        return count;
      }));
  Result<std::size_t> result = co_await operation;
  reading_ = false;
  co_return std::move(result);
}

env::Task<Result<void>> SocketStream::write(std::span<const std::string_view> parts) {
  BLX_ASSERT(!writing_);
  writing_ = true;
  Result<void> result = co_await write_parts(parts);
  writing_ = false;
  co_return std::move(result);
}

env::Task<Result<void>> SocketStream::write_with(std::string_view bytes,
                                                 std::unique_ptr<env::Stream> handed) {
  BLX_ASSERT(!writing_ && !bytes.empty());
  auto* ours = dynamic_cast<SocketStream*>(handed.get());
  if (ours == nullptr || !ours->is_local() || !is_local()) {
    co_return co_await env::Stream::write_with(bytes, std::move(handed));
  }
  writing_ = true;
  const Result<std::size_t> begun = co_await send_with(bytes, ours->socket_.native_handle());
  Result<void> result;
  if (begun) {
    const std::string_view rest = bytes.substr(*begun);
    result = co_await write_parts({&rest, 1});
  } else {
    result = std::unexpected(begun.error());
  }
  writing_ = false;
  co_return std::move(result);
}

bool SocketStream::is_local() const { return socket_.is_open() && peer_.uid >= 0; }

void SocketStream::close() {
  ErrorCode ignored;
  socket_.shutdown(Socket::shutdown_both, ignored);  // NOLINT(bugprone-unused-return-value)
  socket_.close(ignored);                            // NOLINT(bugprone-unused-return-value)
}

void SocketStream::write_last(std::string_view bytes) {
  if (writing_ || bytes.empty() || !socket_.is_open()) return;
  (void)send({&bytes, 1}, 0);
}

Error SocketStream::failure(const ErrorCode& error, std::string_view operation) const {
  if (error != asio::error::operation_aborted) {
    return socket_error(error.value(), operation, peer_.address);
  }
  if (!socket_.is_open()) return {Code::kUnavailable, "closed"};
  return {Code::kCancelled, "cancelled"};
}

env::Task<Result<void>> SocketStream::write_parts(std::span<const std::string_view> parts) {
  std::size_t part = 0;
  std::size_t part_done = 0;
  while (true) {
    while (part < parts.size() && part_done == parts[part].size()) {
      ++part;
      part_done = 0;
    }
    if (part == parts.size()) co_return Result<void>();
    const env::Cancellation* cancellation = co_await env::this_cancellation();
    if (cancellation != nullptr && cancellation->requested()) {
      co_return fail(Code::kCancelled, "cancelled");
    }
    if (!socket_.is_open()) co_return closed();
    const ssize_t count = send(parts.subspan(part), part_done);
    if (count < 0) {
      const int error = errno;
      if (error != EAGAIN) co_return fail_with(error);
      Result<void> ready = co_await wait_ready(loop_, socket_, Socket::wait_write);
      if (!ready) co_return socket_.is_open() ? std::move(ready) : closed();
      continue;
    }
    std::size_t left = static_cast<std::size_t>(count);
    while (left > 0) {
      const std::size_t step = std::min(left, parts[part].size() - part_done);
      part_done += step;
      left -= step;
      if (part_done < parts[part].size()) break;
      ++part;
      part_done = 0;
    }
    // A fast reader would otherwise let a busy writer keep the loop to itself.
    if (++inline_writes_ % kInlineWritesMax == 0) co_await env::Turn{loop_};
  }
}

env::Task<Result<std::size_t>> SocketStream::send_with(std::string_view bytes, int descriptor) {
  while (true) {
    if (!socket_.is_open()) co_return closed();
    iovec vector{const_cast<char*>(bytes.data()), bytes.size()};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof descriptor);
    std::memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
    const ssize_t count = retry_interrupted(
        [&] { return sendmsg(socket_.native_handle(), &message, MSG_NOSIGNAL | MSG_DONTWAIT); });
    if (count >= 0) co_return static_cast<std::size_t>(count);
    const int error = errno;
    if (error != EAGAIN) co_return fail_with(error);
    const Result<void> ready = co_await wait_ready(loop_, socket_, Socket::wait_write);
    if (!ready) co_return socket_.is_open() ? std::unexpected(ready.error()) : closed();
  }
}

std::unexpected<Error> SocketStream::fail_with(int error) const {
  return std::unexpected(socket_error(error, "write to", peer_.address));
}

ssize_t SocketStream::send(std::span<const std::string_view> parts, std::size_t first_done) {
  std::array<iovec, kVectors> vectors{};
  std::size_t used = 0;
  for (const std::string_view part : parts) {
    if (used == vectors.size()) break;
    const auto rest = part.substr(used == 0 ? first_done : 0);
    vectors[used++] = {const_cast<char*>(rest.data()), rest.size()};
  }
  msghdr message{};
  message.msg_iov = vectors.data();
  message.msg_iovlen = used;
  return retry_interrupted(
      [&] { return sendmsg(socket_.native_handle(), &message, MSG_NOSIGNAL | MSG_DONTWAIT); });
}

Result<std::unique_ptr<SocketStream>> make_stream(Loop& loop, Fd fd, int family) {
  env::PeerIdentity peer = peer_of(fd.get());
  if (family != AF_UNIX) tune_tcp(fd.get());
  SocketStream::Socket socket(loop.io());
  ErrorCode error;
  socket.assign(asio::generic::stream_protocol(family, 0), fd.get(), error);
  if (error) return std::unexpected(socket_error(error.value(), "watch", peer.address));
  (void)fd.release();  // the socket closes it
  return std::make_unique<SocketStream>(loop, std::move(socket), std::move(peer));
}

}  // namespace blixard::linux_side

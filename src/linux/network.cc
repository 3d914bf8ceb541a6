#include "linux/network.h"

#include <sys/stat.h>

#include <array>

#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include "env/sync.h"
#include "linux/clock.h"
#include "linux/event_loop.h"
#include "linux/stream_socket.h"
#include "linux/system_error.h"

namespace blixard::linux_side {
namespace {

using Socket = asio::generic::stream_protocol::socket;
using Descriptor = asio::posix::stream_descriptor;

constexpr Duration kShortageDelay = 100ms;  // before accepting again without free descriptors
constexpr Duration kFullBacklogDelay = 5ms;
constexpr std::size_t kVectors = 64;
constexpr unsigned kInlineWritesMax = 32;

std::unexpected<Error> closed() { return fail(Code::kUnavailable, "closed"); }

class Stream final : public env::Stream {
 public:
  Stream(Loop& loop, Socket socket, env::PeerIdentity peer)
      : loop_(loop), socket_(std::move(socket)), peer_(std::move(peer)) {}

  env::Task<Result<std::size_t>> read_some(std::span<char> buffer) override {
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

  env::Task<Result<void>> write(std::span<const std::string_view> parts) override {
    BLX_ASSERT(!writing_);
    writing_ = true;
    Result<void> result = co_await write_parts(parts);
    writing_ = false;
    co_return std::move(result);
  }

  void close() override {
    ErrorCode ignored;
    socket_.shutdown(Socket::shutdown_both, ignored);  // NOLINT(bugprone-unused-return-value)
    socket_.close(ignored);                            // NOLINT(bugprone-unused-return-value)
  }

  [[nodiscard]] const env::PeerIdentity& peer() const override { return peer_; }

 private:
  Error failure(const ErrorCode& error, std::string_view operation) const {
    if (error != asio::error::operation_aborted) {
      return socket_error(error.value(), operation, peer_.address);
    }
    if (!socket_.is_open()) return {Code::kUnavailable, "closed"};
    return {Code::kCancelled, "cancelled"};
  }

  env::Task<Result<void>> write_parts(std::span<const std::string_view> parts) {
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
      if (++inline_writes_ % kInlineWritesMax == 0) co_await Yield{loop_};
    }
  }

  std::unexpected<Error> fail_with(int error) const {
    return std::unexpected(socket_error(error, "write to", peer_.address));
  }

  ssize_t send(std::span<const std::string_view> parts, std::size_t first_done) {
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

  Loop& loop_;
  Socket socket_;
  env::PeerIdentity peer_;
  bool reading_ = false;
  bool writing_ = false;
  unsigned inline_writes_ = 0;
};

Result<std::unique_ptr<env::Stream>> make_stream(Loop& loop, Fd fd, int family) {
  env::PeerIdentity peer = peer_of(fd.get());
  if (family != AF_UNIX) tune_tcp(fd.get());
  Socket socket(loop.io());
  ErrorCode error;
  socket.assign(asio::generic::stream_protocol(family, 0), fd.get(), error);
  if (error) return std::unexpected(socket_error(error.value(), "watch", peer.address));
  (void)fd.release();  // the socket closes it
  return std::make_unique<Stream>(loop, std::move(socket), std::move(peer));
}

class Listener final : public env::Listener {
 public:
  Listener(Loop& loop, Clock& clock, observe::LogSink& log, Descriptor socket,
           env::Endpoint endpoint)
      : loop_(loop),
        clock_(clock),
        log_(log),
        socket_(std::move(socket)),
        family_(endpoint.kind == env::Endpoint::Kind::kUnix ? AF_UNIX : AF_INET),
        local_(std::move(endpoint)) {
    if (family_ != AF_UNIX) {
      local_ = local_endpoint(socket_.native_handle());
    } else if (struct stat status{}; lstat(local_.host.c_str(), &status) == 0) {
      file_ = {status.st_dev, status.st_ino};
    }
  }
  ~Listener() override { remove(); }

  env::Task<Result<std::unique_ptr<env::Stream>>> accept() override {
    while (true) {
      const env::Cancellation* cancellation = co_await env::this_cancellation();
      if (cancellation != nullptr && cancellation->requested()) {
        co_return fail(Code::kCancelled, "cancelled");
      }
      if (!socket_.is_open()) co_return closed();
      Fd fd(retry_interrupted([this] {
        return accept4(socket_.native_handle(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      }));
      if (fd) {
        // Each connection costs its caller work; the others get their turn between two.
        co_await Yield{loop_};
        co_return make_stream(loop_, std::move(fd), family_);
      }
      BLX_CO_TRY(co_await pause_after(errno));
    }
  }

  [[nodiscard]] env::Endpoint local() const override { return local_; }
  void close() override { remove(); }

 private:
  struct FileIdentity {
    dev_t device = 0;
    ino_t inode = 0;
    friend bool operator==(const FileIdentity&, const FileIdentity&) = default;
  };

  // After a failed accept. Success: try again.
  env::Task<Result<void>> pause_after(int error) {
    if (error == EAGAIN) {
      Result<void> ready = co_await wait_ready(loop_, socket_, Descriptor::wait_read);
      if (!ready && !socket_.is_open()) co_return closed();
      co_return std::move(ready);
    }
    const bool is_shortage =
        error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
    if (is_shortage) {
      if (!std::exchange(shortage_logged_, true)) {
        BLX_LOG(log_, kWarn, "cannot accept on {}: {}; trying again until it passes", local_.text(),
                error_text(error));
      }
      co_return co_await clock_.sleep(kShortageDelay);
    }
    // Anything else is the fault of that one connection, which is gone.
    co_await Yield{loop_};
    co_return Result<void>();
  }

  void remove() {
    if (!socket_.is_open()) return;
    ErrorCode ignored;
    socket_.close(ignored);  // NOLINT(bugprone-unused-return-value)
    if (family_ != AF_UNIX) return;
    // Not the socket of somebody who took our place.
    struct stat status{};
    const char* path = local_.host.c_str();
    if (lstat(path, &status) == 0 && FileIdentity{status.st_dev, status.st_ino} == file_) {
      (void)unlink(path);
    }
  }

  Loop& loop_;
  Clock& clock_;
  observe::LogSink& log_;
  Descriptor socket_;
  int family_;
  env::Endpoint local_;
  FileIdentity file_;
  bool shortage_logged_ = false;
};

// A dial of a free port of this host may be given that very port as its own and meet itself.
bool met_itself(int socket) {
  SocketAddress own;
  SocketAddress peer;
  own.size = peer.size = sizeof own.storage;
  if (getsockname(socket, &own.any, &own.size) != 0) return false;
  if (getpeername(socket, &peer.any, &peer.size) != 0) return false;
  return own.family() != AF_UNIX && to_endpoint(own) == to_endpoint(peer);
}

}  // namespace

env::Task<Result<std::unique_ptr<env::Listener>>> Network::listen(env::Endpoint endpoint) {
  // Inline: of the file system only the socket's own name is touched.
  BLX_CO_TRY(Fd fd, open_listener(endpoint));
  Descriptor socket(loop_.io());
  ErrorCode error;
  socket.assign(fd.get(), error);
  if (error) co_return std::unexpected(socket_error(error.value(), "watch", endpoint.text()));
  (void)fd.release();  // the descriptor closes it
  co_return std::make_unique<Listener>(loop_, clock_, log_, std::move(socket), std::move(endpoint));
}

env::Task<Result<std::unique_ptr<env::Stream>>> Network::dial(env::Endpoint endpoint,
                                                              Instant deadline) {
  std::string text = endpoint.text();
  auto result = co_await env::with_deadline(loop_, clock_, deadline, connect(std::move(endpoint)));
  if (!result && result.error().code() == Code::kDeadlineExceeded) {
    co_return fail(Code::kDeadlineExceeded, "connect_timed_out", std::move(text));
  }
  co_return std::move(result);
}

env::Task<Result<std::unique_ptr<env::Stream>>> Network::connect(env::Endpoint endpoint) {
  const std::string text = endpoint.text();
  BLX_CO_TRY(const SocketAddress address, to_socket_address(endpoint));
  BLX_CO_TRY(Fd fd, make_socket(address.family(), text));
  int error = 0;
  while (::connect(fd.get(), &address.any, address.size) != 0) {
    error = errno;
    if (error != EAGAIN) break;
    error = 0;  // the backlog of a unix socket is full
    BLX_CO_TRY(co_await clock_.sleep(kFullBacklogDelay));
  }
  if (error == EINPROGRESS || error == EINTR) {
    Socket socket(loop_.io());
    ErrorCode ignored;
    socket.assign(asio::generic::stream_protocol(address.family(), 0), fd.get(), ignored);
    if (ignored) co_return std::unexpected(socket_error(ignored.value(), "watch", text));
    Result<void> ready = co_await wait_ready(loop_, socket, Socket::wait_write);
    (void)socket.release(ignored);
    BLX_CO_TRY(std::move(ready));
    socklen_t size = sizeof error;
    if (getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
  }
  if (error == 0 && met_itself(fd.get())) error = ECONNREFUSED;
  if (error != 0) co_return std::unexpected(socket_error(error, "connect to", text));
  co_return make_stream(loop_, std::move(fd), address.family());
}

}  // namespace blixard::linux_side

#include "linux/network.h"

#include <sys/stat.h>

#include <array>

#include <boost/asio/posix/stream_descriptor.hpp>

#include "env/sync.h"
#include "linux/clock.h"
#include "linux/event_loop.h"
#include "linux/socket_stream.h"
#include "linux/stream_socket.h"
#include "linux/system_error.h"

namespace blixard::linux_side {
namespace {

using Socket = SocketStream::Socket;
using Descriptor = asio::posix::stream_descriptor;

constexpr Duration kFullBacklogDelay = 5ms;

std::unexpected<Error> closed() { return fail(Code::kUnavailable, "closed"); }

// Of accept(): it failed before it was taken, and is gone.
bool is_of_one_connection(int error) {
  switch (error) {
    case ECONNABORTED:
    case EPERM:  // a firewall's
    case EPROTO:
    case ENOPROTOOPT:
    case EOPNOTSUPP:
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENONET:
      return true;
    default:
      return false;
  }
}

// Not kUnavailable whatever it is: the socket is still there.
std::unexpected<Error> cannot_accept(int error) {
  const bool is_shortage = socket_error(error, "accept", "").code() == Code::kResourceExhausted;
  return fail(is_shortage ? Code::kResourceExhausted : Code::kInternal,
              is_shortage ? "too_many_open_files" : "accept_failed",
              std::string(error_text(error)));
}

class Listener final : public env::Listener {
 public:
  Listener(Loop& loop, Descriptor socket, env::Endpoint endpoint)
      : loop_(loop),
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
      const int error = fd ? 0 : errno;
      // Each connection costs its caller work; the others get their turn between two.
      if (fd || is_of_one_connection(error)) co_await env::Turn{loop_};
      if (fd) co_return make_stream(loop_, std::move(fd), family_);
      if (error == EAGAIN) {
        Result<void> ready = co_await wait_ready(loop_, socket_, Descriptor::wait_read);
        if (!ready && !socket_.is_open()) co_return closed();
        BLX_CO_TRY(std::move(ready));
      } else if (!is_of_one_connection(error)) {
        co_return cannot_accept(error);
      }
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
  Descriptor socket_;
  int family_;
  env::Endpoint local_;
  FileIdentity file_;
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
  co_return std::make_unique<Listener>(loop_, std::move(socket), std::move(endpoint));
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

env::Task<Result<env::StreamPair>> Network::pair() {
  std::array<int, 2> sockets{};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sockets.data()) != 0) {
    co_return std::unexpected(socket_error(errno, "open socket for", "a pair"));
  }
  Fd ours(sockets[0]);
  Fd theirs(sockets[1]);
  env::StreamPair pair;
  BLX_CO_TRY(pair.ours, make_stream(loop_, std::move(ours), AF_UNIX));
  BLX_CO_TRY(pair.theirs, make_stream(loop_, std::move(theirs), AF_UNIX));
  co_return std::move(pair);
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

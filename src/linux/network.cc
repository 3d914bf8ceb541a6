#include "linux/network.h"

#include <sys/stat.h>

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

constexpr Duration kShortageDelay = 100ms;  // before accepting again without free descriptors
constexpr Duration kFullBacklogDelay = 5ms;

std::unexpected<Error> closed() { return fail(Code::kUnavailable, "closed"); }

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

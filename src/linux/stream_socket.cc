#include "linux/stream_socket.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/stat.h>

#include <array>
#include <cstddef>
#include <cstring>

#include "linux/system_error.h"

namespace blixard::linux_side {
namespace {

constexpr int kBacklog = 1024;

std::unexpected<Error> socket_failure(std::string_view operation, std::string_view address) {
  return std::unexpected(socket_error(errno, operation, address));
}

Result<SocketAddress> to_unix_address(const std::string& path) {
  SocketAddress address;
  if (path.empty() || path.size() >= sizeof address.local.sun_path ||
      path.find('\0') != std::string::npos) {
    return fail(Code::kInvalidArgument, "address_invalid",
                "the path of a unix socket has 1 to " +
                    std::to_string(sizeof address.local.sun_path - 1) + " bytes: " + path);
  }
  address.local.sun_family = AF_UNIX;
  std::memcpy(static_cast<char*>(address.local.sun_path), path.c_str(), path.size() + 1);
  address.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
  return address;
}

void set_option(int socket, int level, int option, int value) {
  // A socket without the option works too, only less well.
  (void)setsockopt(socket, level, option, &value, sizeof value);
}

// Nobody listens there: what is left of a process that died.
bool is_stale_socket(const SocketAddress& address) {
  struct stat status{};
  const auto* path = static_cast<const char*>(address.local.sun_path);
  if (lstat(path, &status) != 0 || !S_ISSOCK(status.st_mode)) return false;
  const Fd probe(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  return probe && connect(probe.get(), &address.any, address.size) != 0 && errno == ECONNREFUSED;
}

Result<void> bind_unix(int socket, const SocketAddress& address, const std::string& text) {
  // The file takes its mode from the socket's.
  if (fchmod(socket, 0600) != 0) return socket_failure("listen on", text);
  if (bind(socket, &address.any, address.size) == 0) return {};
  if (errno != EADDRINUSE) return socket_failure("listen on", text);
  if (!is_stale_socket(address)) {
    errno = EADDRINUSE;
    return socket_failure("listen on", text);
  }
  (void)unlink(static_cast<const char*>(address.local.sun_path));
  if (bind(socket, &address.any, address.size) != 0) return socket_failure("listen on", text);
  return {};
}

}  // namespace

Result<SocketAddress> to_socket_address(const env::Endpoint& endpoint) {
  if (endpoint.kind == env::Endpoint::Kind::kUnix) return to_unix_address(endpoint.host);
  SocketAddress address;
  if (inet_pton(AF_INET, endpoint.host.c_str(), &address.v4.sin_addr) == 1) {
    address.v4.sin_family = AF_INET;
    address.v4.sin_port = htons(endpoint.port);
    address.size = sizeof address.v4;
    return address;
  }
  if (inet_pton(AF_INET6, endpoint.host.c_str(), &address.v6.sin6_addr) == 1) {
    address.v6.sin6_family = AF_INET6;
    address.v6.sin6_port = htons(endpoint.port);
    address.size = sizeof address.v6;
    return address;
  }
  return fail(Code::kInvalidArgument, "address_invalid",
              "'" + endpoint.host + "' is not an IP address; names are not resolved");
}

env::Endpoint to_endpoint(const SocketAddress& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  switch (address.family()) {
    case AF_INET:
      inet_ntop(AF_INET, &address.v4.sin_addr, text.data(), text.size());
      return env::Endpoint::tcp(text.data(), ntohs(address.v4.sin_port));
    case AF_INET6:
      inet_ntop(AF_INET6, &address.v6.sin6_addr, text.data(), text.size());
      return env::Endpoint::tcp(text.data(), ntohs(address.v6.sin6_port));
    default:
      return env::Endpoint::unix_socket(
          address.size > offsetof(sockaddr_un, sun_path)
              ? std::string(static_cast<const char*>(address.local.sun_path))
              : std::string());
  }
}

env::Endpoint local_endpoint(int socket) {
  SocketAddress address;
  address.size = sizeof address.storage;
  if (getsockname(socket, &address.any, &address.size) != 0) return {};
  return to_endpoint(address);
}

Result<Fd> make_socket(int family, const std::string& address) {
  Fd fd(socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return socket_failure("open socket for", address);
  return fd;
}

void tune_tcp(int socket) {
  set_option(socket, IPPROTO_TCP, TCP_NODELAY, 1);
  set_option(socket, SOL_SOCKET, SO_KEEPALIVE, 1);
  set_option(socket, IPPROTO_TCP, TCP_KEEPIDLE, 30);
  set_option(socket, IPPROTO_TCP, TCP_KEEPINTVL, 10);
  set_option(socket, IPPROTO_TCP, TCP_KEEPCNT, 3);
}

env::PeerIdentity peer_of(int socket) {
  SocketAddress address;
  address.size = sizeof address.storage;
  if (getpeername(socket, &address.any, &address.size) != 0) return {.address = "unknown"};
  if (address.family() != AF_UNIX) return {.address = to_endpoint(address).text()};
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) {
    return {.address = "unix:"};
  }
  return {.uid = credentials.uid,
          .address = "unix:pid=" + std::to_string(credentials.pid) +
                     ",uid=" + std::to_string(credentials.uid)};
}

Result<Fd> open_listener(const env::Endpoint& endpoint) {
  const std::string text = endpoint.text();
  BLX_TRY(const SocketAddress address, to_socket_address(endpoint));
  BLX_TRY(Fd fd, make_socket(address.family(), text));
  if (address.family() == AF_UNIX) {
    BLX_TRY(bind_unix(fd.get(), address, text));
  } else {
    set_option(fd.get(), SOL_SOCKET, SO_REUSEADDR, 1);
    if (bind(fd.get(), &address.any, address.size) != 0) return socket_failure("listen on", text);
  }
  if (::listen(fd.get(), kBacklog) != 0) return socket_failure("listen on", text);
  return fd;
}

}  // namespace blixard::linux_side

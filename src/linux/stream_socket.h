#pragma once

// Sockets below Stream and Listener: addresses, making, binding. Non-blocking and close-on-exec
// from the start.

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <string>

#include "base/result.h"
#include "env/network.h"
#include "linux/descriptor.h"

namespace blixard::linux_side {

struct SocketAddress {
  union {
    sockaddr any;
    sockaddr_in v4;
    sockaddr_in6 v6;
    sockaddr_un local;
    sockaddr_storage storage;
  };
  socklen_t size = 0;

  SocketAddress() : storage{} {}
  [[nodiscard]] int family() const { return any.sa_family; }
};

// Errors: kInvalidArgument "address_invalid".
Result<SocketAddress> to_socket_address(const env::Endpoint& endpoint);
env::Endpoint to_endpoint(const SocketAddress& address);
env::Endpoint local_endpoint(int socket);

Result<Fd> make_socket(int family, const std::string& address);

// Delays of small writes off; a peer that vanished is noticed.
void tune_tcp(int socket);

// The identity of the peer as the kernel knows it.
env::PeerIdentity peer_of(int socket);

// A bound, listening socket. A unix socket has mode 0600 before anybody can connect, and takes
// the place of one nobody listens on. Errors as Network::listen.
Result<Fd> open_listener(const env::Endpoint& endpoint);

}  // namespace blixard::linux_side

#pragma once

// Byte streams between nodes, to clients and to guests' monitors.
//
// One coroutine may read a stream while another writes it; two readers or two writers at once
// are a fault of the caller. Closing ends both with an error.

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/result.h"
#include "base/units.h"
#include "env/task.h"

namespace blixard::env {

// Where to listen or dial: "tcp:127.0.0.1:7100", "tcp:[::1]:0" or "unix:/run/blixard/api.sock".
struct Endpoint {
  enum class Kind : std::uint8_t { kTcp, kUnix };
  Kind kind = Kind::kTcp;
  std::string host;  // an IP address (no names: nothing here resolves), or the socket's path
  std::uint16_t port = 0;

  friend bool operator==(const Endpoint&, const Endpoint&) = default;
  [[nodiscard]] std::string text() const;
  static Endpoint tcp(std::string host, std::uint16_t port);
  static Endpoint unix_socket(std::string path);
  // "127.0.0.1:7100", "[::1]:7100" or "unix:/path". Errors: kInvalidArgument.
  static Result<Endpoint> parse(std::string_view text);
};

// Who is at the other end, as the transport proves it; never what the peer claims.
struct PeerIdentity {
  std::int64_t uid = -1;  // of the process behind a unix socket; -1 elsewhere
  std::string address;    // for logs
  // Of the certificate on a secure stream (env/security.h); none where there is none.
  NodeId node;
  std::string cluster;
  bool server = false;  // the node's certificate has a server's mark
};

class Stream {
 public:
  virtual ~Stream() = default;  // closes

  // Reads at least one byte, at most the buffer; 0 means the peer ended its side.
  // Errors: kUnavailable (reset, closed), kCancelled.
  virtual Task<Result<std::size_t>> read_some(std::span<char> buffer) = 0;

  // Writes all parts, in order. The parts must live until it returns. After an error the stream
  // is of no further use. Errors: kUnavailable, kCancelled.
  virtual Task<Result<void>> write(std::span<const std::string_view> parts) = 0;

  // Writes all bytes, and with the first of them hands over `handed`, which is the peer's from then
  // on: a program that we started can be given a way to talk that has no name. Both are unix
  // sockets. Errors: those of write(), kInvalidArgument "not_local".
  virtual Task<Result<void>> write_with(std::string_view bytes, std::unique_ptr<Stream> handed);

  // Ends both directions; pending operations fail. Idempotent.
  virtual void close() = 0;

  [[nodiscard]] virtual const PeerIdentity& peer() const = 0;

  // Of what was written, bytes that were put together in memory before they could be sent, such as
  // those of a TLS record. What the kernel moves, and encryption itself, does not count.
  [[nodiscard]] virtual std::uint64_t bytes_joined() const { return 0; }

  Task<Result<void>> write_all(std::string_view bytes);
};

struct StreamPair {
  std::unique_ptr<Stream> ours;
  std::unique_ptr<Stream> theirs;
};

class Listener {
 public:
  virtual ~Listener() = default;  // closes, and removes its unix socket

  // Errors: kUnavailable after close(), kCancelled. Any other, such as kResourceExhausted
  // "too_many_open_files", may pass: pause and try again (accept_loop.h).
  virtual Task<Result<std::unique_ptr<Stream>>> accept() = 0;
  [[nodiscard]] virtual Endpoint local() const = 0;  // with the port that was chosen for port 0
  virtual void close() = 0;
};

class Network {
 public:
  virtual ~Network() = default;

  // A unix socket is made with mode 0600; a stale one (nobody listens) is replaced.
  // Errors: kAlreadyExists "address_in_use", kPermissionDenied, kInvalidArgument.
  virtual Task<Result<std::unique_ptr<Listener>>> listen(Endpoint endpoint) = 0;

  // Errors: kUnavailable "connection_refused" and others, kDeadlineExceeded, kCancelled.
  virtual Task<Result<std::unique_ptr<Stream>>> dial(Endpoint endpoint, Instant deadline) = 0;

  // Two ends of a new connection without a name, one to be handed over. Errors:
  // kResourceExhausted "too_many_open_files".
  virtual Task<Result<StreamPair>> pair() = 0;
};

}  // namespace blixard::env

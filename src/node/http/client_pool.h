#pragma once

// Requests over connections that are used again: for the command line, exporters and load, where a
// dial for each request would cost more than the request.
//
// A connection carries one request at a time (HTTP/1.1 without pipelining), so that a slow answer
// holds up nobody else. The one that became idle last is taken first: the others grow old and are
// closed. Before it is taken it is probed: one that the server has ended, or said something
// unasked on, is closed. What ends between the probe and the answer is tried once more on a new
// connection, but only a request that may be carried out twice (RFC 9110, section 9.2.2).
//
// Nothing runs between calls: idle connections are looked at when the pool is called. No call may
// be under way at its end.

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <vector>

#include "base/limits.h"
#include "base/result.h"
#include "base/units.h"
#include "env/env.h"
#include "env/network.h"
#include "env/sync.h"
#include "env/task.h"
#include "node/http/client.h"

namespace blixard::http {

struct PoolLimits {
  std::size_t connections = limits::kHttpClientConnections;  // to one server
  std::size_t waiting = limits::kHttpClientWaiting;          // for one of them, in all
  std::size_t idle = limits::kHttpClientIdle;                // in all
  Duration idle_timeout = limits::kHttpClientIdleTimeout;
  std::size_t body_bytes = std::size_t{8} << 20;  // of an answer
};

class ClientPool {
 public:
  struct Counters {
    std::uint64_t requests = 0;
    std::uint64_t connects = 0;  // that succeeded
    std::uint64_t reused = 0;    // requests on a connection that had carried one, or was warm
    std::uint64_t retried = 0;   // on a new connection, since the old one had ended
    std::uint64_t evicted = 0;   // idle ones closed: too old, too many, or ended by the server
  };

  explicit ClientPool(env::Env env, PoolLimits limits = {});
  ClientPool(const ClientPool&) = delete;
  ClientPool& operator=(const ClientPool&) = delete;
  ~ClientPool();

  // Errors: Client::send()'s; kResourceExhausted "too_many_requests".
  env::Task<Result<Answer>> send(env::Endpoint server, ClientRequest request, Instant deadline);

  // Dials until so many connections to the server are idle, at most as many as it may have, so that
  // the first requests need not. Errors: the dial's.
  env::Task<Result<void>> warm_up(env::Endpoint server, std::size_t connections, Instant deadline);

  void close_idle();

  [[nodiscard]] const Counters& counters() const { return counters_; }
  [[nodiscard]] std::size_t idle() const { return idle_.size(); }

 private:
  struct Idle {
    env::Endpoint server;
    std::unique_ptr<env::Stream> stream;
    Instant since;
  };
  struct Server {
    env::Endpoint endpoint;
    std::size_t connections = 0;  // idle, in use and being dialled
  };
  // A connection in use: gives its place back.
  class Lease;

  env::Task<Result<Answer>> send_within(env::Endpoint server, ClientRequest request,
                                        Instant deadline);
  env::Task<Result<Answer>> exchange(Lease& lease, const ClientRequest& request, bool& begun);
  env::Task<Result<void>> enter(Lease& lease, Instant deadline);
  env::Task<bool> take_idle(Lease& lease);
  env::Task<Result<void>> dial(Lease& lease, Instant deadline);
  Server& server_of(const env::Endpoint& endpoint);
  void drop(std::list<Idle>::iterator idle);
  void drop_old();
  void keep(const env::Endpoint& server, std::unique_ptr<env::Stream> stream);

  env::Env env_;
  PoolLimits limits_;
  Counters counters_;
  std::list<Idle> idle_;  // oldest first
  std::vector<Server> servers_;
  std::size_t waiting_ = 0;
  std::size_t calls_ = 0;
  env::Signal freed_;
};

}  // namespace blixard::http

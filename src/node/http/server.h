#pragma once

// HTTP/1.1 server over env streams: the same code for a unix socket, TCP and simulation.
//
//   http::Server server(env, api);
//   scope.spawn(server.serve(std::move(listener)));    // once for each listener
//   ...
//   co_await server.stop(env.clock.monotonic() + 5s);  // serve() returns soon after
//
// Bounded are: connections (one too many is told so with 503), headers, body, the time to send a
// request whole, the idle time between two, and the time to take a piece of an answer.

#include <memory>
#include <vector>

#include "base/limits.h"
#include "base/result.h"
#include "base/units.h"
#include "env/accept_loop.h"
#include "env/env.h"
#include "env/network.h"
#include "env/scope.h"
#include "env/settings.h"
#include "env/sync.h"
#include "env/task.h"
#include "node/http/message.h"

namespace blixard::http {

class Connection;

struct ServerLimits {
  std::size_t header_bytes = limits::kHttpHeaderBytes;
  std::size_t body_bytes = limits::kHttpBodyBytes;
  std::size_t refusals = limits::kHttpRefusals;
  std::size_t linger_bytes = limits::kHttpLingerBytes;
  Duration idle_timeout = limits::kHttpIdleTimeout;
  Duration request_timeout = limits::kHttpRequestTimeout;
  Duration write_timeout = limits::kHttpWriteTimeout;
  Duration linger_timeout = limits::kHttpLingerTimeout;
  Duration half_close_grace = limits::kHttpHalfCloseGrace;
};

class Server {
 public:
  // How many connections there may be follows `settings`; null: the default. Fewer than there are
  // ends none.
  Server(env::Env env, Handler& handler, ServerLimits limits = {},
         const env::SettingsView* settings = nullptr);
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server();

  // Accepts until stop() or the listener's end (env/accept_loop.h); returns when the last of its
  // connections has ended. Errors: the loop's.
  env::Task<Result<void>> serve(std::unique_ptr<env::Listener> listener);

  // Closes the listeners, ends idle connections and streams, lets requests that are being handled
  // finish until the deadline and cancels what is left then. Once.
  env::Task<void> stop(Instant deadline);

  [[nodiscard]] std::size_t connections() const { return active_; }
  [[nodiscard]] std::size_t connections_most() const {
    return settings_ == nullptr ? limits::kHttpConnections : settings_->latest().http_connections;
  }

 private:
  env::Task<void> run_connection(std::unique_ptr<env::Stream> stream, Transport transport);
  env::Task<void> turn_away(std::unique_ptr<env::Stream> stream);
  env::Task<Result<void>> wait_until_empty();

  env::Env env_;
  Handler& handler_;
  ServerLimits limits_;
  const env::SettingsView* settings_;
  env::AcceptLoop accepting_;
  std::vector<Connection*> connections_;  // in the order they came
  std::vector<env::Scope*> scopes_;       // one of each serve()
  std::size_t active_ = 0;                // connections, also those whose task has not begun
  std::size_t refusals_ = 0;
  env::Signal ended_;  // a connection
};

}  // namespace blixard::http

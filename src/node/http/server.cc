#include "node/http/server.h"

#include <array>
#include <utility>

#include "base/assert.h"
#include "node/http/codec.h"
#include "node/http/connection.h"
#include "observe/allocations.h"
#include "observe/failpoint.h"

namespace blixard::http {
namespace {

// Reads on until the peer ends: it may not have asked yet, and a closed connection would take the
// answer away from it.
env::Task<Result<void>> tell(env::Stream& stream, std::string_view answer, std::size_t most) {
  BLX_CO_TRY(co_await stream.write_all(answer));
  std::array<char, 4096> discarded{};
  for (std::size_t total = 0; total <= most;) {
    BLX_CO_TRY(const std::size_t count, co_await stream.read_some(discarded));
    if (count == 0) break;
    total += count;
  }
  co_return Result<void>();
}

}  // namespace

Server::Server(env::Env env, Handler& handler, ServerLimits limits,
               const env::SettingsView* settings)
    : env_(env),
      handler_(handler),
      limits_(limits),
      settings_(settings),
      accepting_(env.clock, env.log),
      ended_(env.executor) {}

Server::~Server() { BLX_ASSERT(scopes_.empty()); }

env::Task<Result<void>> Server::serve(std::unique_ptr<env::Listener> listener) {
  const observe::AllocationTag tag(observe::Subsystem::kHttp);
  const Transport transport =
      listener->local().kind == env::Endpoint::Kind::kUnix ? Transport::kUnix : Transport::kTcp;
  env::Scope scope(env_.executor, co_await env::this_cancellation());
  scopes_.push_back(&scope);
  const auto result = co_await accepting_.run(*listener, [&](std::unique_ptr<env::Stream> stream) {
    if (BLX_FAILPOINT_FIRES("http::accept")) return;  // it is closed without a word
    const bool has_room =
        active_ < connections_most() && !env_.rare.happens(env::RareSite::kHttpTurnsAway);
    if (has_room) {
      ++active_;
      scope.spawn(run_connection(std::move(stream), transport));
    } else if (refusals_ < limits_.refusals) {
      ++refusals_;
      scope.spawn(turn_away(std::move(stream)));
    }
  });
  co_await scope.join();
  std::erase(scopes_, &scope);
  co_return result;
}

env::Task<void> Server::run_connection(std::unique_ptr<env::Stream> stream, Transport transport) {
  Connection connection(env_, handler_, limits_, std::move(stream), transport);
  connections_.push_back(&connection);
  if (accepting_.stopped()) connection.stop();
  co_await connection.run();
  std::erase(connections_, &connection);
  --active_;
  ended_.notify_all();
}

env::Task<void> Server::turn_away(std::unique_ptr<env::Stream> stream) {
  const Problem problem = refusal(Error(Code::kResourceExhausted, "too_many_connections"));
  Response response = problem_response(problem);
  response.headers.push_back({"Retry-After", "1"});
  handler_.refused(problem.status);
  const auto bytes = encode_response(response, {.keep_alive = false, .date = env_.clock.wall()});
  if (bytes) {
    const auto deadline = env_.clock.monotonic() + limits_.linger_timeout;
    ignore(co_await env::with_deadline(env_.executor, env_.clock, deadline,
                                       tell(*stream, *bytes, limits_.linger_bytes)),
           "the connection ends either way");
  }
  stream->close();
  --refusals_;
  ended_.notify_all();
}

env::Task<Result<void>> Server::wait_until_empty() {
  while (active_ > 0 || refusals_ > 0)
    BLX_CO_TRY(co_await ended_.wait());
  co_return Result<void>();
}

env::Task<void> Server::stop(Instant deadline) {
  accepting_.stop();
  for (Connection* connection : connections_)
    connection->stop();
  const auto empty =
      co_await env::with_deadline(env_.executor, env_.clock, deadline, wait_until_empty());
  if (empty) co_return;
  for (env::Scope* scope : scopes_)
    scope->cancel();
  ignore(co_await wait_until_empty(), "cancelled: serve() waits for them anyway");
}

}  // namespace blixard::http

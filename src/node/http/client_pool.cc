#include "node/http/client_pool.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

#include "base/assert.h"
#include "node/http/answer_reader.h"
#include "node/http/codec.h"

namespace blixard::http {
namespace {

// Whether a second one after a first that may have been carried out does no harm.
bool may_repeat(Method method) {
  switch (method) {
    case Method::kGet:
    case Method::kHead:
    case Method::kPut:
    case Method::kDelete:
    case Method::kOptions:
      return true;
    case Method::kPost:
    case Method::kPatch:
    case Method::kOther:
      return false;
  }
  return false;
}

// Whether an idle connection is still there and has nothing to say. The read ends at once: it has
// been cancelled before it begins.
env::Task<bool> is_quiet(env::Stream& stream) {
  env::Cancellation now;
  now.request();
  std::array<char, 1> byte{};
  const auto read = co_await stream.read_some(byte).under(now);
  co_return !read && read.error().code() == Code::kCancelled;
}

}  // namespace

class ClientPool::Lease {
 public:
  Lease(ClientPool& pool, env::Endpoint server) : pool_(pool), server_(std::move(server)) {}
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;
  ~Lease() { give_back(); }

  void enter() {
    BLX_ASSERT(!holds_);
    holds_ = true;
    ++pool_.server_of(server_).connections;
  }
  void take(std::unique_ptr<env::Stream> idle) {
    holds_ = true;
    stream = std::move(idle);
    reused = true;
  }
  void give_back() {
    if (!std::exchange(holds_, false)) return;
    stream.reset();
    reused = false;
    --pool_.server_of(server_).connections;
    pool_.freed_.notify_all();
  }
  void keep() {
    holds_ = false;
    pool_.keep(server_, std::move(stream));
  }
  [[nodiscard]] const env::Endpoint& server() const { return server_; }

  std::unique_ptr<env::Stream> stream;
  bool reused = false;

 private:
  ClientPool& pool_;
  env::Endpoint server_;
  bool holds_ = false;  // one of the server's connections
};

ClientPool::ClientPool(env::Env env, PoolLimits limits)
    : env_(env), limits_(limits), freed_(env.executor) {
  BLX_ASSERT(limits.connections > 0);
}

ClientPool::~ClientPool() { BLX_ASSERT(calls_ == 0); }

env::Task<Result<Answer>> ClientPool::send(env::Endpoint server, ClientRequest request,
                                           Instant deadline) {
  ++calls_;
  ++counters_.requests;
  auto answer =
      co_await env::with_deadline(env_.executor, env_.clock, deadline,
                                  send_within(std::move(server), std::move(request), deadline));
  --calls_;
  co_return std::move(answer);
}

env::Task<Result<Answer>> ClientPool::send_within(env::Endpoint server, ClientRequest request,
                                                  Instant deadline) {
  drop_old();
  bool reused = false;
  {
    Lease lease(*this, server);
    BLX_CO_TRY(co_await enter(lease, deadline));
    reused = lease.reused;
    bool begun = false;
    auto answer = co_await exchange(lease, request, begun);
    const bool ended = !answer && answer.error().code() == Code::kUnavailable && !begun;
    if (!ended || !reused || !may_repeat(request.method)) co_return std::move(answer);
  }
  ++counters_.retried;
  Lease lease(*this, std::move(server));
  lease.enter();
  BLX_CO_TRY(co_await dial(lease, deadline));
  bool begun = false;
  co_return co_await exchange(lease, request, begun);
}

env::Task<Result<Answer>> ClientPool::exchange(Lease& lease, const ClientRequest& request,
                                               bool& begun) {
  BLX_CO_TRY(const std::string bytes, encode_request(request, lease.server(), Keeping::kStays));
  if (lease.reused) ++counters_.reused;
  BLX_CO_TRY(co_await lease.stream->write_all(bytes));
  AnswerReader reader(*lease.stream, {limits::kHttpHeaderBytes, limits_.body_bytes},
                      request.method == Method::kHead);
  const auto whole = co_await reader.read_whole();
  begun = reader.begun();
  BLX_CO_TRY(whole);
  ResponseHead head = reader.parser().head();
  Answer answer{head.status, std::move(head.headers), reader.parser().take_body()};
  if (reader.leaves_connection()) lease.keep();
  co_return std::move(answer);
}

// A connection for the lease: an idle one, a new one, or the next one that is given back.
env::Task<Result<void>> ClientPool::enter(Lease& lease, Instant deadline) {
  while (!co_await take_idle(lease)) {
    if (server_of(lease.server()).connections < limits_.connections) {
      lease.enter();
      co_return co_await dial(lease, deadline);
    }
    if (waiting_ >= limits_.waiting) co_return fail(Code::kResourceExhausted, "too_many_requests");
    ++waiting_;
    const auto woken = co_await freed_.wait();
    --waiting_;
    BLX_CO_TRY(woken);
  }
  co_return Result<void>();
}

env::Task<bool> ClientPool::take_idle(Lease& lease) {
  while (true) {
    const auto newest = std::find_if(idle_.rbegin(), idle_.rend(), [&](const Idle& idle) {
      return idle.server == lease.server();
    });
    if (newest == idle_.rend()) co_return false;
    lease.take(std::move(newest->stream));
    idle_.erase(std::prev(newest.base()));
    if (co_await is_quiet(*lease.stream)) co_return true;
    ++counters_.evicted;
    lease.give_back();
  }
}

env::Task<Result<void>> ClientPool::dial(Lease& lease, Instant deadline) {
  BLX_CO_TRY(lease.stream, co_await env_.network.dial(lease.server(), deadline));
  ++counters_.connects;
  co_return Result<void>();
}

env::Task<Result<void>> ClientPool::warm_up(env::Endpoint server, std::size_t connections,
                                            Instant deadline) {
  drop_old();
  ++calls_;
  Result<void> result;
  const auto is_enough = [&] {
    const auto ready =
        std::ranges::count_if(idle_, [&](const Idle& idle) { return idle.server == server; });
    return static_cast<std::size_t>(ready) >= connections ||
           server_of(server).connections >= limits_.connections;
  };
  while (result && !is_enough()) {
    Lease lease(*this, server);
    lease.enter();
    result = co_await dial(lease, deadline);
    if (result) lease.keep();
  }
  --calls_;
  co_return result;
}

ClientPool::Server& ClientPool::server_of(const env::Endpoint& endpoint) {
  const auto found = std::ranges::find(servers_, endpoint, &Server::endpoint);
  if (found != servers_.end()) return *found;
  return servers_.emplace_back(endpoint);
}

void ClientPool::keep(const env::Endpoint& server, std::unique_ptr<env::Stream> stream) {
  idle_.push_back({.server = server, .stream = std::move(stream), .since = env_.clock.monotonic()});
  if (idle_.size() > limits_.idle) drop(idle_.begin());
  freed_.notify_all();
}

void ClientPool::drop(std::list<Idle>::iterator idle) {
  --server_of(idle->server).connections;
  idle_.erase(idle);
  ++counters_.evicted;
  freed_.notify_all();
}

void ClientPool::drop_old() {
  const Instant now = env_.clock.monotonic();
  while (!idle_.empty() && now - idle_.front().since >= limits_.idle_timeout)
    drop(idle_.begin());
  std::erase_if(servers_, [](const Server& server) { return server.connections == 0; });
}

void ClientPool::close_idle() {
  while (!idle_.empty())
    drop(idle_.begin());
}

}  // namespace blixard::http

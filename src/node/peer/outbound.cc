#include "node/peer/outbound.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/limits.h"
#include "env/failpoint.h"
#include "node/peer/reasons.h"

namespace blixard::peer {

namespace {

std::unexpected<Error> unreachable() { return fail(Code::kUnavailable, kUnreachable); }

}  // namespace

// Waits for the reply to one request.
class Outbound::Answer final : public env::Parked<Result<std::string>> {
 public:
  Answer(Outbound& outbound, std::uint64_t id)
      : Parked(outbound.context_->env.executor), outbound_(outbound), id_(id) {
    outbound_.answers_.emplace(id_, this);
  }
  Answer(const Answer&) = delete;
  Answer& operator=(const Answer&) = delete;
  ~Answer() override { outbound_.answers_.erase(id_); }

 private:
  void cancelled() override {
    if (!completed()) complete(fail(Code::kCancelled, "cancelled"));
  }

  Outbound& outbound_;
  std::uint64_t id_;
};

Outbound::Outbound(std::shared_ptr<Context> context, NodeId node, env::Endpoint address,
                   Traffic& traffic, env::Cancellation* parent,
                   std::function<void()> tell_unreachable)
    : context_(std::move(context)),
      node_(node),
      address_(std::move(address)),
      traffic_(traffic),
      cancellation_(parent),
      tell_unreachable_(std::move(tell_unreachable)),
      changed_(context_->env.executor) {}

Outbound::~Outbound() { BLX_ASSERT(attempt_ == nullptr && answers_.empty()); }

env::Task<void> Outbound::run(std::shared_ptr<Outbound> self) {
  co_await self->keep_connected().under(self->cancellation_);
}

void Outbound::stop() {
  stopping_ = true;
  cancellation_.request();
  changed_.notify_all();
}

void Outbound::set_address(env::Endpoint address) {
  if (address == address_) return;
  address_ = std::move(address);
  attempt_failed_ = false;
  if (attempt_ != nullptr) attempt_->cancel();
  hurried_ = true;
  changed_.notify_all();
}

void Outbound::hurry() {
  if (attempt_ != nullptr) return;
  hurried_ = true;
  changed_.notify_all();
}

env::Task<void> Outbound::keep_connected() {
  env::Env& env = context_->env;
  Duration delay = limits::kPeerRetryMin;
  while (!stopping_) {
    const Instant began = env.clock.monotonic();
    const auto end = co_await one_connection();
    if (stopping_) break;
    BLX_LOG(env.log, kDebug, "no connection to node {}: {}", node_.value,
            end ? "ended" : end.error().message());
    if (env.clock.monotonic() - began > limits::kPeerRetryMax) delay = limits::kPeerRetryMin;
    // Between half and all of it, so that nodes that lost each other do not dial in step.
    const auto half = static_cast<std::uint64_t>(delay.count() / 2);
    const Duration pause_for(static_cast<std::int64_t>(half + context_->random->below(half + 1)));
    if (!co_await pause(pause_for)) break;
    hurried_ = false;
    delay = std::min(2 * delay, limits::kPeerRetryMax);
  }
  stopping_ = true;
  changed_.notify_all();
}

env::Task<Result<void>> Outbound::pause(Duration duration) {
  env::Env& env = context_->env;
  const Instant until = env.clock.monotonic() + duration;
  while (!hurried_ && !stopping_) {
    const auto woken = co_await env::with_deadline(env.executor, env.clock, until, changed_.wait());
    if (woken) continue;
    if (woken.error().code() == Code::kDeadlineExceeded) break;
    co_return woken;
  }
  co_return Result<void>();
}

env::Task<Result<void>> Outbound::one_connection() {
  env::Env& env = context_->env;
  env::Scope scope(env.executor, co_await env::this_cancellation());
  attempt_ = &scope;
  const Instant deadline = env.clock.monotonic() + limits::kPeerDialTimeout;
  auto stream = co_await dial(deadline).under(scope.cancellation());
  Result<void> result;
  if (!stream) {
    result = std::unexpected(stream.error());
  } else {
    Link link(env, std::move(*stream), traffic_);
    result = co_await greet(link).under(scope.cancellation());
    if (result) {
      scope.spawn(link.write_loop());
      scope.spawn(watch(link));
      result = co_await serve(link).under(scope.cancellation());
    }
    link.end(result ? Error(Code::kUnavailable, "peer_closed") : result.error());
    connection_ended();
    scope.cancel();
    co_await scope.join();
    result = std::unexpected(*link.why());
  }
  attempt_ = nullptr;
  attempt_failed_ = true;
  changed_.notify_all();
  co_await scope.join();
  co_return result;
}

env::Task<Result<std::unique_ptr<env::Stream>>> Outbound::dial(Instant deadline) {
  BLX_CO_FAILPOINT(context_->env, "network::connect", kUnavailable, "connection_refused");
  co_return co_await context_->transport.dial(address_, node_, deadline);
}

env::Task<Result<void>> Outbound::greet(Link& link) {
  env::Env& env = context_->env;
  // The transport promised it; everything else rests on it.
  if (link.peer().node != node_ || link.peer().cluster != context_->options.cluster) {
    co_return fail(Code::kPermissionDenied, "peer_identity_wrong");
  }
  wire::Hello mine;
  mine.cluster = context_->options.cluster;
  mine.address = context_->options.address;
  BLX_CO_TRY(co_await link.write_now({.content = std::move(mine)}, limits::kPeerHelloTimeout));
  BLX_CO_TRY(const wire::Message answer,
             co_await env::with_deadline(env.executor, env.clock,
                                         env.clock.monotonic() + limits::kPeerHelloTimeout,
                                         link.receive()));
  if (const auto* refused = std::get_if<wire::Refused>(&answer.content)) {
    const Error why = error_of(refused->why);
    if (refused->not_member) context_->handler->on_refused(node_, why);
    co_return std::unexpected(why);
  }
  const auto* hello = std::get_if<wire::Hello>(&answer.content);
  if (hello == nullptr) {
    ++traffic_.violations;
    co_return fail(Code::kInvalidArgument, "frame_unexpected");
  }
  if (hello->cluster != context_->options.cluster) {
    co_return fail(Code::kFailedPrecondition, "peer_cluster_wrong");
  }
  if (hello->version < wire::kProtocolVersionOldest ||
      hello->version_oldest > wire::kProtocolVersion) {
    co_return fail(Code::kFailedPrecondition, "peer_version_unsupported");
  }
  co_return Result<void>();
}

env::Task<Result<void>> Outbound::serve(Link& link) {
  link_ = &link;
  ++connection_;
  ++traffic_.connections;
  attempt_failed_ = false;
  told_unreachable_ = false;
  ping_ = 0;
  changed_.notify_all();
  while (true) {
    BLX_CO_TRY(wire::Message message, co_await link.receive());
    if (auto taken = take(link, std::move(message)); !taken) {
      ++traffic_.violations;
      co_return taken;
    }
  }
}

// What waits too long ends the connection: an unanswered ping, and a frame that is not written.
env::Task<void> Outbound::watch(Link& link) {
  env::Clock& clock = context_->env.clock;
  while (!link.ended()) {
    const Instant now = clock.monotonic();
    if (ping_ != 0 && now - ping_since_ >= limits::kPeerPingTimeout) {
      link.end(Error(Code::kDeadlineExceeded, "ping_unanswered"));
      co_return;
    }
    if (const auto oldest = link.queue().oldest();
        oldest && now - *oldest >= limits::kPeerQueueTimeout) {
      link.end(Error(Code::kDeadlineExceeded, "queue_stuck"));
      co_return;
    }
    if (context_->env.rare.happens(env::RareSite::kPeerClosesEarly)) {
      link.end(Error(Code::kUnavailable, "peer_closed"));
      co_return;
    }
    if (ping_ == 0) {
      ping_ = context_->next_id();
      ping_since_ = now;
      link.send({.id = ping_, .content = wire::Ping{}});
    }
    if (!co_await clock.sleep(limits::kPeerPingInterval)) co_return;
  }
}

Result<void> Outbound::take(Link& link, wire::Message message) {
  switch (wire::kind_of(message.content)) {
    case wire::FrameKind::kPong:
      if (message.id == ping_ && ping_ != 0) {
        round_trip_ = context_->env.clock.monotonic() - ping_since_;
        ping_ = 0;
      }
      return {};
    case wire::FrameKind::kReply:
      take_reply(message.id, std::move(std::get<wire::Reply>(message.content)));
      return {};
    case wire::FrameKind::kSnapshotTaken:
      if (transfer_ != nullptr) {
        transfer_->take(message.id, std::get<wire::SnapshotTaken>(message.content));
      }
      return {};
    case wire::FrameKind::kSnapshotResult:
      if (transfer_ != nullptr) {
        transfer_->take(message.id, std::get<wire::SnapshotResult>(message.content));
      }
      return {};
    case wire::FrameKind::kRefused: {
      const auto& refused = std::get<wire::Refused>(message.content);
      const Error why = error_of(refused.why);
      if (refused.not_member) context_->handler->on_refused(node_, why);
      link.end(why);
      return {};
    }
    default:
      return fail(Code::kInvalidArgument, "frame_unexpected");
  }
}

void Outbound::take_reply(std::uint64_t id, wire::Reply reply) {
  const auto found = answers_.find(id);
  if (found == answers_.end() || found->second->completed()) return;  // nobody waits any more
  if (reply.failure) {
    found->second->complete(std::unexpected(error_of(*reply.failure)));
  } else {
    found->second->complete(std::string(reply.body.view()));
  }
}

void Outbound::connection_ended() {
  if (link_ == nullptr) return;
  link_ = nullptr;
  for (const auto& [id, answer] : answers_)
    if (!answer->completed()) answer->complete(unreachable());
  if (transfer_ != nullptr) transfer_->changed.notify_all();
  dropped();
}

void Outbound::dropped() {
  if (std::exchange(told_unreachable_, true) || stopping_) return;
  tell_unreachable_();
}

void Outbound::drop(raft::Message message) {
  const wire::Message frame{.content = std::move(message)};
  ++traffic_.dropped[static_cast<std::size_t>(urgency_of(frame.content))];
  dropped();
}

void Outbound::send(raft::Message message) {
  if (link_ == nullptr) {
    drop(std::move(message));
  } else if (!link_->send({.content = std::move(message)})) {
    dropped();
  } else if (told_unreachable_ && link_->queue().frames() == 1) {
    told_unreachable_ = false;  // what was too much is written
  }
}

env::Task<Result<void>> Outbound::connected_soon() {
  while (link_ == nullptr && !stopping_ && !attempt_failed_)
    BLX_CO_TRY(co_await changed_.wait());
  if (link_ == nullptr) co_return unreachable();
  co_return Result<void>();
}

env::Task<Result<std::string>> Outbound::request(std::shared_ptr<Outbound> self, RequestKind kind,
                                                 std::string body, Instant deadline) {
  env::Env& env = self->context_->env;
  co_return co_await env::with_deadline(env.executor, env.clock, deadline,
                                        self->ask(kind, std::move(body), deadline));
}

env::Task<Result<std::string>> Outbound::ask(RequestKind kind, std::string body, Instant deadline) {
  if (body.size() > limits::kPeerRequestBytes) {
    co_return fail(Code::kInvalidArgument, "request_too_large");
  }
  BLX_CO_TRY(co_await connected_soon());
  if (answers_.size() >= limits::kPeerRequests) co_return fail(Code::kUnavailable, kQueueFull);
  const Duration left = std::clamp<Duration>(deadline - context_->env.clock.monotonic(), 1ms,
                                             limits::kPeerRequestTimeout);
  const std::uint64_t id = context_->next_id();
  ++traffic_.requests;
  Answer answer(*this, id);
  wire::Request request{.kind = static_cast<std::uint32_t>(kind),
                        .timeout_ms = static_cast<std::uint64_t>(left / 1ms),
                        .body = Payload(std::move(body))};
  if (!link_->send({.id = id, .content = std::move(request)})) {
    co_return fail(Code::kUnavailable, kQueueFull);
  }
  co_return co_await answer;
}

}  // namespace blixard::peer

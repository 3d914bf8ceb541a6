#include "node/peer/inbound.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/assert.h"
#include "base/limits.h"
#include "node/peer/reasons.h"

namespace blixard::peer {

namespace {

std::unexpected<Error> unexpected_frame() {
  return fail(Code::kInvalidArgument, "frame_unexpected");
}

}  // namespace

Inbound::Inbound(Context& context, NodeId from, std::unique_ptr<env::Stream> stream,
                 Traffic& traffic)
    : context_(context),
      from_(from),
      traffic_(traffic),
      link_(context.env, std::move(stream), traffic) {}

Inbound::~Inbound() { BLX_ASSERT(scope_ == nullptr); }

env::Task<Result<wire::Message>> Inbound::first_frame(Duration limit) {
  env::Env& env = context_.env;
  co_return co_await env::with_deadline(env.executor, env.clock, env.clock.monotonic() + limit,
                                        link_.receive());
}

Result<void> Inbound::check_greeting(const Result<wire::Message>& first) {
  if (!first) return std::unexpected(first.error());
  const auto* hello = std::get_if<wire::Hello>(&first->content);
  if (hello == nullptr) {
    ++traffic_.violations;
    return unexpected_frame();
  }
  if (link_.peer().cluster != context_.options.cluster ||
      hello->cluster != context_.options.cluster) {
    return fail(Code::kFailedPrecondition, "peer_cluster_wrong");
  }
  if (hello->version < wire::kProtocolVersionOldest ||
      hello->version_oldest > wire::kProtocolVersion) {
    return fail(Code::kFailedPrecondition, "peer_version_unsupported");
  }
  address_ = hello->address;
  return {};
}

env::Task<Result<void>> Inbound::greet() {
  // Its certificate has said who it is: one that is no member is told before it says anything.
  Result<void> verdict = context_.handler->admit(from_);
  const bool admitted = verdict.has_value();
  if (admitted) verdict = check_greeting(co_await first_frame(limits::kPeerHelloTimeout));
  wire::Message answer;
  if (verdict) {
    answer.content = wire::Hello{.cluster = context_.options.cluster};
  } else {
    answer.content = wire::Refused{wire::failure_of(verdict.error()), !admitted};
  }
  const auto written = co_await link_.write_now(std::move(answer), limits::kPeerHelloTimeout);
  if (!admitted) {
    // What ends with bytes of the other unread would be reset instead of told.
    ignore(co_await first_frame(limits::kPeerRefusalTimeout), "whatever it says");
  }
  if (verdict && !written) verdict = written;
  if (!verdict) link_.end(verdict.error());
  co_return verdict;
}

env::Task<void> Inbound::serve() {
  env::Env& env = context_.env;
  if (link_.ended()) co_return;
  env::Scope scope(env.executor, co_await env::this_cancellation());
  scope_ = &scope;
  scope.spawn(link_.write_loop());
  scope.spawn(watch());
  const auto end = co_await read().under(scope.cancellation());
  link_.end(end.error());
  scope.cancel();
  BLX_LOG(env.log, kDebug, "the connection of node {} ends: {}", from_.value,
          link_.why()->message());
  co_await scope.join();
  scope_ = nullptr;
}

void Inbound::refuse(const Error& why) {
  if (std::exchange(refused_, true)) return;
  link_.send({.content = wire::Refused{wire::failure_of(why), true}});
  link_.finish();
  if (arrival_ != nullptr) arrival_->abort();
}

void Inbound::replace() {
  link_.end(Error(Code::kAborted, "peer_reconnected"));
  if (scope_ != nullptr) scope_->cancel();
}

env::Task<Result<void>> Inbound::read() {
  while (true) {
    BLX_CO_TRY(wire::Message message, co_await link_.receive());
    if (refused_) continue;  // read on, so that the refusal is not lost to a reset
    if (auto admitted = context_.handler->admit(from_); !admitted) {
      refuse(admitted.error());
      continue;
    }
    if (auto taken = take(std::move(message)); !taken) {
      ++traffic_.violations;
      co_return taken;
    }
  }
}

env::Task<void> Inbound::watch() {
  env::Clock& clock = context_.env.clock;
  std::optional<Instant> refused_since;
  while (!link_.ended()) {
    const Instant now = clock.monotonic();
    if (refused_ && !refused_since) refused_since = now;
    if (now - link_.last_received() >= limits::kPeerIdleTimeout) {
      link_.end(Error(Code::kDeadlineExceeded, "peer_silent"));
      break;
    }
    if (refused_since && now - *refused_since >= limits::kPeerPingTimeout) {
      link_.end(Error(Code::kDeadlineExceeded, "peer_refused"));
      break;
    }
    if (const auto oldest = link_.queue().oldest();
        oldest && now - *oldest >= limits::kPeerQueueTimeout) {
      link_.end(Error(Code::kDeadlineExceeded, "queue_stuck"));
      break;
    }
    if (!co_await clock.sleep(limits::kPeerPingInterval)) break;
  }
}

Result<void> Inbound::take(wire::Message message) {
  switch (wire::kind_of(message.content)) {
    case wire::FrameKind::kPing:
      link_.send({.id = message.id, .content = wire::Pong{}});
      return {};
    case wire::FrameKind::kRaft:
      return take_raft(std::move(std::get<raft::Message>(message.content)));
    case wire::FrameKind::kRequest:
      take_request(message.id, std::move(std::get<wire::Request>(message.content)));
      return {};
    case wire::FrameKind::kSnapshotBegin:
      return take_begin(message.id, std::move(std::get<wire::SnapshotBegin>(message.content)));
    case wire::FrameKind::kSnapshotChunk:
      // Of another transfer: one that has failed here already.
      if (arrival_ == nullptr || arrival_->id() != message.id) return {};
      return arrival_->take(std::move(std::get<wire::SnapshotChunk>(message.content)));
    case wire::FrameKind::kSnapshotEnd:
      if (arrival_ != nullptr && arrival_->id() == message.id) {
        arrival_->take(std::get<wire::SnapshotEnd>(message.content));
      }
      return {};
    case wire::FrameKind::kSnapshotAbort:
      if (arrival_ != nullptr && arrival_->id() == message.id) arrival_->abort();
      return {};
    default:
      return unexpected_frame();
  }
}

Result<void> Inbound::take_raft(raft::Message message) {
  // A snapshot has a transfer of its own; for somebody else means that addresses are mixed up.
  if (message.type == raft::MessageType::kSnapshot || message.to != context_.options.self) {
    return unexpected_frame();
  }
  message.from = from_;
  context_.handler->on_message(sender(), std::move(message));
  return {};
}

void Inbound::take_request(std::uint64_t id, wire::Request request) {
  if (request.kind == 0 || request.kind > static_cast<std::uint32_t>(kLastRequestKind)) {
    reply(id, fail(Code::kUnimplemented, "request_kind_unknown"));
  } else if (request.body.size() > limits::kPeerRequestBytes) {
    reply(id, fail(Code::kInvalidArgument, "request_too_large"));
  } else if (requests_ >= limits::kPeerRequests ||
             request_bytes_ + request.body.size() > limits::kPeerRequestBytesInFlight) {
    reply(id, fail(Code::kResourceExhausted, "too_many_requests"));
  } else {
    ++requests_;
    request_bytes_ += request.body.size();
    scope_->spawn(answer(id, std::move(request)));
  }
}

env::Task<void> Inbound::answer(std::uint64_t id, wire::Request request) {
  env::Env& env = context_.env;
  const std::size_t bytes = request.body.size();
  const auto most = static_cast<std::uint64_t>(limits::kPeerRequestTimeout / 1ms);
  const std::chrono::milliseconds timeout(std::min(request.timeout_ms, most));
  auto result = co_await env::with_deadline(
      env.executor, env.clock, env.clock.monotonic() + timeout,
      context_.handler->on_request(from_, static_cast<RequestKind>(request.kind),
                                   std::move(request.body)));
  --requests_;
  request_bytes_ -= bytes;
  reply(id, std::move(result));
}

void Inbound::reply(std::uint64_t id, Result<std::string> result) {
  wire::Reply answer;
  if (result && result->size() > limits::kPeerRequestBytes) {
    result = fail(Code::kInternal, "request_too_large");
  }
  if (result) {
    answer.body = Payload(std::move(*result));
  } else {
    answer.failure = wire::failure_of(result.error());
  }
  link_.send({.id = id, .content = std::move(answer)});
}

Result<void> Inbound::take_begin(std::uint64_t id, wire::SnapshotBegin begin) {
  if (begin.message.to != context_.options.self) return unexpected_frame();
  // One that was given up may still be in its sink while the next begins; no more than that.
  if ((arrival_ != nullptr && !arrival_->aborted()) || arrivals_ > 1) {
    wire::SnapshotResult busy;
    busy.failure = wire::failure_of(Error(Code::kResourceExhausted, "snapshot_in_progress"));
    link_.send({.id = id, .content = std::move(busy)});
    return {};
  }
  begin.message.from = from_;
  ++arrivals_;
  arrival_ = std::make_shared<SnapshotArrival>(context_.env, link_, id, begin.bytes);
  scope_->spawn(receive_snapshot(arrival_, std::move(begin.message)));
  return {};
}

env::Task<void> Inbound::receive_snapshot(std::shared_ptr<SnapshotArrival> arrival,
                                          raft::Message message) {
  co_await arrival->run(*context_.handler, sender(), std::move(message));
  if (arrival_ == arrival) arrival_ = nullptr;
  --arrivals_;
}

env::Task<Result<void>> serve_enrolment(Context& context, env::Stream& stream,
                                        env::Places::Place& place) {
  FrameReader reader(stream, limits::kEnrolBytes);
  // Whoever keeps silent must not hold the place of a node that wants to join.
  env::Env& env = context.env;
  BLX_CO_TRY(const wire::Message message,
             co_await env::with_deadline(env.executor, env.clock,
                                         env.clock.monotonic() + limits::kPeerHelloTimeout,
                                         reader.next()));
  const auto* request = std::get_if<wire::Request>(&message.content);
  if (request == nullptr || request->kind != static_cast<std::uint32_t>(RequestKind::kEnrol)) {
    co_return unexpected_frame();
  }
  place.settled = true;
  auto result = co_await context.handler->on_request(NodeId(), RequestKind::kEnrol, request->body);
  wire::Message answer{.id = message.id};
  if (result) {
    answer.content = wire::Reply{.body = Payload(std::move(*result))};
  } else {
    answer.content = wire::Reply{.failure = wire::failure_of(result.error())};
  }
  wire::FrameWriter writer;
  if (!wire::encode_message(answer, writer)) co_return fail(Code::kInternal, "reply_too_large");
  BLX_CO_TRY(co_await stream.write(writer.parts()));
  if (!result) co_return std::unexpected(result.error());
  co_return Result<void>();
}

}  // namespace blixard::peer

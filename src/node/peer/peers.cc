#include "node/peer/peers.h"

#include <map>
#include <numeric>
#include <set>
#include <utility>

#include "base/assert.h"
#include "base/limits.h"
#include "env/accept_loop.h"
#include "env/failpoint.h"
#include "env/places.h"
#include "env/scope.h"
#include "env/sync.h"
#include "node/peer/context.h"
#include "node/peer/inbound.h"
#include "node/peer/outbound.h"
#include "node/peer/reasons.h"
#include "observe/allocations.h"

namespace blixard::peer {

namespace {

class PeerSet final : public Peers {
 public:
  PeerSet(env::Env env, Options options, env::SecureTransport& transport)
      : context_(std::make_shared<Context>(Context{.env = env,
                                                   .options = std::move(options),
                                                   .transport = transport,
                                                   .random = env.random.fork("peer")})),
        scope_(env.executor, nullptr),
        accepting_(env.clock, env.log) {}
  PeerSet(const PeerSet&) = delete;
  PeerSet& operator=(const PeerSet&) = delete;
  ~PeerSet() override { BLX_ASSERT(scope_.running() == 0); }

  void set_handler(Handler* handler) override { context_->handler = handler; }
  env::Task<Result<void>> serve(std::unique_ptr<env::Listener> listener) override;
  void set_peer(NodeId node, env::Endpoint address) override;
  void remove_peer(NodeId node) override;
  [[nodiscard]] std::vector<PeerStatus> status() const override;
  [[nodiscard]] Counters counters() const override;
  void send(std::vector<raft::Message> messages) override;
  env::Task<Result<std::string>> request(NodeId to, RequestKind kind, std::string body,
                                         Instant deadline) override;
  env::Task<Result<void>> send_snapshot(raft::Message message,
                                        std::unique_ptr<SnapshotSource> source) override;
  env::Task<void> stop() override;

 private:
  // A node's connections to us. One greets at a time: for the next, its node has given it up.
  struct Visitor {
    env::Places greeting{1};
    std::size_t connections = 0;
    Inbound* newest = nullptr;  // that was greeted
  };

  void take(std::unique_ptr<env::Stream> stream);
  void take_member(std::unique_ptr<env::Stream> stream);
  void take_newcomer(std::unique_ptr<env::Stream> stream);
  env::Task<void> serve_member(std::unique_ptr<env::Stream> stream, Visitor& visitor,
                               env::Places::Place& place);
  env::Task<void> serve_greeted(Inbound& inbound, Visitor& visitor);
  env::Task<void> serve_newcomer(std::unique_ptr<env::Stream> stream, env::Places::Place& place);
  void introduce(const Inbound& inbound);
  void drop(NodeId node);
  void count(Refusal refusal) { ++refused_[static_cast<std::size_t>(refusal)]; }
  env::Task<void> tell_unreachable(NodeId node);
  [[nodiscard]] std::shared_ptr<Outbound> find(NodeId node) const;
  [[nodiscard]] Inbound* inbound_of(NodeId node) const;

  std::shared_ptr<Context> context_;
  env::Scope scope_;
  env::AcceptLoop accepting_;
  bool stopping_ = false;
  std::map<NodeId, Traffic> traffic_;
  std::map<NodeId, std::shared_ptr<Outbound>> outbound_;
  std::set<NodeId> introduced_;         // known only by what they said, while they are connected
  std::map<NodeId, Visitor> visitors_;  // that have connections
  std::size_t connections_ = 0;         // of all of them
  env::Places newcomers_{limits::kEnrolConnections};
  std::array<std::uint64_t, kRefusals> refused_{};
};

env::Task<Result<void>> PeerSet::serve(std::unique_ptr<env::Listener> listener) {
  const observe::AllocationTag tag(observe::Subsystem::kPeer);
  BLX_ASSERT(context_->handler != nullptr);
  co_return co_await accepting_.run(
      *listener, [this](std::unique_ptr<env::Stream> stream) { take(std::move(stream)); });
}

void PeerSet::take(std::unique_ptr<env::Stream> stream) {
  if (stream->peer().node) {
    take_member(std::move(stream));
  } else {
    take_newcomer(std::move(stream));
  }
}

// One too many is closed without a word: its dialler tries again later.
void PeerSet::take_member(std::unique_ptr<env::Stream> stream) {
  const NodeId from = stream->peer().node;
  // Somebody else has this node's own key: it has nothing to say to itself.
  if (from == context_->options.self) return count(Refusal::kNotAdmitted);
  const auto known = visitors_.find(from);
  if (connections_ >= limits::kPeerConnections ||
      (known != visitors_.end() && known->second.connections >= limits::kPeerConnectionsOfNode)) {
    count(Refusal::kFull);
    return;
  }
  Visitor& visitor = known != visitors_.end() ? known->second : visitors_[from];
  ++connections_;
  ++visitor.connections;
  env::Places::Place* place = visitor.greeting.enter(&scope_.cancellation());
  BLX_ASSERT(place != nullptr);  // nobody settles there
  scope_.spawn(serve_member(std::move(stream), visitor, *place));
}

void PeerSet::take_newcomer(std::unique_ptr<env::Stream> stream) {
  env::Places::Place* place = newcomers_.enter(&scope_.cancellation());
  if (place == nullptr) {
    count(Refusal::kFull);
    return;
  }
  scope_.spawn(serve_newcomer(std::move(stream), *place));
}

env::Task<void> PeerSet::serve_member(std::unique_ptr<env::Stream> stream, Visitor& visitor,
                                      env::Places::Place& place) {
  const NodeId from = stream->peer().node;
  {
    Inbound inbound(*context_, from, std::move(stream), traffic_[from]);
    const auto greeted = co_await inbound.greet().under(place.cancellation);
    const bool displaced = place.displaced;
    visitor.greeting.leave(place);
    if (displaced) {
      count(Refusal::kDisplaced);
    } else if (greeted) {
      co_await serve_greeted(inbound, visitor);
    } else {
      count(context_->handler->admit(from) ? Refusal::kGreeting : Refusal::kNotAdmitted);
      BLX_LOG(context_->env.log, kInfo, "node {} is refused: {}", from.value,
              greeted.error().message());
    }
  }
  --connections_;
  if (--visitor.connections == 0) {
    visitors_.erase(from);
    if (introduced_.erase(from) > 0) drop(from);
  }
}

// A node that was away does not know who joined meanwhile, and must be able to answer it if it
// leads: nothing else would ever tell it. Until this node hears of the other by the log it believes
// where the other says that it is; the certificate decides who answers there.
void PeerSet::introduce(const Inbound& inbound) {
  const NodeId from = inbound.from();
  const bool is_known = outbound_.contains(from) && !introduced_.contains(from);
  if (is_known || inbound.address().empty() || stopping_) return;
  auto address = env::Endpoint::parse(inbound.address());
  if (!address || address->kind != env::Endpoint::Kind::kTcp || address->port == 0) return;
  set_peer(from, std::move(*address));  // a newer one replaces what it said before
  introduced_.insert(from);
}

void PeerSet::drop(NodeId node) {
  if (const auto known = find(node)) {
    known->stop();
    outbound_.erase(node);
  }
}

env::Task<void> PeerSet::serve_greeted(Inbound& inbound, Visitor& visitor) {
  // The other side made a new one, so it has given up the old one, whether we know it or not.
  if (visitor.newest != nullptr) visitor.newest->replace();
  visitor.newest = &inbound;
  introduce(inbound);
  if (const auto outbound = find(inbound.from())) outbound->hurry();
  co_await inbound.serve();
  if (visitor.newest == &inbound) visitor.newest = nullptr;
}

env::Task<void> PeerSet::serve_newcomer(std::unique_ptr<env::Stream> stream,
                                        env::Places::Place& place) {
  env::Env& env = context_->env;
  const auto served = co_await env::with_deadline(env.executor, env.clock,
                                                  env.clock.monotonic() + limits::kEnrolTimeout,
                                                  serve_enrolment(*context_, *stream, place))
                          .under(place.cancellation);
  const bool displaced = place.displaced;
  newcomers_.leave(place);
  if (displaced) {
    count(Refusal::kDisplaced);
  } else if (!served) {
    count(Refusal::kEnrolment);
    BLX_LOG(env.log, kInfo, "{} did not enrol: {}", stream->peer().address,
            served.error().message());
  }
}

env::Task<void> PeerSet::tell_unreachable(NodeId node) {
  if (!stopping_) context_->handler->on_unreachable(node);
  co_return;
}

std::shared_ptr<Outbound> PeerSet::find(NodeId node) const {
  const auto found = outbound_.find(node);
  return found == outbound_.end() ? nullptr : found->second;
}

Inbound* PeerSet::inbound_of(NodeId node) const {
  const auto found = visitors_.find(node);
  return found == visitors_.end() ? nullptr : found->second.newest;
}

void PeerSet::set_peer(NodeId node, env::Endpoint address) {
  const observe::AllocationTag tag(observe::Subsystem::kPeer);
  BLX_ASSERT(context_->handler != nullptr && node && node != context_->options.self);
  if (stopping_) return;
  introduced_.erase(node);
  if (const auto known = find(node)) {
    known->set_address(std::move(address));
    return;
  }
  auto outbound = std::make_shared<Outbound>(
      context_, node, std::move(address), traffic_[node], &scope_.cancellation(),
      [this, node] { scope_.spawn(tell_unreachable(node)); });
  outbound_.emplace(node, outbound);
  scope_.spawn(Outbound::run(std::move(outbound)));
}

void PeerSet::remove_peer(NodeId node) {
  introduced_.erase(node);
  drop(node);
  if (Inbound* inbound = inbound_of(node)) {
    const auto admitted = context_->handler->admit(node);
    inbound->refuse(admitted ? Error(Code::kPermissionDenied, "member_removed") : admitted.error());
  }
}

std::vector<PeerStatus> PeerSet::status() const {
  std::vector<PeerStatus> all;
  all.reserve(outbound_.size());
  for (const auto& [node, outbound] : outbound_) {
    all.push_back({.node = node,
                   .address = outbound->address(),
                   .connected = outbound->connected(),
                   .accepted = inbound_of(node) != nullptr,
                   .round_trip = outbound->round_trip(),
                   .queued = outbound->queued(),
                   .traffic = traffic_.at(node)});
  }
  return all;
}

Counters PeerSet::counters() const {
  Counters all{.refused = refused_};
  all.refused[static_cast<std::size_t>(Refusal::kHandshake)] +=
      context_->transport.handshakes_failed();
  for (const auto& [node, traffic] : traffic_) {
    all.traffic += traffic;
    if (traffic.connections > 0) all.reconnects += traffic.connections - 1;
  }
  return all;
}

void PeerSet::send(std::vector<raft::Message> messages) {
  const observe::AllocationTag tag(observe::Subsystem::kPeer);
  const bool is_full = context_->env.rare.happens(env::RareSite::kPeerQueueFull);
  for (raft::Message& message : messages) {
    BLX_ASSERT(message.type != raft::MessageType::kSnapshot);
    // A node that nobody told us of (yet, or any more): as if its network were down.
    const auto found = outbound_.find(message.to);
    if (found == outbound_.end()) continue;
    if (is_full || BLX_FAILPOINT_FIRES("network::send_message")) {
      found->second->drop(std::move(message));
    } else {
      found->second->send(std::move(message));
    }
  }
}

env::Task<Result<std::string>> PeerSet::request(NodeId to, RequestKind kind, std::string body,
                                                Instant deadline) {
  const observe::AllocationTag tag(observe::Subsystem::kPeer);
  BLX_CO_FAILPOINT(context_->env, "network::request", kUnavailable, kUnreachable);
  auto outbound = find(to);
  if (outbound == nullptr) co_return fail(Code::kUnavailable, kUnreachable);
  co_return co_await Outbound::request(std::move(outbound), kind, std::move(body), deadline);
}

env::Task<Result<void>> PeerSet::send_snapshot(raft::Message message,
                                               std::unique_ptr<SnapshotSource> source) {
  const observe::AllocationTag tag(observe::Subsystem::kPeer);
  BLX_ASSERT(message.type == raft::MessageType::kSnapshot && message.snapshot);
  auto outbound = find(message.to);
  if (outbound == nullptr) co_return fail(Code::kUnavailable, kUnreachable);
  co_return co_await Outbound::send_snapshot(std::move(outbound), std::move(message),
                                             std::move(source));
}

env::Task<void> PeerSet::stop() {
  stopping_ = true;
  accepting_.stop();
  for (const auto& [node, outbound] : outbound_)
    outbound->stop();
  scope_.cancel();
  co_await scope_.join();
}

}  // namespace

std::uint64_t Traffic::all_dropped() const {
  return std::accumulate(dropped.begin(), dropped.end(), std::uint64_t{0});
}

Traffic& Traffic::operator+=(const Traffic& other) {
  connections += other.connections;
  frames_sent += other.frames_sent;
  bytes_sent += other.bytes_sent;
  writes += other.writes;
  frames_received += other.frames_received;
  bytes_received += other.bytes_received;
  bytes_sent_copied += other.bytes_sent_copied;
  bytes_received_copied += other.bytes_received_copied;
  requests += other.requests;
  for (std::size_t i = 0; i < kUrgencies; ++i)
    dropped[i] += other.dropped[i];
  violations += other.violations;
  return *this;
}

std::unique_ptr<Peers> Peers::make(env::Env env, Options options, env::SecureTransport& transport) {
  return std::make_unique<PeerSet>(env, std::move(options), transport);
}

namespace {

env::Task<Result<std::string>> ask(env::Stream& stream, RequestKind kind, std::string body) {
  wire::FrameWriter writer;
  const wire::Message question{.id = 1,
                               .content = wire::Request{.kind = static_cast<std::uint32_t>(kind),
                                                        .body = Payload(std::move(body))}};
  if (!wire::encode_message(question, writer)) {
    co_return fail(Code::kInvalidArgument, "request_too_large");
  }
  BLX_CO_TRY(co_await stream.write(writer.parts()));
  FrameReader reader(stream, limits::kEnrolBytes);
  BLX_CO_TRY(const wire::Message answer, co_await reader.next());
  if (const auto* refused = std::get_if<wire::Refused>(&answer.content)) {
    co_return std::unexpected(error_of(refused->why));
  }
  const auto* reply = std::get_if<wire::Reply>(&answer.content);
  if (reply == nullptr || answer.id != question.id) {
    co_return fail(Code::kInvalidArgument, "frame_unexpected");
  }
  if (reply->failure) co_return std::unexpected(error_of(*reply->failure));
  co_return std::string(reply->body.view());
}

}  // namespace

env::Task<Result<std::string>> ask_once(env::Env env, std::unique_ptr<env::Stream> stream,
                                        RequestKind kind, std::string body, Instant deadline) {
  co_return co_await env::with_deadline(env.executor, env.clock, deadline,
                                        ask(*stream, kind, std::move(body)));
}

}  // namespace blixard::peer

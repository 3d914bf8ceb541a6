#include "node/peer/peers.h"

#include <map>
#include <set>
#include <utility>

#include "base/assert.h"
#include "base/limits.h"
#include "env/scope.h"
#include "env/sync.h"
#include "node/peer/context.h"
#include "node/peer/inbound.h"
#include "node/peer/outbound.h"
#include "node/peer/reasons.h"

namespace blixard::peer {

namespace {

class PeerSet final : public Peers {
 public:
  PeerSet(env::Env env, Options options, env::SecureTransport& transport)
      : context_(std::make_shared<Context>(Context{.env = env,
                                                   .options = std::move(options),
                                                   .transport = transport,
                                                   .random = env.random.fork("peer")})),
        scope_(env.executor, nullptr) {}
  PeerSet(const PeerSet&) = delete;
  PeerSet& operator=(const PeerSet&) = delete;
  ~PeerSet() override { BLX_ASSERT(scope_.running() == 0 && listeners_.empty()); }

  void set_handler(Handler* handler) override { context_->handler = handler; }
  env::Task<Result<void>> serve(std::unique_ptr<env::Listener> listener) override;
  void set_peer(NodeId node, env::Endpoint address) override;
  void remove_peer(NodeId node) override;
  [[nodiscard]] std::vector<PeerStatus> status() const override;
  void send(std::vector<raft::Message> messages) override;
  env::Task<Result<std::string>> request(NodeId to, RequestKind kind, std::string body,
                                         Instant deadline) override;
  env::Task<Result<void>> send_snapshot(raft::Message message,
                                        std::unique_ptr<SnapshotSource> source) override;
  env::Task<void> stop() override;

 private:
  env::Task<void> run_connection(std::unique_ptr<env::Stream> stream);
  env::Task<void> serve_member(NodeId from, std::unique_ptr<env::Stream> stream);
  env::Task<void> serve_newcomer(std::unique_ptr<env::Stream> stream);
  env::Task<void> tell_unreachable(NodeId node);
  [[nodiscard]] std::shared_ptr<Outbound> find(NodeId node) const;

  std::shared_ptr<Context> context_;
  env::Scope scope_;
  bool stopping_ = false;
  std::set<env::Listener*> listeners_;
  std::map<NodeId, Traffic> traffic_;
  std::map<NodeId, std::shared_ptr<Outbound>> outbound_;
  std::map<NodeId, Inbound*> inbound_;  // the newest of each node
  std::size_t connections_ = 0;         // accepted
  std::size_t newcomers_ = 0;
};

env::Task<Result<void>> PeerSet::serve(std::unique_ptr<env::Listener> listener) {
  BLX_ASSERT(context_->handler != nullptr);
  listeners_.insert(listener.get());
  if (stopping_) listener->close();
  Result<void> result;
  while (!stopping_) {
    auto stream = co_await listener->accept();
    if (!stream) {
      result = std::unexpected(stream.error());
      break;
    }
    // One too many is closed without a word: its dialler tries again later.
    if (stopping_ || connections_ >= limits::kPeerConnections) continue;
    ++connections_;
    scope_.spawn(run_connection(std::move(*stream)));
  }
  if (stopping_) result = Result<void>();
  listeners_.erase(listener.get());
  listener->close();
  co_return result;
}

env::Task<void> PeerSet::run_connection(std::unique_ptr<env::Stream> stream) {
  const NodeId from = stream->peer().node;
  if (from) {
    co_await serve_member(from, std::move(stream));
  } else {
    co_await serve_newcomer(std::move(stream));
  }
  --connections_;
}

env::Task<void> PeerSet::serve_member(NodeId from, std::unique_ptr<env::Stream> stream) {
  Inbound inbound(*context_, from, std::move(stream), traffic_[from]);
  const auto greeted = co_await inbound.greet();
  if (!greeted) {
    BLX_LOG(context_->env.log, kInfo, "node {} is refused: {}", from.value,
            greeted.error().message());
    co_return;
  }
  // The other side made a new one, so it has given up the old one, whether we know it or not.
  Inbound*& current = inbound_[from];
  if (current != nullptr) current->replace();
  current = &inbound;
  if (const auto outbound = find(from)) outbound->hurry();
  co_await inbound.serve();
  if (const auto found = inbound_.find(from); found != inbound_.end()) {
    if (found->second == &inbound) inbound_.erase(found);
  }
}

env::Task<void> PeerSet::serve_newcomer(std::unique_ptr<env::Stream> stream) {
  if (newcomers_ >= limits::kEnrolConnections) co_return;
  ++newcomers_;
  env::Env& env = context_->env;
  const auto served = co_await env::with_deadline(env.executor, env.clock,
                                                  env.clock.monotonic() + limits::kEnrolTimeout,
                                                  serve_enrolment(*context_, *stream));
  if (!served) {
    BLX_LOG(env.log, kInfo, "{} did not enrol: {}", stream->peer().address,
            served.error().message());
  }
  --newcomers_;
}

env::Task<void> PeerSet::tell_unreachable(NodeId node) {
  if (!stopping_) context_->handler->on_unreachable(node);
  co_return;
}

std::shared_ptr<Outbound> PeerSet::find(NodeId node) const {
  const auto found = outbound_.find(node);
  return found == outbound_.end() ? nullptr : found->second;
}

void PeerSet::set_peer(NodeId node, env::Endpoint address) {
  BLX_ASSERT(context_->handler != nullptr && node && node != context_->options.self);
  if (stopping_) return;
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
  if (const auto known = find(node)) {
    known->stop();
    outbound_.erase(node);
  }
  if (const auto found = inbound_.find(node); found != inbound_.end()) {
    const auto admitted = context_->handler->admit(node);
    found->second->refuse(admitted ? Error(Code::kPermissionDenied, "member_removed")
                                   : admitted.error());
  }
}

std::vector<PeerStatus> PeerSet::status() const {
  std::vector<PeerStatus> all;
  all.reserve(outbound_.size());
  for (const auto& [node, outbound] : outbound_) {
    all.push_back({.node = node,
                   .address = outbound->address(),
                   .connected = outbound->connected(),
                   .accepted = inbound_.contains(node),
                   .round_trip = outbound->round_trip(),
                   .queued = outbound->queued(),
                   .traffic = traffic_.at(node)});
  }
  return all;
}

void PeerSet::send(std::vector<raft::Message> messages) {
  for (raft::Message& message : messages) {
    BLX_ASSERT(message.type != raft::MessageType::kSnapshot);
    // A node that nobody told us of (yet, or any more): as if its network were down.
    if (const auto found = outbound_.find(message.to); found != outbound_.end()) {
      found->second->send(std::move(message));
    }
  }
}

env::Task<Result<std::string>> PeerSet::request(NodeId to, RequestKind kind, std::string body,
                                                Instant deadline) {
  auto outbound = find(to);
  if (outbound == nullptr) co_return fail(Code::kUnavailable, kUnreachable);
  co_return co_await Outbound::request(std::move(outbound), kind, std::move(body), deadline);
}

env::Task<Result<void>> PeerSet::send_snapshot(raft::Message message,
                                               std::unique_ptr<SnapshotSource> source) {
  BLX_ASSERT(message.type == raft::MessageType::kSnapshot && message.snapshot);
  auto outbound = find(message.to);
  if (outbound == nullptr) co_return fail(Code::kUnavailable, kUnreachable);
  co_return co_await Outbound::send_snapshot(std::move(outbound), std::move(message),
                                             std::move(source));
}

env::Task<void> PeerSet::stop() {
  stopping_ = true;
  for (env::Listener* listener : listeners_)
    listener->close();
  for (const auto& [node, outbound] : outbound_)
    outbound->stop();
  scope_.cancel();
  co_await scope_.join();
}

}  // namespace

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

#pragma once

// Our connection to one peer: dialled again whenever it ends, with a growing, jittered delay. It
// carries our messages, requests and snapshots, and brings answers.
//
// Nothing is kept across connections: what was sent and not answered when one ends has failed, and
// answers are matched by ids that are never used twice.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include <boost/unordered/unordered_flat_map.hpp>

#include "env/scope.h"
#include "env/sync.h"
#include "node/peer/context.h"
#include "node/peer/link.h"
#include "node/peer/peers.h"
#include "node/peer/snapshot_transfer.h"

namespace blixard::peer {

class Outbound {
 public:
  // `tell_unreachable` is called at most once until there is a connection with room again.
  Outbound(std::shared_ptr<Context> context, NodeId node, env::Endpoint address, Traffic& traffic,
           env::Cancellation* parent, std::function<void()> tell_unreachable);
  Outbound(const Outbound&) = delete;
  Outbound& operator=(const Outbound&) = delete;
  ~Outbound();

  // Keeps a connection until stop().
  static env::Task<void> run(std::shared_ptr<Outbound> self);
  void stop();

  void set_address(env::Endpoint address);
  // The peer is there: do not wait for the next attempt.
  void hurry();

  void send(raft::Message message);
  // As send() when there is no room for it.
  void drop(raft::Message message);
  static env::Task<Result<std::string>> request(std::shared_ptr<Outbound> self, RequestKind kind,
                                                std::string body, Instant deadline);
  static env::Task<Result<void>> send_snapshot(std::shared_ptr<Outbound> self,
                                               raft::Message message,
                                               std::unique_ptr<SnapshotSource> source);

  [[nodiscard]] const env::Endpoint& address() const { return address_; }
  [[nodiscard]] bool connected() const { return link_ != nullptr; }
  [[nodiscard]] Duration round_trip() const { return round_trip_; }
  [[nodiscard]] std::size_t queued() const { return link_ ? link_->queue().frames() : 0; }

 private:
  class Answer;

  env::Task<void> keep_connected();
  env::Task<Result<void>> one_connection();
  env::Task<Result<std::unique_ptr<env::Stream>>> dial(Instant deadline);
  env::Task<Result<void>> greet(Link& link);
  env::Task<Result<void>> serve(Link& link);
  env::Task<void> watch(Link& link);
  env::Task<Result<void>> pause(Duration duration);
  Result<void> take(Link& link, wire::Message message);
  void take_reply(std::uint64_t id, wire::Reply reply);
  void connection_ended();
  void dropped();

  // Until there is a connection; at once an error when the last attempt failed.
  env::Task<Result<void>> connected_soon();
  env::Task<Result<std::string>> ask(RequestKind kind, std::string body, Instant deadline);
  env::Task<Result<void>> push_snapshot(SnapshotTransfer& transfer, raft::Message message,
                                        SnapshotSource& source);
  env::Task<Result<void>> progress(SnapshotTransfer& transfer);
  [[nodiscard]] bool is_current(const SnapshotTransfer& transfer) const;

  std::shared_ptr<Context> context_;
  NodeId node_;
  env::Endpoint address_;
  Traffic& traffic_;
  env::Cancellation cancellation_;
  std::function<void()> tell_unreachable_;

  bool stopping_ = false;
  bool attempt_failed_ = false;  // the last one, and none is connected since
  bool hurried_ = false;
  bool told_unreachable_ = false;
  env::Scope* attempt_ = nullptr;  // dialling or connected
  Link* link_ = nullptr;           // connected and greeted
  std::uint64_t connection_ = 0;   // counts them
  env::Signal changed_;            // any of the above

  std::uint64_t ping_ = 0;  // not answered; 0: none
  Instant ping_since_;
  Duration round_trip_{};

  boost::unordered_flat_map<std::uint64_t, Answer*> answers_;
  SnapshotTransfer* transfer_ = nullptr;
};

}  // namespace blixard::peer

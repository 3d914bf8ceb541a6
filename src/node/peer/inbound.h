#pragma once

// A connection that another node dialled: its messages, requests and snapshots; it takes our
// answers. Who it is comes from its certificate and from nowhere else; what it may do is asked of
// the handler before anything is read and for every frame, so a node that is removed is refused
// from then on.
//
// One without a certificate may ask once to enrol, and nothing else.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "env/places.h"
#include "env/scope.h"
#include "node/peer/context.h"
#include "node/peer/link.h"
#include "node/peer/snapshot_transfer.h"

namespace blixard::peer {

class Inbound {
 public:
  // `traffic` outlives it.
  Inbound(Context& context, NodeId from, std::unique_ptr<env::Stream> stream, Traffic& traffic);
  Inbound(const Inbound&) = delete;
  Inbound& operator=(const Inbound&) = delete;
  ~Inbound();

  // The greeting. After an error there is nothing to serve; the other has been told.
  env::Task<Result<void>> greet();
  // Until the connection ends.
  env::Task<void> serve();

  // Tells the other why and ends.
  void refuse(const Error& why);
  // A newer connection took its place: nothing of it counts any more.
  void replace();

  [[nodiscard]] NodeId from() const { return from_; }
  // Where it says it is reached, once greeted; may be anything. None: it is no server, which alone
  // is believed before this node has heard of it.
  [[nodiscard]] std::string_view address() const {
    return link_.peer().server ? std::string_view(address_) : std::string_view();
  }

 private:
  [[nodiscard]] Sender sender() const { return {.node = from_, .server = link_.peer().server}; }
  env::Task<Result<wire::Message>> first_frame(Duration limit);
  Result<void> check_greeting(const Result<wire::Message>& first);
  env::Task<Result<void>> read();
  env::Task<void> watch();
  env::Task<void> answer(std::uint64_t id, wire::Request request);
  env::Task<void> receive_snapshot(std::shared_ptr<SnapshotArrival> arrival, raft::Message message);
  Result<void> take(wire::Message message);
  Result<void> take_raft(raft::Message message);
  void take_request(std::uint64_t id, wire::Request request);
  Result<void> take_begin(std::uint64_t id, wire::SnapshotBegin begin);
  void reply(std::uint64_t id, Result<std::string> result);

  Context& context_;
  NodeId from_;
  Traffic& traffic_;
  Link link_;
  std::string address_;
  env::Scope* scope_ = nullptr;  // while served
  bool refused_ = false;
  std::size_t requests_ = 0;
  std::size_t request_bytes_ = 0;
  std::shared_ptr<SnapshotArrival> arrival_;  // the newest, until its task has ended
  std::size_t arrivals_ = 0;
};

// One kEnrol request over a stream without a certificate, and its answer. Settles `place` when the
// request is there. Errors: also that of the answer.
env::Task<Result<void>> serve_enrolment(Context& context, env::Stream& stream,
                                        env::Places::Place& place);

}  // namespace blixard::peer

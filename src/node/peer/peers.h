#pragma once

// The connections of this node to the others: messages of consensus, requests with an answer,
// snapshots, over mutual TLS (env::Security).
//
// One connection per peer and direction: the one we dialled carries what we send and the answers to
// our requests; the one they dialled carries theirs. Frames (core/wire/frame.h) of several kinds
// share it. Who sent a frame is decided by the certificate at the other end, never by its content.
//
// Sending never waits: each peer has bounded queues by priority (votes and heartbeats, appends and
// requests, snapshot chunks); what does not fit is dropped and told (unreachable), as a network
// would. A peer that does not answer pings within limits::kPeerPingTimeout is disconnected and
// dialled again with a growing, jittered delay.

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/payload.h"
#include "base/result.h"
#include "core/raft/types.h"
#include "env/env.h"
#include "env/task.h"

namespace blixard::peer {

// What a request asks; the body's encoding belongs to who asks and who answers.
enum class RequestKind : std::uint8_t {
  kPropose = 1,     // node/replica: a command, forwarded to the leader
  kMembership = 2,  // node/replica: a change of members or of the leader, forwarded to the leader
  kEnrol = 3,       // node/cluster: of a node that has no certificate yet
  kRenew = 4,       // node/cluster: a new certificate for the one that asks
  kTrace = 5,       // node: the spans of a trace
  kSaved = 6,       // node/agent: a piece of a saved guest, for the node that it goes on on
};
inline constexpr RequestKind kLastRequestKind = RequestKind::kSaved;

// Bytes of a snapshot that arrive, in order.
class SnapshotSink {
 public:
  virtual ~SnapshotSink() = default;  // without finish(): what came is thrown away
  virtual env::Task<Result<void>> write(Payload chunk) = 0;
  // All came and the checksum over all of it is right. The message is then handed to consensus by
  // whoever made the sink.
  virtual env::Task<Result<void>> finish() = 0;
};

// Bytes of a snapshot to send, in order; an empty piece is the end.
class SnapshotSource {
 public:
  virtual ~SnapshotSource() = default;
  [[nodiscard]] virtual std::uint64_t bytes() const = 0;
  virtual env::Task<Result<Payload>> read() = 0;  // at most limits::kSnapshotChunkBytes
};

// Who sent something, as its certificate proves.
struct Sender {
  NodeId node;
  bool server = false;
};

// What the node does with what comes. `from` is proven. Called on the node's thread.
class Handler {
 public:
  virtual ~Handler() = default;
  // Is this node to be talked to? Asked for every connection and every frame. The reason of the
  // error travels to the refused node (reasons.h).
  [[nodiscard]] virtual Result<void> admit(NodeId from) const = 0;
  // Whatever the sender wrote into Message::from has been replaced by `from.node`.
  virtual void on_message(Sender from, raft::Message message) = 0;
  virtual env::Task<Result<std::string>> on_request(NodeId from, RequestKind kind,
                                                    Payload body) = 0;
  virtual env::Task<Result<std::unique_ptr<SnapshotSink>>> on_snapshot(Sender from,
                                                                       raft::Message message,
                                                                       std::uint64_t bytes) = 0;
  // Something for `node` was dropped or our connection to it ended. Once until there is a
  // connection with room again. Never from inside a call of Peers.
  virtual void on_unreachable(NodeId node) = 0;
  // `node` says that this node is no member, with what its admit() said.
  virtual void on_refused(NodeId node, const Error& why) = 0;
};

// Of what waits to be sent, the first first.
enum class Urgency : std::uint8_t { kUrgent, kNormal, kBulk };
inline constexpr std::size_t kUrgencies = 3;

// Counted over all connections with a node, of both directions, since it became known.
struct Traffic {
  std::uint64_t connections = 0;  // ours that were made
  std::uint64_t frames_sent = 0;
  std::uint64_t bytes_sent = 0;
  std::uint64_t writes = 0;  // frames_sent / writes: how well they share a write
  std::uint64_t frames_received = 0;
  std::uint64_t bytes_received = 0;
  // Of those, moved in memory on their way: into the records of TLS, which have to be in one piece,
  // and from what was read ahead to where it belongs. Encoding, encryption and the kernel are not
  // in it.
  std::uint64_t bytes_sent_copied = 0;
  std::uint64_t bytes_received_copied = 0;
  std::uint64_t requests = 0;  // ours
  // Not sent, by urgency: no connection, a full queue, too large.
  std::array<std::uint64_t, kUrgencies> dropped{};
  std::uint64_t violations = 0;  // damaged, invalid or unexpected frames; each ended a connection

  Traffic& operator+=(const Traffic& other);
  [[nodiscard]] std::uint64_t all_dropped() const;
};

// Why a connection that others dialled was not served.
enum class Refusal : std::uint8_t {
  kHandshake,    // the transport's: no valid certificate, silence, or displaced by others
  kNotAdmitted,  // the handler says that its node is no member
  kGreeting,     // none, or of another cluster or version
  kDisplaced,    // a newer one of the same node, or another newcomer, needed its place
  kFull,         // too many
  kEnrolment,    // of a newcomer: not asked for properly, or not granted
};
inline constexpr std::size_t kRefusals = 6;

// Over all nodes there ever were, since the start: these never go back.
struct Counters {
  Traffic traffic;
  std::uint64_t reconnects = 0;  // ours that followed on an earlier one
  std::array<std::uint64_t, kRefusals> refused{};
};

struct PeerStatus {
  NodeId node;
  env::Endpoint address;
  bool connected = false;  // our connection to it
  bool accepted = false;   // its connection to us
  Duration round_trip{};   // of the last ping; 0: not known
  std::size_t queued = 0;  // frames that wait to be written
  Traffic traffic;
};

struct Options {
  NodeId self;
  std::string cluster;
  // HOST:PORT where others reach this node; told with each greeting. Empty: they know it.
  std::string address;
};

class Peers {
 public:
  virtual ~Peers() = default;

  static std::unique_ptr<Peers> make(env::Env env, Options options,
                                     env::SecureTransport& transport);

  // Serves connections that others dial, until stop(). Before anything comes, set_handler().
  virtual void set_handler(Handler* handler) = 0;
  virtual env::Task<Result<void>> serve(std::unique_ptr<env::Listener> listener) = 0;

  // Whom we know. A new address ends the old connection.
  virtual void set_peer(NodeId node, env::Endpoint address) = 0;
  virtual void remove_peer(NodeId node) = 0;
  [[nodiscard]] virtual std::vector<PeerStatus> status() const = 0;
  [[nodiscard]] virtual Counters counters() const = 0;

  // Each to its Message::to. Not kSnapshot, which goes by send_snapshot().
  virtual void send(std::vector<raft::Message> messages) = 0;

  // Errors: the answer's (code, reason and detail travel); kUnavailable "peer_unreachable",
  // "peer_queue_full", kDeadlineExceeded. After those the request may or may not have been carried
  // out.
  virtual env::Task<Result<std::string>> request(NodeId to, RequestKind kind, std::string body,
                                                 Instant deadline) = 0;

  // Returns when the peer has taken all of it (its sink's finish() succeeded). One at a time for
  // each peer: kResourceExhausted "snapshot_in_progress".
  virtual env::Task<Result<void>> send_snapshot(raft::Message message,
                                                std::unique_ptr<SnapshotSource> source) = 0;

  // Ends all connections, answers what waits with kUnavailable "peer_unreachable", and waits for
  // every task. Before the end of a Peers that was used, also when the node is cancelled.
  virtual env::Task<void> stop() = 0;
};

// One request over a stream of its own, for a node that is not a member yet (kEnrol). Errors: as
// Peers::request, kDataLoss and others if what answers is no peer of ours.
env::Task<Result<std::string>> ask_once(env::Env env, std::unique_ptr<env::Stream> stream,
                                        RequestKind kind, std::string body, Instant deadline);

}  // namespace blixard::peer

#pragma once

// The network between simulated machines, as TCP and unix sockets show it to programs.
//
// * Bytes of a stream arrive in order, in pieces cut by the seed, after a latency drawn for each.
// * A cut link (partition) holds what is under way; it goes on when the link heals, as TCP sends
//   again. A dial over a cut link tries again until its deadline.
// * Close tells the peer after what was sent before (end of stream), or resets it when bytes are
//   left unread, as the kernel does. A killed program's streams are reset; a machine without power
//   tells nobody: its peers find out when they send to the machine after it is back (half-open).
// * Each direction holds at most kStreamBytes; a writer waits for the reader beyond.

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "env/network.h"
#include "sim/engine.h"
#include "sim/incarnation.h"
#include "sim/random.h"

namespace blixard::sim {

class Fabric;

inline constexpr std::size_t kStreamBytes = std::size_t{256} << 10;
inline constexpr std::size_t kBacklog = 128;

// Waits until something about a stream changes; the waiter looks again.
class Wakeup final : public Operation<void> {
 public:
  Wakeup(Incarnation& owner, Wakeup*& slot) : Operation(owner), slot_(slot) {
    BLX_ASSERT(slot_ == nullptr);  // one reader and one writer at a time
    if (!completed()) slot_ = this;
  }
  ~Wakeup() override = default;
  static void wake(Wakeup*& slot) {
    if (slot != nullptr) std::exchange(slot, nullptr)->finish(Result<void>());
  }

 protected:
  void withdraw() override { slot_ = nullptr; }

 private:
  Wakeup*& slot_;
};

struct Segment {
  enum class Kind : std::uint8_t { kBytes, kEnd, kReset };
  Kind kind = Kind::kBytes;
  std::string bytes;
  Instant due;
};

// One end of a connection with what comes towards it.
struct Side {
  Incarnation* owner = nullptr;
  bool closed = false;  // by its program, or with it
  bool reset = false;   // by the other end
  bool ended = false;   // nothing more will come

  std::deque<Segment> under_way;
  std::size_t bytes_under_way = 0;
  std::optional<EventId> delivery;
  std::string arrived;
  std::size_t read = 0;  // of `arrived`

  Wakeup* reader = nullptr;
  Wakeup* writer = nullptr;

  [[nodiscard]] std::size_t unread() const { return arrived.size() - read; }
};

struct Connection : std::enable_shared_from_this<Connection> {
  explicit Connection(Fabric& fabric_of_it) : fabric(fabric_of_it) {}
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection();

  Fabric& fabric;
  std::uint64_t id = 0;
  bool local = false;  // unix: no link in between
  Side sides[2];
};

using Accepted = std::unique_ptr<env::Stream>;

inline std::unexpected<Error> sockets_exhausted() {
  return fail(Code::kResourceExhausted, "too_many_open_files");
}

class AcceptOperation;

// A listening socket.
struct Port {
  Incarnation* owner = nullptr;
  env::Endpoint endpoint;
  std::uint64_t inode = 0;  // of a unix socket
  bool closed = false;
  std::deque<Accepted> waiting;
  AcceptOperation* acceptor = nullptr;
};

class AcceptOperation final : public Operation<Accepted> {
 public:
  AcceptOperation(Incarnation& owner, std::shared_ptr<Port> port)
      : Operation(owner), port_(std::move(port)) {
    BLX_ASSERT(port_->acceptor == nullptr);
    if (!completed()) port_->acceptor = this;
  }
  ~AcceptOperation() override = default;

 protected:
  void withdraw() override { port_->acceptor = nullptr; }

 private:
  std::shared_ptr<Port> port_;
};

struct Latency {
  Duration least;
  Duration most;
};

class Fabric {
 public:
  Fabric(Engine& engine, std::uint64_t seed) : engine_(engine), random_(seed) {}

  void add(Host& host) { hosts_.push_back(&host); }
  [[nodiscard]] Host* find(const std::string& address, Host& from) const;  // null: nobody

  void cut(std::uint32_t from, std::uint32_t to) { cut_.insert({from, to}); }
  void heal(std::uint32_t from, std::uint32_t to);
  void heal_all();
  void set_latency(std::uint32_t from, std::uint32_t to, Latency latency) {
    latencies_[{from, to}] = latency;
  }
  void restore_latency(std::uint32_t from, std::uint32_t to) { latencies_.erase({from, to}); }
  // Both ends of every connection between the two find it reset; what was under way is lost.
  void reset(std::uint32_t a, std::uint32_t b);
  // What waited for a machine that is back goes on.
  void resume();

  [[nodiscard]] bool passes(Host& from, Host& to) const;
  Duration latency(Host& from, Host& to);

  // A connection between a dialling program and a listening one: the dialler's stream; the other
  // waits at the port.
  Accepted connect(Incarnation& dialler, Port& port, std::string dialler_address);

  // Of side `to`: queues a segment towards it.
  void send(Connection& connection, int to, Segment::Kind kind, std::string_view bytes);
  void close(Connection& connection, int side);
  void close(Port& port);

  // All sockets of a program that died.
  void drop(Incarnation& owner, bool silent);

  void forget(std::uint64_t id) { connections_.erase(id); }
  [[nodiscard]] Engine& engine() { return engine_; }
  [[nodiscard]] SeededRandom& random() { return random_; }

 private:
  void plan_delivery(Connection& connection, int to);
  void deliver(Connection& connection, int to);
  void take(Connection& connection, int to, Segment segment);

  Engine& engine_;
  SeededRandom random_;
  std::vector<Host*> hosts_;
  std::set<std::pair<std::uint32_t, std::uint32_t>> cut_;
  std::map<std::pair<std::uint32_t, std::uint32_t>, Latency> latencies_;
  std::uint64_t next_connection_ = 0;
  std::map<std::uint64_t, Connection*> connections_;
};

// The program's end of a connection.
Accepted make_stream(std::shared_ptr<Connection> connection, int side, env::PeerIdentity peer);

}  // namespace blixard::sim

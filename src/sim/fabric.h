#pragma once

// The network between simulated machines, as TCP and unix sockets show it to programs. link.h says
// what a link does to what crosses it; here are connections.
//
// * Bytes of a stream arrive in order, in pieces cut by the seed, each with its own latency.
// * A cut link (partition) holds what is under way; it goes on when the link heals, as TCP sends
//   again. A dial over a cut link tries again until its deadline.
// * Close tells the peer after what was sent before (end of stream), or resets it when bytes are
//   left unread, as the kernel does. A killed program's streams are reset; a machine without power
//   tells nobody: its peers find out when they send to the machine after it is back (half-open).
// * Each direction holds at most kStreamBytes; a writer waits for the reader beyond.
//
// Whatever the faults: what a stream delivers is a first part of what was written, in order, and
// all of it once links are well and nobody has reset the connection.
//
// Connections belong to the fabric; one is forgotten when both streams are gone and nothing of it
// is on its way.

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "env/network.h"
#include "sim/engine.h"
#include "sim/fifo.h"
#include "sim/incarnation.h"
#include "sim/link.h"
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
  enum class Kind : std::uint8_t { kBytes, kDamaged, kEnd, kReset };
  Kind kind = Kind::kBytes;
  std::size_t size = 0;
  Instant sent;  // when its last byte is on the link
  Duration travel{};
  Instant due;
};

struct Connection;

using Accepted = std::unique_ptr<env::Stream>;

// The arrival of what is first under way to one side.
class Delivery final : public Event {
 public:
  Delivery(Connection& connection, int to) : connection_(connection), to_(to) {}
  ~Delivery() = default;

 private:
  void happen() override;

  Connection& connection_;
  int to_;
};

// One end of a connection with what comes towards it.
struct Side {
  Side(Connection& connection, int number, Incarnation& owner_of_it, Link& link_to_it)
      : owner(&owner_of_it), link(&link_to_it), delivery(connection, number) {}

  Incarnation* owner;
  Link* link;
  Delivery delivery;
  bool closed = false;  // by its program, or with it
  bool reset = false;   // by the other end, or lost here
  bool ended = false;   // nothing more will come

  Fifo<Segment> under_way;
  // [read, arrived) is there for the reader, what follows is under way.
  std::string bytes;
  std::size_t read = 0;
  std::size_t arrived = 0;
  // Of other connections, that came this way and were not taken yet.
  std::deque<Accepted> handed;

  Wakeup* reader = nullptr;
  Wakeup* writer = nullptr;

  [[nodiscard]] std::size_t unread() const { return arrived - read; }
  [[nodiscard]] std::size_t held() const { return bytes.size() - read; }
  void consume(std::size_t count);
  void lose_under_way();
};

struct Connection {
  Connection(Fabric& fabric, std::uint64_t id, bool local, Incarnation& dialler,
             Incarnation& listener);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection();

  Fabric& fabric;
  std::uint64_t id;
  std::uint64_t number;       // among those between the two machines
  bool local;                 // unix: no link in between
  bool secure = false;        // its ends would notice a changed byte
  std::uint32_t streams = 2;  // that programs or ports still have
  Side sides[2];

  [[nodiscard]] bool joins(std::uint32_t a, std::uint32_t b) const;
};

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

class Fabric {
 public:
  Fabric(Engine& engine, std::uint64_t seed) : engine_(engine), random_(seed) {}
  ~Fabric();
  Fabric(const Fabric&) = delete;
  Fabric& operator=(const Fabric&) = delete;

  void add(Host& host) { hosts_.push_back(&host); }
  [[nodiscard]] Host* find(const std::string& address, Host& from) const;  // null: nobody

  // After a change of what it lets through, resume(); of its bandwidth, set_bandwidth().
  Link& link(std::uint32_t from, std::uint32_t to);
  void heal_all();
  void set_bandwidth(Link& link, Bytes a_second);
  void restore(Link& link);
  void clog(std::uint32_t a, std::uint32_t b);
  // Both ends of every connection between the two find it reset; what was under way is lost.
  void reset(std::uint32_t a, std::uint32_t b);
  // Every connection between the two is gone at a's end; the other finds out when it sends.
  void half_open(std::uint32_t a, std::uint32_t b);
  // What waited for a link or for a machine that is back goes on.
  void resume();

  [[nodiscard]] bool passes(Host& from, Host& to);

  // A connection between a dialling program and a listening one: the dialler's stream; the other
  // waits at the port.
  Accepted connect(Incarnation& dialler, Port& port, std::string dialler_address);
  // Both ends of a connection without a name.
  env::StreamPair pair(Incarnation& owner);

  // Of side `to`: queues segments towards it.
  void send(Connection& connection, int to, Segment::Kind kind, std::string_view bytes);
  void close(Connection& connection, int side);
  void close(Port& port);
  // A stream of it is gone, and so may be the connection.
  void release(Connection& connection);

  // All sockets of a program that died.
  void drop(Incarnation& owner, bool silent);

  [[nodiscard]] std::uint64_t number_connection(std::uint32_t a, std::uint32_t b);
  [[nodiscard]] Engine& engine() { return engine_; }

 private:
  friend class Delivery;

  void send_segment(Connection& connection, int to, Segment::Kind kind, std::string_view bytes);
  void plan_delivery(Connection& connection, int to);
  void deliver(Connection& connection, int to);
  void take(Connection& connection, int to, Segment segment);
  void answer_with_reset(Connection& connection, int from);
  void forget_if_over(Connection& connection);

  struct Pair {
    std::uint64_t connections = 0;  // that there have been
    std::uint64_t clogs = 0;
  };

  Engine& engine_;
  SeededRandom random_;
  std::vector<Host*> hosts_;
  std::map<std::pair<std::uint32_t, std::uint32_t>, Link> links_;
  std::map<std::pair<std::uint32_t, std::uint32_t>, Pair> pairs_;  // the lower number first
  std::uint64_t next_connection_ = 0;
  std::map<std::uint64_t, std::unique_ptr<Connection>> connections_;
};

// The program's end of a connection.
Accepted make_stream(Connection& connection, int side, env::PeerIdentity peer);
// From here on its ends notice a changed byte. Precondition: made by make_stream().
void make_secure(env::Stream& stream);
// The oldest that came to this end with write_with(); null: there is none. Precondition: as above.
Accepted take_handed(env::Stream& stream);

}  // namespace blixard::sim

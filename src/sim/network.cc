// The network as one program sees it: sockets of its machine over the fabric.

#include <algorithm>
#include <array>

#include "sim/fabric.h"
#include "sim/host.h"

namespace blixard::sim {
namespace {

using env::Endpoint;

constexpr Duration kRetryFirst = 1s;
constexpr Duration kRetryMost = 16s;
constexpr std::uint16_t kChosenPortFirst = 32768;

class SimStream final : public env::Stream {
 public:
  SimStream(Connection& connection, int side, env::PeerIdentity peer)
      : connection_(connection), number_(side), peer_(std::move(peer)) {}
  SimStream(const SimStream&) = delete;
  SimStream& operator=(const SimStream&) = delete;
  ~SimStream() override {
    connection_.fabric.close(connection_, number_);
    connection_.fabric.release(connection_);
  }

  env::Task<Result<std::size_t>> read_some(std::span<char> buffer) override {
    const observe::AllocationTag tag(observe::Subsystem::kSimulator);
    Side& mine = side();
    while (true) {
      if (!mine.owner->alive()) co_return crashed();
      if (mine.closed) co_return fail(Code::kUnavailable, "closed");
      if (mine.unread() > 0) break;
      if (mine.reset) co_return fail(Code::kUnavailable, "connection_lost");
      if (mine.ended) co_return std::size_t{0};
      Wakeup wakeup(*mine.owner, mine.reader);
      BLX_CO_TRY(co_await wakeup);
    }
    const std::size_t count = mine.link->read_of(std::min(buffer.size(), mine.unread()));
    std::copy_n(mine.bytes.data() + mine.read, count, buffer.data());
    mine.consume(count);
    Wakeup::wake(other().writer);
    co_return count;
  }

  env::Task<Result<void>> write(std::span<const std::string_view> parts) override {
    const observe::AllocationTag tag(observe::Subsystem::kSimulator);
    Side& mine = side();
    for (std::string_view part : parts) {
      while (!part.empty()) {
        if (!mine.owner->alive()) co_return crashed();
        if (mine.closed) co_return fail(Code::kUnavailable, "closed");
        if (mine.reset) co_return fail(Code::kUnavailable, "connection_lost");
        const std::size_t held = other().held();
        if (held >= kStreamBytes) {
          Wakeup wakeup(*mine.owner, mine.writer);
          BLX_CO_TRY(co_await wakeup);
          continue;
        }
        const std::string_view now = part.substr(0, kStreamBytes - held);
        connection_.fabric.send(connection_, 1 - number_, Segment::Kind::kBytes, now);
        part.remove_prefix(now.size());
      }
    }
    co_return Result<void>();
  }

  env::Task<Result<void>> write_with(std::string_view bytes, Accepted handed) override {
    auto* theirs = dynamic_cast<SimStream*>(handed.get());
    if (theirs == nullptr || !theirs->connection_.local || !connection_.local) {
      co_return co_await env::Stream::write_with(bytes, std::move(handed));
    }
    if (!side().owner->alive()) co_return crashed();
    if (side().closed) co_return fail(Code::kUnavailable, "closed");
    if (side().reset || other().closed) co_return fail(Code::kUnavailable, "connection_lost");
    theirs->side().owner = other().owner;
    other().handed.push_back(std::move(handed));
    co_return co_await write_all(bytes);
  }

  void close() override { connection_.fabric.close(connection_, number_); }
  const env::PeerIdentity& peer() const override { return peer_; }
  void make_secure() { connection_.secure = true; }
  Accepted take_handed() {
    if (side().handed.empty()) return nullptr;
    Accepted stream = std::move(side().handed.front());
    side().handed.pop_front();
    return stream;
  }

 private:
  Side& side() { return connection_.sides[number_]; }
  Side& other() { return connection_.sides[1 - number_]; }

  Connection& connection_;
  int number_;
  env::PeerIdentity peer_;
};

class SimListener final : public env::Listener {
 public:
  SimListener(Incarnation& owner, std::shared_ptr<Port> port)
      : owner_(owner), port_(std::move(port)) {}
  SimListener(const SimListener&) = delete;
  SimListener& operator=(const SimListener&) = delete;
  ~SimListener() override { end(); }

  env::Task<Result<Accepted>> accept() override {
    if (!owner_.alive()) co_return crashed();
    if (port_->closed) co_return fail(Code::kUnavailable, "closed");
    if (owner_.host().sockets_exhausted) co_return sockets_exhausted();
    if (!port_->waiting.empty()) {
      Accepted stream = std::move(port_->waiting.front());
      port_->waiting.pop_front();
      co_return std::move(stream);
    }
    AcceptOperation operation(owner_, port_);
    co_return co_await operation;
  }
  Endpoint local() const override { return port_->endpoint; }
  void close() override { end(); }

 private:
  void end() {
    if (port_->closed) return;
    FileSystem& files = owner_.host().files;
    if (port_->endpoint.kind == Endpoint::Kind::kUnix) {
      const auto socket = files.find(port_->endpoint.host);
      if (socket && (*socket)->id == port_->inode) {
        ignore(files.remove(port_->endpoint.host), "it was found");
      }
    }
    owner_.host().fabric.close(*port_);
  }

  Incarnation& owner_;
  std::shared_ptr<Port> port_;
};

class SimNetwork final : public env::Network {
 public:
  explicit SimNetwork(Incarnation& owner) : owner_(owner) {}

  env::Task<Result<std::unique_ptr<env::Listener>>> listen(Endpoint endpoint) override {
    if (!owner_.alive()) co_return crashed();
    auto port = endpoint.kind == Endpoint::Kind::kUnix ? listen_unix(endpoint.host)
                                                       : listen_tcp(std::move(endpoint));
    if (!port) co_return std::unexpected(port.error());
    co_return std::make_unique<SimListener>(owner_, std::move(*port));
  }

  env::Task<Result<Accepted>> dial(Endpoint endpoint, Instant deadline) override {
    Host& here = owner_.host();
    if (endpoint.kind == Endpoint::Kind::kUnix) {
      co_return co_await dial_unix(endpoint.host, deadline);
    }
    Host* there = here.fabric.find(endpoint.host, here);
    for (Duration retry = kRetryFirst;; retry = std::min(2 * retry, kRetryMost)) {
      if (there != nullptr && here.fabric.passes(here, *there)) {
        Link& link = link_to(here, *there);
        const bool is_lost = link.loses_dial();
        BLX_CO_TRY(co_await wait(link.latency(), deadline));
        if (!is_lost && here.fabric.passes(here, *there) && here.fabric.passes(*there, here)) {
          const auto port = find_port(*there, endpoint);
          if (port == nullptr || port->waiting.size() < kBacklog) {
            co_return co_await answer(*there, port, deadline);
          }
        }
      }
      BLX_CO_TRY(co_await wait(retry, deadline));
    }
  }

  env::Task<Result<env::StreamPair>> pair() override {
    if (!owner_.alive()) co_return crashed();
    if (owner_.host().sockets_exhausted) co_return sockets_exhausted();
    co_return owner_.host().fabric.pair(owner_);
  }

 private:
  static Link& link_to(Host& from, Host& to) { return from.fabric.link(from.number, to.number); }

  // Past the deadline, which is of this machine's clock, the dial has failed.
  env::Task<Result<void>> wait(Duration duration, Instant deadline) {
    const Instant until = owner_.engine().now() + duration;
    Pause pause(owner_, until, deadline);
    BLX_CO_TRY(co_await pause);
    if (owner_.engine().now() < until) {
      co_return fail(Code::kDeadlineExceeded, "connect_timed_out");
    }
    co_return Result<void>();
  }

  env::Task<Result<Accepted>> answer(Host& there, std::shared_ptr<Port> port, Instant deadline) {
    Host& here = owner_.host();
    Link& link = link_to(there, here);
    Duration back = link.latency();
    for (Duration again = kRetryFirst; again <= kRetryMost && link.loses_dial(); again *= 2)
      back += again;
    if (port == nullptr) {
      BLX_CO_TRY(co_await wait(back, deadline));
      co_return fail(Code::kUnavailable, "connection_refused");
    }
    const auto address = Endpoint::tcp(&there == &here ? "127.0.0.1" : here.address, choose_port());
    Accepted stream = here.fabric.connect(owner_, *port, address.text());
    BLX_CO_TRY(co_await wait(back, deadline));
    co_return std::move(stream);
  }

  env::Task<Result<Accepted>> dial_unix(std::string path, Instant deadline) {
    Host& here = owner_.host();
    BLX_CO_TRY(co_await wait(link_to(here, here).latency(), deadline));
    const auto socket = here.files.find(path);
    if (!socket) co_return fail(Code::kUnavailable, "socket_missing", path);
    const std::uint32_t uid = owner_.owner().uid;
    if (uid != 0 && uid != (*socket)->owner.uid && ((*socket)->mode & 02) == 0) {
      co_return fail(Code::kPermissionDenied, "permission_denied", path);
    }
    const auto port = here.unix_ports.find((*socket)->id);
    if (port == here.unix_ports.end() || port->second->waiting.size() >= kBacklog) {
      co_return fail(Code::kUnavailable, "connection_refused", "nobody listens at " + path);
    }
    co_return here.fabric.connect(owner_, *port->second, "unix:");
  }

  Result<std::shared_ptr<Port>> listen_unix(const std::string& path) {
    Host& host = owner_.host();
    if (const auto old = host.files.find(path)) {
      if ((*old)->kind != Inode::Kind::kSocket || host.unix_ports.contains((*old)->id)) {
        return fail(Code::kAlreadyExists, "address_in_use", path + " is in use");
      }
      BLX_TRY(host.files.remove(path));
    }
    BLX_TRY(const InodePtr socket, host.files.make_socket(path, owner_.owner()));
    auto port = std::make_shared<Port>();
    port->owner = &owner_;
    port->endpoint = Endpoint::unix_socket(path);
    port->inode = socket->id;
    host.unix_ports[socket->id] = port;
    return port;
  }

  Result<std::shared_ptr<Port>> listen_tcp(Endpoint endpoint) {
    Host& host = owner_.host();
    const bool is_ours =
        is_wildcard(endpoint.host) || host.fabric.find(endpoint.host, host) == &host;
    if (!is_ours) {
      return fail(Code::kInvalidArgument, "address_not_local",
                  endpoint.host + " is not an address of this machine");
    }
    if (endpoint.port == 0) endpoint.port = choose_port();
    const auto [first, last] = host.tcp_ports.equal_range(endpoint.port);
    for (auto entry = first; entry != last; ++entry) {
      const std::string& other = entry->second->endpoint.host;
      if (is_wildcard(other) || is_wildcard(endpoint.host) || other == endpoint.host) {
        return fail(Code::kAlreadyExists, "address_in_use", endpoint.text() + " is in use");
      }
    }
    auto port = std::make_shared<Port>();
    port->owner = &owner_;
    port->endpoint = std::move(endpoint);
    host.tcp_ports.emplace(port->endpoint.port, port);
    return port;
  }

  static bool is_wildcard(const std::string& host) { return host == "0.0.0.0" || host == "::"; }

  static std::shared_ptr<Port> find_port(Host& host, const Endpoint& target) {
    const auto [first, last] = host.tcp_ports.equal_range(target.port);
    for (auto entry = first; entry != last; ++entry) {
      const std::string& at = entry->second->endpoint.host;
      if (is_wildcard(at) || at == target.host) return entry->second;
    }
    return nullptr;
  }

  std::uint16_t choose_port() {
    Host& host = owner_.host();
    std::uint16_t port = 0;
    do {
      port = host.next_port;
      host.next_port = port == 60999 ? kChosenPortFirst : static_cast<std::uint16_t>(port + 1);
    } while (host.tcp_ports.contains(port));
    return port;
  }

  Incarnation& owner_;
};

}  // namespace

Accepted make_stream(Connection& connection, int side, env::PeerIdentity peer) {
  return std::make_unique<SimStream>(connection, side, std::move(peer));
}

void make_secure(env::Stream& stream) { static_cast<SimStream&>(stream).make_secure(); }

Accepted take_handed(env::Stream& stream) { return static_cast<SimStream&>(stream).take_handed(); }

std::unique_ptr<env::Network> make_network(Incarnation& owner) {
  return std::make_unique<SimNetwork>(owner);
}

}  // namespace blixard::sim

#include "sim/fabric.h"

#include <algorithm>

#include "sim/host.h"

namespace blixard::sim {
namespace {

constexpr Latency kBetweenMachines{100us, 1ms};
constexpr Latency kWithinMachine{5us, 30us};
constexpr std::size_t kSegmentBytes = std::size_t{64} << 10;

}  // namespace

Connection::~Connection() { fabric.forget(id); }

Host* Fabric::find(const std::string& address, Host& from) const {
  if (address.starts_with("127.") || address == "::1") return &from;
  const auto host = std::ranges::find_if(
      hosts_, [&](const Host* candidate) { return candidate->address == address; });
  return host == hosts_.end() ? nullptr : *host;
}

bool Fabric::passes(Host& from, Host& to) const {
  return from.powered && to.powered && !cut_.contains({from.number, to.number});
}

Duration Fabric::latency(Host& from, Host& to) {
  const auto set = latencies_.find({from.number, to.number});
  const Latency range = set != latencies_.end() ? set->second
                        : &from == &to          ? kWithinMachine
                                                : kBetweenMachines;
  return random_.between(range.least, range.most);
}

void Fabric::heal(std::uint32_t from, std::uint32_t to) {
  cut_.erase({from, to});
  resume();
}

void Fabric::heal_all() {
  cut_.clear();
  resume();
}

void Fabric::reset(std::uint32_t a, std::uint32_t b) {
  for (auto& [id, connection] : connections_) {
    const std::uint32_t first = connection->sides[0].owner->host().number;
    const std::uint32_t second = connection->sides[1].owner->host().number;
    if (std::minmax(first, second) != std::minmax(a, b)) continue;
    engine_.trace().mix(id);
    for (Side& side : connection->sides) {
      side.under_way.clear();
      side.bytes_under_way = 0;
      side.reset = true;
      Wakeup::wake(side.reader);
      Wakeup::wake(side.writer);
    }
  }
}

void Fabric::resume() {
  for (auto& [id, connection] : connections_) {
    plan_delivery(*connection, 0);
    plan_delivery(*connection, 1);
  }
}

Accepted Fabric::connect(Incarnation& dialler, Port& port, std::string dialler_address) {
  auto connection = std::make_shared<Connection>(*this);
  connection->id = ++next_connection_;
  connection->local = port.endpoint.kind == env::Endpoint::Kind::kUnix;
  connection->sides[0].owner = &dialler;
  connection->sides[1].owner = port.owner;
  connections_[connection->id] = connection.get();
  const bool local = connection->local;
  const auto uid_of = [local](const Incarnation& who) {
    return local ? static_cast<std::int64_t>(who.owner().uid) : -1;
  };
  Accepted theirs =
      make_stream(connection, 1, {.uid = uid_of(dialler), .address = std::move(dialler_address)});
  AcceptOperation* acceptor = std::exchange(port.acceptor, nullptr);
  const bool exhausted = port.owner->host().sockets_exhausted;
  if (acceptor != nullptr && !exhausted) {
    acceptor->finish(std::move(theirs));
  } else {
    port.waiting.push_back(std::move(theirs));
    if (acceptor != nullptr) acceptor->finish(sockets_exhausted());
  }
  return make_stream(connection, 0, {.uid = uid_of(*port.owner), .address = port.endpoint.text()});
}

void Fabric::send(Connection& connection, int to, Segment::Kind kind, std::string_view bytes) {
  Side& side = connection.sides[to];
  Host& from_host = connection.sides[1 - to].owner->host();
  do {
    std::size_t count = std::min(bytes.size(), kSegmentBytes);
    if (count > 1 && random_.one_in(4)) count = 1 + random_.below(count);
    Instant due = engine_.now() + latency(from_host, side.owner->host());
    if (!side.under_way.empty()) due = std::max(due, side.under_way.back().due);
    side.under_way.push_back({kind, std::string(bytes.substr(0, count)), due});
    side.bytes_under_way += count;
    bytes.remove_prefix(count);
  } while (!bytes.empty());
  plan_delivery(connection, to);
}

void Fabric::plan_delivery(Connection& connection, int to) {
  Side& side = connection.sides[to];
  if (side.delivery || side.under_way.empty()) return;
  side.delivery =
      engine_.schedule(side.under_way.front().due, side.owner->host().number,
                       [this, kept = connection.shared_from_this(), to] { deliver(*kept, to); });
}

void Fabric::deliver(Connection& connection, int to) {
  Side& side = connection.sides[to];
  side.delivery.reset();
  Host& host = side.owner->host();
  // What was sent before its sender lost power is on its way all the same.
  const bool passes_link =
      host.powered && !cut_.contains({connection.sides[1 - to].owner->host().number, host.number});
  if (!passes_link) return;  // resume() plans it again
  while (!side.under_way.empty() && side.under_way.front().due <= engine_.now()) {
    Segment segment = std::move(side.under_way.front());
    side.under_way.pop_front();
    side.bytes_under_way -= segment.bytes.size();
    take(connection, to, std::move(segment));
  }
  plan_delivery(connection, to);
}

void Fabric::take(Connection& connection, int to, Segment segment) {
  Side& side = connection.sides[to];
  Side& other = connection.sides[1 - to];
  engine_.trace().mix(connection.id);
  engine_.trace().mix(segment.bytes);
  switch (segment.kind) {
    case Segment::Kind::kEnd:
      side.ended = true;
      break;
    case Segment::Kind::kReset:
      side.reset = true;
      break;
    case Segment::Kind::kBytes:
      if (side.closed) {
        if (!other.closed && !other.reset) send(connection, 1 - to, Segment::Kind::kReset, {});
        return;
      }
      side.arrived.append(segment.bytes);
  }
  Wakeup::wake(side.reader);
  if (side.reset) Wakeup::wake(side.writer);
}

void Fabric::close(Connection& connection, int side_number) {
  Side& side = connection.sides[side_number];
  if (side.closed) return;
  side.closed = true;
  Wakeup::wake(side.reader);
  Wakeup::wake(side.writer);
  if (side.reset) return;
  send(connection, 1 - side_number, side.unread() > 0 ? Segment::Kind::kReset : Segment::Kind::kEnd,
       {});
}

void Fabric::close(Port& port) {
  if (port.closed) return;
  port.closed = true;
  port.waiting.clear();
  if (port.acceptor != nullptr) {
    std::exchange(port.acceptor, nullptr)->finish(fail(Code::kUnavailable, "closed"));
  }
  Host& host = port.owner->host();
  const auto is_this = [&](const auto& entry) { return entry.second.get() == &port; };
  std::erase_if(host.unix_ports, is_this);
  std::erase_if(host.tcp_ports, is_this);
}

void Fabric::drop(Incarnation& owner, bool silent) {
  for (auto& [id, connection] : connections_) {
    for (int i : {0, 1}) {
      Side& side = connection->sides[i];
      if (side.owner != &owner || side.closed) continue;
      side.closed = true;
      if (!silent && !side.reset) send(*connection, 1 - i, Segment::Kind::kReset, {});
    }
  }
  Host& host = owner.host();
  std::vector<std::shared_ptr<Port>> ports;
  for (const auto& [number, port] : host.tcp_ports)
    if (port->owner == &owner) ports.push_back(port);
  for (const auto& [inode, port] : host.unix_ports)
    if (port->owner == &owner) ports.push_back(port);
  for (const auto& port : ports)
    close(*port);
}

}  // namespace blixard::sim

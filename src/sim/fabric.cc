#include "sim/fabric.h"

#include <algorithm>
#include <iterator>

#include "sim/host.h"

namespace blixard::sim {
void Side::consume(std::size_t count) {
  constexpr std::size_t kSlack = std::size_t{64} << 10;
  read += count;
  if (read < bytes.size() && (read < kSlack || read * 2 < bytes.size())) return;
  bytes.erase(0, read);
  arrived -= read;
  read = 0;
}

void Side::lose_under_way() {
  under_way.clear();
  bytes.resize(arrived);
}

Connection::Connection(Fabric& fabric_of_it, std::uint64_t id_of_it, bool is_local,
                       Incarnation& dialler, Incarnation& listener)
    : fabric(fabric_of_it),
      id(id_of_it),
      number(fabric.number_connection(dialler.host().number, listener.host().number)),
      local(is_local),
      sides{{*this, 0, dialler, fabric.link(listener.host().number, dialler.host().number)},
            {*this, 1, listener, fabric.link(dialler.host().number, listener.host().number)}} {}

Connection::~Connection() {
  for (Side& side : sides)
    fabric.engine().cancel(side.delivery);
}

bool Connection::joins(std::uint32_t a, std::uint32_t b) const {
  return std::minmax(sides[0].link->to, sides[1].link->to) == std::minmax(a, b);
}

void Delivery::happen() { connection_.fabric.deliver(connection_, to_); }

Fabric::~Fabric() {
  for (auto& [id, connection] : connections_)
    for (Side& side : connection->sides)
      side.handed.clear();
}

Host* Fabric::find(const std::string& address, Host& from) const {
  if (address.starts_with("127.") || address == "::1") return &from;
  const auto host = std::ranges::find_if(
      hosts_, [&](const Host* candidate) { return candidate->address == address; });
  return host == hosts_.end() ? nullptr : *host;
}

Link& Fabric::link(std::uint32_t from, std::uint32_t to) {
  const auto found = links_.find({from, to});
  if (found != links_.end()) return found->second;
  const std::uint64_t seed =
      random_.seed_for("link " + std::to_string(from) + " " + std::to_string(to));
  return links_
      .emplace(std::piecewise_construct, std::forward_as_tuple(from, to),
               std::forward_as_tuple(from, to, seed))
      .first->second;
}

std::uint64_t Fabric::number_connection(std::uint32_t a, std::uint32_t b) {
  return ++pairs_[std::minmax(a, b)].connections;
}

bool Fabric::passes(Host& from, Host& to) {
  return from.powered && to.powered && !link(from.number, to.number).cut;
}

void Fabric::heal_all() {
  for (auto& [ends, one] : links_)
    one.cut = false;
  resume();
}

void Fabric::set_bandwidth(Link& link, Bytes a_second) {
  link.faults.bandwidth = a_second;
  std::multimap<Instant, Segment*> waiting;  // those of one time in the order they came
  for (auto& [id, connection] : connections_) {
    for (Side& side : connection->sides) {
      if (side.link != &link) continue;
      for (std::size_t i = 0; i < side.under_way.size(); ++i)
        if (side.under_way[i].sent > engine_.now())
          waiting.emplace(side.under_way[i].sent, &side.under_way[i]);
    }
  }
  link.free_at = engine_.now();
  for (const auto& [sent, segment] : waiting)
    segment->sent = link.transmit(engine_.now(), segment->size);
  for (auto& [id, connection] : connections_) {
    for (int to : {0, 1}) {
      Side& side = connection->sides[to];
      if (side.link != &link) continue;
      Instant due = engine_.now();
      for (std::size_t i = 0; i < side.under_way.size(); ++i) {
        Segment& segment = side.under_way[i];
        due = std::max(due, segment.sent + segment.travel);
        segment.due = due;
      }
      engine_.cancel(side.delivery);
      plan_delivery(*connection, to);
    }
  }
}

void Fabric::restore(Link& link) {
  link.restore();
  set_bandwidth(link, link.faults.bandwidth);
}

void Fabric::clog(std::uint32_t a, std::uint32_t b) {
  const auto ends = std::minmax(a, b);
  const std::uint64_t coin =
      random_.seed_for("clog " + std::to_string(ends.first) + " " + std::to_string(ends.second) +
                       " " + std::to_string(++pairs_[ends].clogs));
  for (Link* one : {&link(a, b), &link(b, a)}) {
    one->faults.clogged = true;
    one->clog_coin = coin;
  }
}

void Fabric::reset(std::uint32_t a, std::uint32_t b) {
  for (auto& [id, connection] : connections_) {
    if (!connection->joins(a, b)) continue;
    engine_.trace().mix(id);
    for (Side& side : connection->sides) {
      side.lose_under_way();
      side.reset = true;
      Wakeup::wake(side.reader);
      Wakeup::wake(side.writer);
    }
  }
}

void Fabric::half_open(std::uint32_t a, std::uint32_t b) {
  for (auto& [id, connection] : connections_) {
    if (connection->local || !connection->joins(a, b)) continue;
    for (Side& side : connection->sides) {
      if (side.link->to != a || side.closed) continue;
      engine_.trace().mix(id);
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
  const bool local = port.endpoint.kind == env::Endpoint::Kind::kUnix;
  const std::uint64_t id = ++next_connection_;
  Connection& connection =
      *connections_
           .emplace(id, std::make_unique<Connection>(*this, id, local, dialler, *port.owner))
           .first->second;
  const auto uid_of = [local](const Incarnation& who) {
    return local ? static_cast<std::int64_t>(who.owner().uid) : -1;
  };
  Accepted theirs =
      make_stream(connection, 1, {.uid = uid_of(dialler), .address = std::move(dialler_address)});
  Accepted ours =
      make_stream(connection, 0, {.uid = uid_of(*port.owner), .address = port.endpoint.text()});
  AcceptOperation* acceptor = std::exchange(port.acceptor, nullptr);
  const bool exhausted = port.owner->host().sockets_exhausted;
  if (acceptor != nullptr && !exhausted) {
    acceptor->finish(std::move(theirs));
  } else {
    port.waiting.push_back(std::move(theirs));
    if (acceptor != nullptr) acceptor->finish(sockets_exhausted());
  }
  return ours;
}

env::StreamPair Fabric::pair(Incarnation& owner) {
  const std::uint64_t id = ++next_connection_;
  Connection& connection =
      *connections_.emplace(id, std::make_unique<Connection>(*this, id, true, owner, owner))
           .first->second;
  const env::PeerIdentity peer{.uid = owner.owner().uid, .address = "unix:"};
  return {make_stream(connection, 0, peer), make_stream(connection, 1, peer)};
}

void Fabric::send(Connection& connection, int to, Segment::Kind kind, std::string_view bytes) {
  do {
    const std::size_t count = connection.sides[to].link->piece_of(bytes.size());
    send_segment(connection, to, kind, bytes.substr(0, count));
    bytes.remove_prefix(count);
  } while (!bytes.empty());
  plan_delivery(connection, to);
}

void Fabric::send_segment(Connection& connection, int to, Segment::Kind kind,
                          std::string_view bytes) {
  Side& side = connection.sides[to];
  Link& link = *side.link;
  Segment segment{.kind = kind, .size = bytes.size(), .sent = engine_.now()};
  if (connection.local) {
    segment.travel = link.latency();
  } else {
    segment.sent = link.transmit(engine_.now(), bytes.size());
    segment.travel = link.travel();
    if (kind == Segment::Kind::kBytes && link.damages()) {
      if (connection.secure)
        segment.kind = Segment::Kind::kDamaged;
      else
        segment.travel += Link::kRetransmitFirst;
    }
  }
  segment.due = segment.sent + segment.travel;
  if (!side.under_way.empty()) segment.due = std::max(segment.due, side.under_way.back().due);
  side.bytes += bytes;
  side.under_way.push(segment);
}

void Fabric::plan_delivery(Connection& connection, int to) {
  Side& side = connection.sides[to];
  if (side.delivery.scheduled() || side.under_way.empty()) return;
  engine_.schedule(side.delivery, side.under_way.front().due, side.link->to);
}

void Fabric::deliver(Connection& connection, int to) {
  Side& side = connection.sides[to];
  // What was sent before its sender lost power is on its way all the same.
  const bool passes_link =
      side.owner->host().powered &&
      (connection.local || (!side.link->cut && !side.link->holds(connection.number)));
  if (passes_link) {  // else resume() plans it again
    while (!side.under_way.empty() && side.under_way.front().due <= engine_.now())
      take(connection, to, side.under_way.pop());
    plan_delivery(connection, to);
  }
  forget_if_over(connection);
}

void Fabric::take(Connection& connection, int to, Segment segment) {
  Side& side = connection.sides[to];
  const auto bytes = std::string_view(side.bytes).substr(side.arrived, segment.size);
  engine_.trace().mix(connection.id);
  engine_.trace().mix(bytes);
  switch (segment.kind) {
    case Segment::Kind::kEnd:
      side.ended = true;
      break;
    case Segment::Kind::kReset:
      side.reset = true;
      break;
    case Segment::Kind::kDamaged:
    case Segment::Kind::kBytes:
      if (segment.kind == Segment::Kind::kBytes && !side.closed && !side.reset) {
        side.arrived += segment.size;
        break;
      }
      side.bytes.erase(side.arrived, segment.size);
      side.reset |= !side.closed;
      answer_with_reset(connection, to);
  }
  Wakeup::wake(side.reader);
  if (side.reset) Wakeup::wake(side.writer);
}

void Fabric::answer_with_reset(Connection& connection, int from) {
  const Side& other = connection.sides[1 - from];
  if (!other.closed && !other.reset) send(connection, 1 - from, Segment::Kind::kReset, {});
}

void Fabric::forget_if_over(Connection& connection) {
  const bool is_awaited = connection.streams > 0 || connection.sides[0].delivery.scheduled() ||
                          connection.sides[1].delivery.scheduled();
  // What was handed over on it may end other connections meanwhile.
  if (!is_awaited) connections_.extract(connection.id);
}

void Fabric::release(Connection& connection) {
  --connection.streams;
  forget_if_over(connection);
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
  std::vector<Accepted> unclaimed;  // they go last: each may end a connection
  for (auto& [id, connection] : connections_) {
    for (int i : {0, 1}) {
      Side& side = connection->sides[i];
      if (side.owner != &owner || side.closed) continue;
      side.closed = true;
      unclaimed.insert(unclaimed.end(), std::make_move_iterator(side.handed.begin()),
                       std::make_move_iterator(side.handed.end()));
      side.handed.clear();
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

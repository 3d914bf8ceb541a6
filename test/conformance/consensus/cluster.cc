#include "test/conformance/consensus/cluster.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "core/cluster/scenario.h"
#include "env/scope.h"

namespace blixard::consensus_sim {
namespace {

constexpr const char* kName = "sim";
constexpr std::uint16_t kPort = 7200;
constexpr Duration kValid = std::chrono::hours(24 * 3650);
constexpr Duration kIssuedBefore = std::chrono::hours(24 * 30);  // wall clocks may be set back

env::Task<void> serve_peers(peer::Peers& peers, std::unique_ptr<env::Listener> listener) {
  ignore(co_await peers.serve(std::move(listener)), "it ends with the peers");
}

}  // namespace

// Told by one life of a daemon.
class Cluster::Watch final : public replica::ApplyWatch {
 public:
  Watch(Judge& judge, NodeId node) : judge_(judge), node_(node) {}
  void on_opened(const replica::Status& status) override { judge_.on_opened(node_, status); }
  void on_restored(const cluster::State& state, LogIndex index, Term term) override {
    judge_.on_restored(node_, state, index, term);
  }
  void on_applied(const cluster::State& state, const raft::Entry& entry,
                  const Result<cluster::Outcome>& outcome) override {
    judge_.on_applied(node_, state, entry, outcome);
  }

 private:
  Judge& judge_;
  NodeId node_;
};

Cluster::Cluster(const Settings& settings, sim::World& world, Judge& judge)
    : settings_(settings),
      world_(world),
      judge_(judge),
      random_(sim::SeededRandom(settings.seed).seed_for("cluster")),
      tester_(world.add_machine("tester")) {
  make_authority();
  for (std::size_t i = 1; i <= settings.nodes + settings.spares; ++i) {
    daemons_.push_back(std::make_unique<Daemon>());
    Daemon& daemon = *daemons_.back();
    daemon.number = i;
    daemon.machine = &world.add_machine("m" + std::to_string(i));
    daemon.founder = i <= settings.nodes;
    if (daemon.founder) become(daemon, NodeId(i), "n" + std::to_string(i));
  }
  make_first_state();
}

void Cluster::make_authority() {
  const WallTime wall{env().clock.wall().unix_ms - kIssuedBefore / 1ms};
  auto authority = env().security.make_authority(kName, wall, kValid);
  BLX_ASSERT(authority.has_value());
  authority_ = std::move(*authority);
}

void Cluster::become(Daemon& daemon, NodeId id, const std::string& name) {
  const bool founder = daemon.founder && daemon.lives == 0;
  env::Security& security = env().security;
  const WallTime wall{env().clock.wall().unix_ms - kIssuedBefore / 1ms};
  const auto request = security.make_request();
  BLX_ASSERT(request.has_value());
  const auto certificate = security.issue(
      authority_, request->request, {.cluster = kName, .node = id, .server = true}, wall, kValid);
  BLX_ASSERT(certificate.has_value());
  daemon.id = id;
  daemon.name = name;
  daemon.directory = fmt::format("/log-{}", id.value);
  daemon.founder = founder;
  daemon.removed = daemon.removal_begun = false;
  daemon.credentials = {
      .certificate = *certificate, .key = request->key, .authority = authority_.certificate};
}

env::Endpoint Cluster::endpoint_of(const Daemon& daemon) const {
  return env::Endpoint::tcp(daemon.machine->address(), kPort);
}

void Cluster::make_first_state() {
  std::vector<std::string> addresses;
  for (std::size_t i = 0; i < settings_.nodes; ++i)
    addresses.push_back(endpoint_of(*daemons_[i]).text());
  first_ = cluster::Scenario::first_state(addresses, settings_.nodes);
}

// Lives.

void Cluster::start(Daemon& daemon) {
  if (daemon.running || !daemon.id) return;
  if (!daemon.machine->running()) daemon.machine->restart();
  daemon.running = true;
  daemon.ended = false;
  ++daemon.lives;
  judge_.on_started(daemon.id);
  BLX_LOG(env().log, kDebug, "node {} starts on {}", daemon.id.value, daemon.machine->name());
  daemon.machine->start(live(daemon));
}

void Cluster::crash(Daemon& daemon) {
  BLX_LOG(env().log, kDebug, "{} crashes", daemon.machine->name());
  daemon.machine->crash_daemon();
  daemon.replica = nullptr;
  daemon.running = false;
}

void Cluster::lose_power(Daemon& daemon) {
  BLX_LOG(env().log, kDebug, "{} loses power", daemon.machine->name());
  daemon.machine->lose_power();
  daemon.replica = nullptr;
  daemon.running = false;
}

Daemon* Cluster::any_serving() {
  std::vector<Daemon*> serving;
  for (const auto& daemon : daemons_) {
    if (daemon->replica != nullptr) serving.push_back(daemon.get());
  }
  return serving.empty() ? nullptr : serving[random_.below(serving.size())];
}

Daemon* Cluster::leader() {
  Daemon* found = nullptr;
  Term term;
  for (const auto& daemon : daemons_) {
    if (!daemon->leads()) continue;
    const Term its = daemon->replica->status().term;
    if (found == nullptr || its > term) {
      found = daemon.get();
      term = its;
    }
  }
  return found;
}

env::Task<bool> Cluster::pause(Duration duration) {
  co_return (co_await env().clock.sleep(duration)).has_value();
}

// The daemon.

env::Task<void> Cluster::live(Daemon& daemon) {
  const std::uint64_t life = daemon.lives;
  const auto lives = [&] { return daemon.lives == life && daemon.running; };
  const env::Env env = daemon.machine->env();
  auto transport = env.security.open(daemon.credentials);
  BLX_ASSERT(transport.has_value());
  const NodeId id = daemon.id;
  WatchedPeers peers(
      env, peer::Peers::make(env, {.self = id, .cluster = kName}, **transport),
      [this, id](const raft::Message& message) { judge_.on_sent(id, message); }, weather_);
  Watch watch(judge_, daemon.id);
  env::Scope serving(env.executor, nullptr);
  if (auto listener = co_await (*transport)->listen(endpoint_of(daemon))) {
    auto replica = co_await open(env, daemon, peers, watch);
    if (replica) {
      for (const auto& other : daemons_) {
        if (other.get() != &daemon && other->id) peers.set_peer(other->id, endpoint_of(*other));
      }
      serving.spawn(serve_peers(peers, std::move(*listener)));
      if (lives()) daemon.replica = replica->get();
      const auto failed = co_await (*replica)->failed();
      if (lives()) {
        daemon.replica = nullptr;
        note_end(daemon, failed.error());
      }
      co_await (*replica)->stop();
      co_await peers.stop();
    } else if (lives()) {
      note_end(daemon, replica.error());
    }
  } else if (lives()) {
    note_end(daemon, listener.error());
  }
  co_await peers.stop();
  co_await serving.join();
  if (lives()) daemon.ended = true;
}

env::Task<Result<std::unique_ptr<replica::Replica>>> Cluster::open(env::Env env, Daemon& daemon,
                                                                   peer::Peers& peers,
                                                                   Watch& watch) {
  replica::Options options = settings_.replica;
  options.watch = &watch;
  if (daemon.founder) {
    const auto made = co_await replica::bootstrap(env, daemon.directory, first_, options);
    if (!made && made.error().reason() != "log_not_empty") {
      co_return std::unexpected(made.error());
    }
  }
  co_return co_await replica::open_replica(env, daemon.directory, daemon.id, options, peers,
                                           nullptr);
}

// What may end a daemon or keep it from its start: faults that were ordered.
void Cluster::note_end(Daemon& daemon, const Error& why) {
  BLX_LOG(env().log, kDebug, "node {} ends: {}", daemon.id.value, why.message());
  const std::string_view reason = why.reason();
  if (why.code() == Code::kCancelled || reason == "crashed" || reason == "stopped") return;
  if (reason == "removed") {
    if (!daemon.removal_begun) {
      judge_.fail("ended",
                  fmt::format("node {} ends as removed, and nobody removed it", daemon.id.value));
    }
    daemon.removed = true;
    return;
  }
  const bool disk = why.code() == Code::kUnavailable || why.code() == Code::kResourceExhausted ||
                    reason == "log_failed";
  if (disk && (std::exchange(daemon.sync_failed, false) || daemon.disk_was_full)) return;
  judge_.fail("ended", fmt::format("node {} ends: {}", daemon.id.value, why.message()));
}

env::Task<void> Cluster::manage() {
  while (co_await pause(40ms)) {
    for (const auto& daemon : daemons_) {
      if (!daemon->ended || !daemon->running) continue;
      crash(*daemon);
      if (!daemon->removed) start(*daemon);
    }
  }
}

}  // namespace blixard::consensus_sim

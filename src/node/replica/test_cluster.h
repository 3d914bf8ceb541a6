#pragma once

// A cluster of replicas on simulated machines, for tests: certificates, connections and logs are
// the real ones, so that what a test breaks is what would break.
//
//   sim::World world(seed);
//   TestCluster cluster(world, {.nodes = 3});
//   ASSERT_TRUE(cluster.run([](TestCluster& c) -> env::Task<void> {
//     co_await c.start_all();
//     TestNode* leader = co_await c.wait_for_leader();
//     ...
//   }));
//
// A node is a daemon on its machine: crash(), lose_power() and stop() end it, start() begins it
// again with what its disk kept. While it does not run its `replica` is null, so a test asks again
// after each wait. One more machine never fails: the test's own clock.

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "blixard/v1/cluster.pb.h"
#include "core/cluster/scenario.h"
#include "core/cluster/state.h"
#include "env/scope.h"
#include "node/peer/peers.h"
#include "node/replica/replica.h"
#include "node/replica/test_alone.h"
#include "node/trace/tracer.h"
#include "sim/world.h"

namespace blixard::replica {

struct TestNode {
  NodeId id;
  sim::Machine* machine = nullptr;
  env::Credentials credentials;
  bool founder = false;        // begins with the cluster's first state
  bool started = false;        // and not ended since
  std::size_t daemons = 0;     // tasks, also of daemons that unwind
  Replica* replica = nullptr;  // null: not running
  peer::Peers* peers = nullptr;
  std::unique_ptr<trace::Tracer> tracer{};  // of its last daemon
  std::string open_error;                   // why it does not run
  std::string failure;                      // why it ended by itself

  [[nodiscard]] bool leads() const { return replica != nullptr && replica->is_leader(); }
};

class TestCluster {
 public:
  struct Config {
    std::size_t nodes = 3;   // voters from the beginning
    std::size_t spares = 0;  // machines that may join
    Options replica{};
  };
  static constexpr const char* kDirectory = "/log";
  static constexpr const char* kName = "test";
  static constexpr std::uint16_t kPort = 7200;

  TestCluster(sim::World& world, Config config)
      : config_(std::move(config)), world_(world), tester_(world.add_machine("tester")) {
    for (std::size_t i = 1; i <= config_.nodes + config_.spares; ++i) {
      nodes_.push_back(std::make_unique<TestNode>());
      TestNode& node = *nodes_.back();
      node.id = NodeId(i);
      node.machine = &world.add_machine("n" + std::to_string(i));
      node.founder = i <= config_.nodes;
    }
    issue_certificates();
    first_ = first_state();
  }

  TestCluster(const TestCluster&) = delete;
  TestCluster& operator=(const TestCluster&) = delete;
  // The daemons end before what they refer to.
  ~TestCluster() {
    for (auto& node : nodes_) {
      if (node->machine->running()) crash(*node);
    }
    const bool ended = world_.run([](TestCluster& c) -> env::Task<void> {
      co_await c.until([&] {
        return std::ranges::all_of(c.nodes_, [](auto& node) { return node->daemons == 0; });
      });
    }(*this));
    BLX_ASSERT(ended);
  }

  // False: the time limit passed.
  bool run(const std::function<env::Task<void>(TestCluster&)>& test, Duration limit = 10min) {
    return world_.run(test(*this), limit);
  }

  [[nodiscard]] sim::World& world() { return world_; }
  [[nodiscard]] env::Env env() { return tester_.env(); }
  [[nodiscard]] Instant now() { return env().clock.monotonic(); }
  [[nodiscard]] const Config& config() const { return config_; }
  [[nodiscard]] Duration election_timeout() const {
    return config_.replica.tick * config_.replica.election_ticks;
  }
  [[nodiscard]] std::size_t size() const { return nodes_.size(); }
  // By number, from 1, which is its id too.
  TestNode& node(std::size_t number) { return *nodes_.at(number - 1); }
  [[nodiscard]] const std::vector<std::unique_ptr<TestNode>>& nodes() const { return nodes_; }

  // Life of a node.

  void start(TestNode& node) {
    if (!node.machine->running()) node.machine->restart();
    node.started = true;
    ++node.daemons;
    node.machine->start(run_node(node, node.machine->env()));
  }
  env::Task<void> start_all() {
    for (auto& node : nodes_) {
      if (node->founder) start(*node);
    }
    EXPECT_TRUE(co_await until([&] {
      return std::ranges::all_of(nodes_,
                                 [](auto& node) { return !node->founder || node->replica; });
    }));
  }
  static void crash(TestNode& node) {
    node.started = false;
    node.machine->crash_daemon();
    node.replica = nullptr;
  }
  static void lose_power(TestNode& node) {
    node.started = false;
    node.machine->lose_power();
    node.replica = nullptr;
  }
  static env::Task<void> stop(TestNode& node) {
    node.started = false;
    co_await node.machine->stop_daemon();
  }

  void isolate(TestNode& node) {
    for (auto& other : nodes_) {
      if (other.get() != &node) world_.partition(*node.machine, *other->machine);
    }
  }
  void heal(TestNode& node) {
    for (auto& other : nodes_) {
      if (other.get() != &node) world_.heal(*node.machine, *other->machine);
    }
  }

  // Waiting.

  env::Task<bool> until(std::function<bool()> condition, Duration limit = 30s) {
    const Instant deadline = now() + limit;
    while (!condition()) {
      if (now() >= deadline) co_return false;
      if (!co_await env().clock.sleep(5ms)) co_return false;
    }
    co_return true;
  }
  env::Task<void> pause(Duration duration) {
    ignore(co_await env().clock.sleep(duration), "the test's machine does not fail");
  }

  // The leader of the highest term; null: nobody.
  TestNode* leader() {
    TestNode* found = nullptr;
    for (auto& node : nodes_) {
      if (!node->leads()) continue;
      if (found == nullptr || node->replica->status().term > found->replica->status().term) {
        found = node.get();
      }
    }
    return found;
  }
  // Null, and a failure of the test: there was none in time.
  env::Task<TestNode*> wait_for_leader(const TestNode* other_than = nullptr) {
    const bool there = co_await until([&] {
      const TestNode* found = leader();
      return found != nullptr && found != other_than;
    });
    EXPECT_TRUE(there) << "nobody leads";
    co_return there ? leader() : nullptr;
  }
  // A running node that does not lead.
  TestNode* follower() {
    for (auto& node : nodes_) {
      if (node->replica != nullptr && !node->leads()) return node.get();
    }
    return nullptr;
  }
  // Every running member applied all of the leader's log, and they are equal.
  env::Task<bool> settled(Duration limit = 30s) {
    co_return co_await until(
        [this] {
          const TestNode* first = leader();
          if (first == nullptr) return false;
          const LogIndex commit = first->replica->status().commit;
          // A new leader does not know yet what the one before it has committed.
          if (first->replica->status().last != commit) return false;
          const std::string hash = first->replica->state().hash();
          return std::ranges::all_of(nodes_, [&](auto& node) {
            const auto membership = first->replica->state().membership(node->id);
            if (!node->started || membership == cluster::Membership::kNone) return true;
            return node->replica != nullptr && node->replica->status().applied == commit &&
                   node->replica->state().hash() == hash;
          });
        },
        limit);
  }

  // Commands.

  env::Task<Result<cluster::Outcome>> propose(TestNode& node, v1::Command command) {
    if (node.replica == nullptr) co_return fail(Code::kUnavailable, "stopped");
    co_return co_await node.replica->propose(std::move(command));
  }
  // As a client does it: anywhere, again and again with the same request id, until it is answered.
  env::Task<bool> add(const std::string& name) {
    const std::uint64_t request = ++requests_;
    const Instant deadline = now() + 60s;
    std::string last = "no node runs";
    while (now() < deadline) {
      TestNode* node = nodes_[env().random.below(nodes_.size())].get();
      if (node->replica != nullptr) {
        const auto answer = co_await propose(*node, add_image(name, request));
        if (answer) co_return true;
        last = answer.error().message();
      }
      co_await pause(20ms);
    }
    ADD_FAILURE() << name << " is not taken: " << last;
    co_return false;
  }
  [[nodiscard]] static bool has(const TestNode& node, const std::string& name) {
    return node.replica != nullptr && node.replica->state().find_image(name) != nullptr;
  }

  env::Endpoint endpoint_of(const TestNode& node) const {
    return env::Endpoint::tcp(node.machine->address(), kPort);
  }

 private:
  // Anything that a machine's Env can do without the machine: of the tester's.
  void issue_certificates() {
    env::Security& security = env().security;
    const WallTime wall = env().clock.wall();
    const auto authority = security.make_authority(kName, wall, std::chrono::hours(24 * 365));
    BLX_ASSERT(authority.has_value());
    for (auto& node : nodes_) {
      const auto request = security.make_request();
      BLX_ASSERT(request.has_value());
      const auto certificate = security.issue(*authority, request->request,
                                              {.cluster = kName, .node = node->id, .server = true},
                                              wall, std::chrono::hours(24 * 365));
      BLX_ASSERT(certificate.has_value());
      node->credentials = {
          .certificate = *certificate, .key = request->key, .authority = authority->certificate};
    }
  }

  // Every machine is a node of it, the founders are its voters.
  cluster::State first_state() {
    std::vector<std::string> addresses;
    for (const auto& node : nodes_)
      addresses.push_back(endpoint_of(*node).text());
    return cluster::Scenario::first_state(addresses, config_.nodes);
  }

  // Counts a daemon until its task has ended.
  class Ending {
   public:
    explicit Ending(TestNode& node) : node_(node) {}
    Ending(const Ending&) = delete;
    Ending& operator=(const Ending&) = delete;
    ~Ending() { --node_.daemons; }

   private:
    TestNode& node_;
  };

  // The daemon.
  env::Task<void> run_node(TestNode& node, env::Env env) {
    const Ending ending(node);
    node.open_error.clear();
    node.failure.clear();
    auto transport = env.security.open(node.credentials);
    BLX_ASSERT(transport.has_value());
    auto peers = peer::Peers::make(env, {.self = node.id, .cluster = kName}, **transport);
    env::Scope serving(env.executor, nullptr);
    if (auto listener = co_await (*transport)->listen(endpoint_of(node))) {
      auto replica = co_await open(env, node, *peers);
      if (replica) {
        // A machine that joins has heard of the others when it enrolled.
        for (auto& other : nodes_) {
          if (other.get() != &node) peers->set_peer(other->id, endpoint_of(*other));
        }
        serving.spawn(serve(*peers, std::move(*listener)));
        co_await serve_until_end(node, **replica, *peers);
      } else {
        node.open_error = replica.error().message();
        co_await peers->stop();
      }
      co_await serving.join();
    } else {
      node.open_error = listener.error().message();
      co_await peers->stop();
    }
  }
  env::Task<Result<std::unique_ptr<Replica>>> open(env::Env env, TestNode& node,
                                                   peer::Peers& peers) {
    if (node.founder) {
      const auto made = co_await bootstrap(env, kDirectory, first_, config_.replica);
      if (!made && made.error().reason() != "log_not_empty") {
        co_return std::unexpected(made.error());
      }
    }
    Options options = config_.replica;
    node.tracer = std::make_unique<trace::Tracer>(env.clock, env.random);
    options.tracer = node.tracer.get();
    co_return co_await open_replica(env, kDirectory, node.id, options, peers, nullptr);
  }
  static env::Task<void> serve(peer::Peers& peers, std::unique_ptr<env::Listener> listener) {
    ignore(co_await peers.serve(std::move(listener)), "it ends with the peers");
  }
  static env::Task<void> serve_until_end(TestNode& node, Replica& replica, peer::Peers& peers) {
    node.replica = &replica;
    node.peers = &peers;
    const auto failed = co_await replica.failed();
    if (!failed && failed.error().code() != Code::kCancelled) {
      node.failure = failed.error().reason();
      node.started = false;
    }
    if (node.replica == &replica) node.replica = nullptr;
    co_await replica.stop();
    co_await peers.stop();
  }

  Config config_;
  sim::World& world_;
  sim::Machine& tester_;
  std::vector<std::unique_ptr<TestNode>> nodes_;
  cluster::State first_;
  std::uint64_t requests_ = 0;
};

}  // namespace blixard::replica

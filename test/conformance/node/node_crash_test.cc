// A whole node in virtual time, while everything around it goes wrong: the daemon is killed, the
// power goes, guests die and hang, starts fail, the disk is slow. Clients over HTTP repeat each
// request with its id until they have an answer, and know from then on what must be.
//
// Checked all the time: no VM has two processes; what was acknowledged is there. Checked at the
// end, when nothing goes wrong any more: all is as desired, and nothing is left of anything else.
//
//   blx_node_crash_conformance                        208 seeds, as in every test run
//   blx_node_crash_conformance --seeds=5000:1000      so many from that one; one prints its log

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <memory>
#include <set>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "env/scope.h"
#include "node/agent/test_daemon.h"
#include "node/node.h"
#include "node/vm/sim/sim_driver.h"
#include "sim/host.h"
#include "sim/world.h"
#include "vopr/rest.h"

namespace blixard {
namespace {

using env::Env;
using env::Task;
using http::Method;

constexpr const char* kDataDirectory = "/var/lib/blixard";
constexpr std::uint16_t kPort = 7600;
constexpr Duration kTrouble = 2min;  // of virtual time, then things settle
constexpr Duration kSettle = 5min;
constexpr Duration kAnswer = 3min;  // until a repeated request must have its answer

// What a client was told about the VM of a name that only it uses.
struct Known {
  std::string name;
  bool exists = false;
  bool deleting = false;
  std::string uuid;
  std::string desired;
  std::string restart;
};

class Ordeal {
 public:
  explicit Ordeal(std::uint64_t seed) : seed_(seed), world_(seed) {
    world_.set_log_level(observe::Level::kDebug);
    random_ = observer_.env().random.fork("plan");
    machine_.install_program(
        std::string(vm_sim::kSimHypervisorPath),
        // NOLINTNEXTLINE(cppcoreguidelines-avoid-capturing-lambda-coroutines): kept by the machine
        [this](sim::ProcessContext process) -> Task<void> {
          check_alone(process);
          const int code =
              co_await hypervisor_.run_guest(process.env(), process.spec(), process.id());
          process.exit(code);
        });
  }
  Ordeal(const Ordeal&) = delete;
  Ordeal& operator=(const Ordeal&) = delete;

  // The hash of all that happened.
  std::uint64_t play() {
    const bool ended = world_.run(everything(), kTrouble + 4 * kSettle);
    if (!ended) fault("the run does not end: " + world_.log_lines().back());
    return world_.trace_hash();
  }
  [[nodiscard]] const std::vector<std::string>& faults() const { return faults_; }
  [[nodiscard]] const std::vector<std::string>& log() const { return world_.log_lines(); }
  [[nodiscard]] std::uint64_t restarts() const { return restarts_; }
  [[nodiscard]] std::uint64_t requests() const { return requests_; }
  [[nodiscard]] std::size_t guests() const { return guests_.size(); }

 private:
  // Process ids come again after a loss of power.
  struct Guest {
    std::string uuid;
    env::ProcessId id;
    std::uint64_t boot = 0;
  };
  [[nodiscard]] bool lives(const Guest& guest) const {
    return guest.boot == boots_ && machine_.is_alive(guest.id);
  }

  void fault(std::string what) {
    faults_.push_back(fmt::format("seed {} at {:.3f} s: {}", seed_,
                                  std::chrono::duration<double>(world_.elapsed()).count(), what));
  }
  Env env() { return observer_.env(); }
  bool chance(std::uint64_t percent) { return random_->below(100) < percent; }
  Duration between(Duration least, Duration most) {
    const auto range = static_cast<std::uint64_t>((most - least) / 1ms);
    return least + std::chrono::milliseconds(random_->below(range + 1));
  }
  Task<void> pause(Duration duration) {
    if (!co_await env().clock.sleep(duration)) given_up_ = true;
  }

  // The daemon.

  Task<void> daemon(Env env, std::uint64_t incarnation) {
    vm_sim::SimDriver driver(env, hypervisor_, env::join_path(kDataDirectory, "vms"));
    {
      node::Node node(
          env,
          {.data_directory = kDataDirectory,
           .name = "a",
           .listen = env::Endpoint::tcp(machine_.address(), kPort),
           .bootstrap = true,
           .version = "test",
           .replica = {.log = {.segment_bytes = std::uint64_t{2} << 20}, .snapshot_entries = 40}},
          driver);
      node_ = &node;
      const auto done = co_await node.run([](const node::Ready&) {});
      if (node_ == &node) node_ = nullptr;
      const bool is_over = incarnation != restarts_ || stopping_;
      if (!is_over) fault("the daemon ended: " + (done ? "ok" : done.error().message()));
    }
    co_await driver.close();
  }
  void start() {
    machine_.restart();
    stopping_ = false;
    ++restarts_;
    machine_.start(daemon(machine_.env(), restarts_));
  }
  void forget_node() {
    stopping_ = true;
    node_ = nullptr;
  }

  void check_alone(const sim::ProcessContext& process) {
    const std::string& uuid = process.spec().arguments.at(0);
    for (const Guest& guest : guests_) {
      if (guest.uuid == uuid && lives(guest)) {
        fault(fmt::format("two processes of {}: {} and {}", uuid, guest.id.pid, process.id().pid));
      }
    }
    guests_.push_back({uuid, process.id(), boots_});
  }

  // Clients.

  Task<Result<rest::Reply>> once(rest::Request request) {
    ++requests_;
    const std::string token_path = env::join_path(kDataDirectory, "api.token");
    request.token = machine_.content(token_path).value_or("none");
    if (request.token.ends_with('\n')) request.token.pop_back();
    co_return co_await rest::send(env(), env::Endpoint::tcp(machine_.address(), kPort),
                                  std::move(request), 20s);
  }
  // Repeats it until there is an answer that says what became of it.
  Task<rest::Reply> ask(Method method, std::string target, std::string body) {
    const std::string key = method == Method::kGet ? "" : env().random.uuid().text();
    const Instant deadline = env().clock.monotonic() + kAnswer;
    std::string last;
    while (!given_up_ && env().clock.monotonic() < deadline) {
      const auto reply = co_await once(
          {.method = method, .target = target, .body = body, .token = {}, .key = key});
      const int status = reply ? reply->status : 0;
      const bool is_answer = status != 0 && status != 401 && status != 503 && status < 500;
      if (is_answer || (status == 504 && reply->text("code") == "wait_timeout")) co_return *reply;
      last = reply ? fmt::format("{} {}", status, reply->text("code")) : reply.error().message();
      co_await pause(between(50ms, 500ms));
    }
    fault(fmt::format("no answer to {}: {}", target, last));
    co_return rest::Reply();
  }

  Task<void> check_known(const Known& known) {
    const rest::Reply reply = co_await ask(Method::kGet, "/v1/vms/" + known.name, "");
    const bool is_there = reply.status == 200;
    if (known.exists && !known.deleting && !is_there) {
      fault(known.name + " was acknowledged and is lost");
    } else if (!known.exists && is_there) {
      fault(known.name + " is there and nobody made it");
    } else if (is_there && reply.text("uuid") != known.uuid) {
      fault(known.name + " is another one");
    } else if (is_there && reply.text("desired") != known.desired) {
      fault(
          fmt::format("{} is wanted {}, not {}", known.name, reply.text("desired"), known.desired));
    }
  }

  Task<void> create(Known& known) {
    const std::array<const char*, 3> policies{"never", "on-failure", "always"};
    const std::string restart = policies.at(random_->below(3));
    const bool start = !chance(15);
    const std::string body = fmt::format(
        R"({{"name":"{}","image":"tiny","restart":"{}","start":{},"stop_grace_seconds":{}{}}})",
        known.name, restart, start, random_->below(4),
        chance(30) ? R"(,"publish":[{"guest_port":80}])" : "");
    const std::string wait = chance(30) ? "?wait=running&timeout=5s" : "";
    const rest::Reply reply = co_await ask(Method::kPost, "/v1/vms" + wait, body);
    // Refused: the one before is not gone yet. Its name is free after that.
    if (reply.status == 409 && reply.text("code") == "vm_exists") co_return;
    if (reply.status == 0) co_return;
    known.exists = true;
    known.deleting = false;
    known.desired = start ? "running" : "stopped";
    known.restart = restart;
    // A wait that did not end well says nothing of the VM itself.
    const rest::Reply now =
        reply.status == 201 ? reply : co_await ask(Method::kGet, "/v1/vms/" + known.name, "");
    if (now.status != 201 && now.status != 200) {
      fault(fmt::format("create of {}: {}, then {}", known.name, boost::json::serialize(reply.body),
                        now.status));
    }
    known.uuid = now.text("uuid");
  }

  Task<void> change(Known& known, std::string action, std::string desired) {
    const std::string wait =
        chance(30) ? fmt::format("?wait={}&timeout=5s", desired) : std::string();
    const bool deletes = desired == "deleted";
    const std::string path = "/v1/vms/" + known.name + (deletes ? "" : "/" + action);
    const rest::Reply reply =
        co_await ask(deletes ? Method::kDelete : Method::kPost, path + wait, "");
    const bool is_taken = reply.status == 200 || reply.status == 202 || reply.status == 504 ||
                          reply.text("code") == "vm_failed";
    if (!is_taken && reply.status != 0) {
      fault(fmt::format("{} of {}: {}", desired, known.name, boost::json::serialize(reply.body)));
    }
    known.desired = desired;
    known.deleting |= deletes;
  }

  Task<void> client(Known& known) {
    while (!given_up_ && world_.elapsed() < kTrouble) {
      if (known.deleting) {
        const rest::Reply reply = co_await ask(Method::kGet, "/v1/vms/" + known.name, "");
        if (reply.status == 404) known = {.name = known.name};
      }
      co_await check_known(known);
      if (!known.exists) {
        co_await create(known);
      } else if (!known.deleting) {
        const std::uint64_t what = random_->below(100);
        if (what < 35) co_await change(known, "stop", "stopped");
        if (what >= 35 && what < 75) co_await change(known, "start", "running");
        if (what >= 75) co_await change(known, "", "deleted");
      }
      co_await pause(between(0ms, 6s));
    }
  }

  // Trouble.

  Task<void> end_daemon(std::uint64_t how) {
    if (how < 60) {
      forget_node();
      machine_.crash_daemon();
    } else if (how < 85) {
      forget_node();
      machine_.lose_power();
      ++boots_;
    } else {
      // In order, with or without its guests.
      stopping_ = true;
      if (node_ != nullptr && chance(50)) {
        node_->stop(node::StopGuests::kYes);
        co_await pause(between(0ms, 8s));
      }
      node_ = nullptr;
      co_await machine_.stop_daemon();
    }
    co_await pause(chance(50) ? 0ms : between(1ms, 4s));
    start();
  }

  void kill_a_guest() {
    std::vector<env::ProcessId> alive;
    for (const Guest& guest : guests_) {
      if (lives(guest)) alive.push_back(guest.id);
    }
    if (!alive.empty()) machine_.kill_process(alive.at(random_->below(alive.size())));
  }

  Task<void> trouble() {
    while (!given_up_ && world_.elapsed() < kTrouble) {
      // Often right behind another, where half-done things are.
      co_await pause(chance(30) ? between(0ms, 100ms) : between(100ms, 6s));
      const std::uint64_t what = random_->below(100);
      if (what < 40) co_await end_daemon(random_->below(100));
      if (what >= 40 && what < 60) kill_a_guest();
      if (what >= 60 && what < 70) hypervisor_.fail_next_starts = !hypervisor_.fail_next_starts;
      if (what >= 70 && what < 78) hypervisor_.hang_next_starts = !hypervisor_.hang_next_starts;
      if (what >= 78 && what < 90) machine_.disk_faults().slowdown = chance(50) ? 1 : 200;
      if (what >= 90) machine_.fail_next_spawn(Error(Code::kResourceExhausted, "no_memory"));
    }
    hypervisor_.fail_next_starts = false;
    hypervisor_.hang_next_starts = false;
    machine_.disk_faults().slowdown = 1;
  }

  // The end.

  // What is not yet as it must be; "" when all is.
  Task<std::string> unsettled(const std::vector<Known>& all) {
    std::set<std::string> running;
    for (const Known& known : all) {
      const rest::Reply reply = co_await ask(Method::kGet, "/v1/vms/" + known.name, "");
      if (!known.exists || known.deleting) {
        if (reply.status != 404) co_return known.name + " is still there";
        continue;
      }
      const std::string state = reply.text("state");
      const bool may_be_over = known.restart == "never" && state == "failed";
      if (state == "running") running.insert(reply.text("uuid"));
      if (state != known.desired && !(may_be_over && known.desired == "running")) {
        co_return fmt::format("{} is {}, wanted {}: {}", known.name, state, known.desired,
                              reply.text("reason"));
      }
    }
    std::set<std::string> alive;
    for (const Guest& guest : guests_) {
      if (lives(guest)) alive.insert(guest.uuid);
    }
    if (alive != running || machine_.processes() != running.size()) {
      co_return fmt::format("{} VMs run, {} processes", running.size(), machine_.processes());
    }
    for (const char* folder : {"vms", "records"}) {
      const auto entries =
          co_await machine_.env().disk.list(env::join_path(kDataDirectory, folder));
      const std::size_t count = entries ? entries->size() : 0;
      std::string names;
      for (std::size_t i = 0; i < count; ++i)
        names += " " + (*entries)[i].name;
      if (count != running.size()) {
        co_return fmt::format("{} VMs run, in {}:{}", running.size(), folder, names);
      }
    }
    const std::size_t groups = machine_.host().processes.groups.size();
    if (groups != running.size()) {
      co_return fmt::format("{} VMs run, {} groups", running.size(), groups);
    }
    co_return "";
  }

  Task<void> settle(const std::vector<Known>& all, const char* when) {
    const Instant deadline = env().clock.monotonic() + kSettle;
    std::string what = co_await unsettled(all);
    while (!given_up_ && !what.empty() && env().clock.monotonic() < deadline) {
      co_await pause(500ms);
      what = co_await unsettled(all);
    }
    if (!what.empty()) fault(fmt::format("{}: {}", when, what));
    for (const Known& known : all) {
      if (!known.deleting) co_await check_known(known);
    }
  }

  Task<void> everything() {
    if (!co_await agent::write_image(machine_.env(), "/src", "")) fault("no image");
    EXPECT_TRUE(co_await machine_.env().disk.sync_directory("/src"));
    EXPECT_TRUE(co_await machine_.env().disk.sync_directory("/"));
    machine_.crash_daemon();
    start();
    const rest::Reply image = co_await ask(Method::kPost, "/v1/images", R"({"path":"/src"})");
    if (image.status != 201) fault("import: " + boost::json::serialize(image.body));

    std::vector<Known> all{{.name = "a"}, {.name = "b"}, {.name = "c"}, {.name = "d"}};
    env::Scope scope(env().executor, nullptr);
    for (Known& known : all)
      scope.spawn(client(known));
    scope.spawn(trouble());
    co_await scope.join();

    co_await settle(all, "at the end");
    // What runs is adopted by the next daemon, and nothing else begins.
    const std::size_t guests = guests_.size();
    forget_node();
    machine_.crash_daemon();
    start();
    co_await settle(all, "after one more crash");
    if (guests_.size() != guests) fault("a guest was started by an adopting daemon");
    stopping_ = true;
    co_await machine_.stop_daemon();
  }

  std::uint64_t seed_;
  std::vector<std::string> faults_;
  std::vector<Guest> guests_;  // all that ever ran
  std::uint64_t boots_ = 0;
  std::uint64_t restarts_ = 0;
  std::uint64_t requests_ = 0;
  bool stopping_ = false;
  bool given_up_ = false;  // the time limit has passed
  node::Node* node_ = nullptr;
  vm_sim::SimHypervisor hypervisor_;
  std::unique_ptr<env::Random> random_;

  sim::World world_;
  sim::Machine& machine_ = world_.add_machine("a");
  sim::Machine& observer_ = world_.add_machine("observer");
};

void report(const Ordeal& run) {
  for (const std::string& fault : run.faults())
    ADD_FAILURE() << fault;
  if (run.faults().empty()) return;
  const auto& log = run.log();
  for (const std::string& line : log)
    std::puts(line.c_str());
}

// Of --seeds=.
std::uint64_t first_seed = 0;
std::uint64_t seed_count = 0;

TEST(NodeCrashSeeds, EverythingSettles) {
  if (seed_count == 0) GTEST_SKIP() << "only with --seeds=<first>:<count>";
  for (std::uint64_t seed = first_seed; seed < first_seed + seed_count; ++seed) {
    Ordeal run(seed);
    run.play();
    if (seed_count == 1 && run.faults().empty()) {
      for (const std::string& line : run.log())
        std::puts(line.c_str());
    }
    report(run);
    if (HasFailure()) return;
  }
}

class NodeCrash : public testing::TestWithParam<std::uint64_t> {};

// One shard of seeds.
TEST_P(NodeCrash, EverythingSettles) {
  constexpr std::uint64_t kSeeds = 26;
  std::uint64_t restarts = 0;
  std::uint64_t requests = 0;
  std::size_t guests = 0;
  for (std::uint64_t seed = GetParam() * kSeeds; seed < (GetParam() + 1) * kSeeds; ++seed) {
    Ordeal run(seed);
    run.play();
    report(run);
    if (HasFailure()) return;
    restarts += run.restarts();
    requests += run.requests();
    guests += run.guests();
  }
  std::printf("%llu seeds: %llu daemons, %llu requests, %zu guests started\n",
              static_cast<unsigned long long>(kSeeds), static_cast<unsigned long long>(restarts),
              static_cast<unsigned long long>(requests), guests);
  EXPECT_GT(restarts, 10 * kSeeds);
  EXPECT_GT(guests, 5 * kSeeds);
}

INSTANTIATE_TEST_SUITE_P(, NodeCrash, testing::Range(std::uint64_t{0}, std::uint64_t{8}));

TEST(NodeCrashTrace, SameSeedSameTrace) {
  for (std::uint64_t seed = 1000; seed < 1004; ++seed) {
    Ordeal first(seed);
    Ordeal second(seed);
    EXPECT_EQ(first.play(), second.play()) << "seed " << seed;
  }
}

}  // namespace
}  // namespace blixard

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  constexpr std::string_view kSeeds = "--seeds=";
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (!argument.starts_with(kSeeds)) continue;
    const char* const end = argument.data() + argument.size();
    const auto first = std::from_chars(argument.data() + kSeeds.size(), end, blixard::first_seed);
    if (first.ptr < end) std::from_chars(first.ptr + 1, end, blixard::seed_count);
  }
  return RUN_ALL_TESTS();
}

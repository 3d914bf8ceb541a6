#pragma once

// Whole nodes on simulated machines, as their users see them: started with --bootstrap or --join,
// spoken to over HTTP, killed, and started again with what their disks kept.
//
//   Cluster cluster(seed, 3);
//   cluster.run([](Cluster& c) -> env::Task<void> {
//     co_await c.form(3);
//     ...
//   });

#include <algorithm>
#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "env/scope.h"
#include "node/agent/test_daemon.h"
#include "node/node.h"
#include "node/vm/sim/sim_driver.h"
#include "sim/world.h"
#include "vopr/rest.h"

namespace blixard {

inline std::string text_of(const rest::Reply& reply) {
  return fmt::format("{} {}", reply.status, boost::json::serialize(reply.body));
}

// One machine, and the daemon on it while it runs.
struct Site {
  static constexpr const char* kData = "/var/lib/blixard";
  static constexpr std::uint16_t kApiPort = 7600;
  static constexpr std::uint16_t kPeerPort = 7481;

  std::string name;
  sim::Machine* machine = nullptr;
  vm_sim::SimHypervisor hypervisor;
  bool bootstrap = false;
  std::string join;  // TOKEN@HOST:PORT
  bool allow_failpoints = false;
  Bytes templates;  // that it may keep; 0: every guest boots
  std::uint64_t lives = 0;
  bool runs = false;
  bool ready = false;
  std::string ended;  // the reason; "ok" when it was stopped
  std::string ended_message;

  [[nodiscard]] env::Endpoint api() const {
    return env::Endpoint::tcp(machine->address(), kApiPort);
  }
  [[nodiscard]] std::string peer_address() const {
    return env::Endpoint::tcp(machine->address(), kPeerPort).text();
  }
  [[nodiscard]] std::string file(const char* file_name) const {
    return machine->content(env::join_path(kData, file_name)).value_or("");
  }
};

class Cluster {
 public:
  using Method = http::Method;
  using Reply = rest::Reply;
  template <class T>
  using Task = env::Task<T>;

  Cluster(std::uint64_t seed, std::size_t machines) : world_(seed) {
    for (std::size_t i = 1; i <= machines; ++i)
      add_site("n" + std::to_string(i));
  }
  Cluster(const Cluster&) = delete;
  Cluster& operator=(const Cluster&) = delete;

  // Plays `story` to its end, which is a failure of the test when it does not come in time.
  void run(const std::function<Task<void>(Cluster&)>& story, Duration limit = 30min) {
    EXPECT_TRUE(world_.run(story(*this), limit)) << world_.log_lines().back();
    if (!testing::Test::HasFailure()) return;
    for (const std::string& line : world_.log_lines())
      std::puts(line.c_str());
  }

  [[nodiscard]] sim::World& world() { return world_; }
  [[nodiscard]] env::Env env() { return observer_.env(); }
  [[nodiscard]] std::size_t size() const { return sites_.size(); }
  Site& site(std::size_t number) { return *sites_.at(number - 1); }
  Site& named(const std::string& name) {
    return **std::ranges::find_if(sites_, [&](auto& site) { return site->name == name; });
  }

  // Life of a node.

  void start(Site& site) {
    if (!site.machine->running()) site.machine->restart();
    site.runs = true;
    site.ready = false;
    site.ended.clear();
    site.ended_message.clear();
    site.machine->start(daemon(site.machine->env(), site, ++site.lives));
  }
  static void crash(Site& site) {
    forget(site);
    site.machine->crash_daemon();
  }
  static void lose_power(Site& site) {
    forget(site);
    site.machine->lose_power();
  }
  void isolate(Site& site) {
    for (auto& other : sites_) {
      if (other.get() != &site) world_.partition(*site.machine, *other->machine);
    }
  }
  void heal(Site& site) {
    for (auto& other : sites_) {
      if (other.get() != &site) world_.heal(*site.machine, *other->machine);
    }
  }
  void set_wall_offset(Duration offset) {
    for (auto& site : sites_)
      site->machine->set_wall_offset(offset);
    observer_.set_wall_offset(offset);
  }

  // Waiting.

  Task<bool> until(std::function<bool()> condition, Duration limit = 60s) {
    const Instant deadline = env().clock.monotonic() + limit;
    while (!condition()) {
      if (env().clock.monotonic() >= deadline) co_return false;
      if (!co_await env().clock.sleep(10ms)) co_return false;
    }
    co_return true;
  }
  Task<void> pause(Duration duration) {
    ignore(co_await env().clock.sleep(duration), "the observer does not fail");
  }
  Task<void> ready(Site& site) {
    EXPECT_TRUE(co_await until([&] { return site.ready || !site.ended.empty(); })) << site.name;
    EXPECT_TRUE(site.ready) << site.name << ": " << site.ended_message;
  }
  // Until it ended by itself; the reason.
  Task<std::string> end_of(Site& site, Duration limit = 3min) {
    EXPECT_TRUE(co_await until([&] { return !site.ended.empty(); }, limit)) << site.name;
    co_return site.ended;
  }
  // As "n1:voter n2:learner".
  Task<void> until_members(Site& asked, std::string wanted, Duration limit = 2min) {
    const Instant deadline = env().clock.monotonic() + limit;
    std::string seen = co_await members(asked);
    while (seen != wanted && env().clock.monotonic() < deadline) {
      co_await pause(100ms);
      seen = co_await members(asked);
    }
    EXPECT_EQ(seen, wanted) << "as " << asked.name << " sees it";
  }

  // The API.

  // Once.
  Task<Reply> call(Site& asked, Method method, std::string target, std::string body = "",
                   std::string key = "") {
    std::string token = asked.file("api.token");
    if (token.ends_with('\n')) token.pop_back();
    const auto reply = co_await rest::send(env(), asked.api(),
                                           {.method = method,
                                            .target = std::move(target),
                                            .body = std::move(body),
                                            .token = token.empty() ? "none" : token,
                                            .key = std::move(key)},
                                           60s);
    if (reply) co_return *reply;
    co_return Reply{.status = 0, .body = {{"detail", reply.error().message()}}};
  }
  // Again, with the same key, until there is an answer that says what became of it.
  Task<Reply> ask(Site& asked, Method method, std::string target, std::string body = "") {
    const std::string key = method == Method::kGet ? "" : env().random.uuid().text();
    const Instant deadline = env().clock.monotonic() + 2min;
    Reply reply;
    while (true) {
      reply = co_await call(asked, method, target, body, key);
      const bool passes = reply.status == 0 || reply.status == 401 || reply.status >= 500;
      if (!passes || env().clock.monotonic() >= deadline) co_return reply;
      co_await pause(100ms);
    }
  }
  Task<std::string> members(Site& asked) {
    const Reply reply = co_await ask(asked, Method::kGet, "/v1/cluster");
    std::string text;
    const auto* list = reply.body.if_contains("members");
    if (reply.status != 200 || list == nullptr) co_return "no answer";
    for (const auto& member : list->as_array()) {
      const auto word = [&](const char* key) { return member.at(key).as_string().c_str(); };
      text += fmt::format("{}{}:{}", text.empty() ? "" : " ", word("name"), word("membership"));
    }
    co_return text;
  }
  // How many voters there are, when it is not `wanted` after a while.
  Task<int> voters(Site& asked, int wanted) {
    const Instant deadline = env().clock.monotonic() + 1min;
    while (true) {
      const std::string text = co_await members(asked);
      int count = 0;
      for (std::size_t at = text.find(":voter"); at != std::string::npos;
           at = text.find(":voter", at + 1)) {
        ++count;
      }
      if (count == wanted || env().clock.monotonic() >= deadline) co_return count;
      co_await pause(100ms);
    }
  }
  // Null: nobody knows one.
  Task<Site*> leader(Site& asked) {
    const Reply reply = co_await ask(asked, Method::kGet, "/v1/cluster");
    const std::string name = reply.text("leader");
    if (!name.empty()) co_return &named(name);
    ADD_FAILURE() << "nobody leads: " << text_of(reply);
    co_return nullptr;
  }
  Task<std::string> token(Site& asked, std::string body = R"({"role":"server"})") {
    const Reply reply = co_await ask(asked, Method::kPost, "/v1/tokens", std::move(body));
    EXPECT_EQ(reply.status, 201) << text_of(reply);
    co_return reply.text("token");
  }
  Task<std::string> join_of(Site& member, std::string body = R"({"role":"server"})") {
    const std::string text = co_await token(member, std::move(body));
    co_return text + "@" + member.peer_address();
  }

  // The first machine begins a cluster.
  Task<void> begin() {
    site(1).bootstrap = true;
    start(site(1));
    co_await ready(site(1));
  }
  // And the next ones join it, all at once; all become voters.
  Task<void> form(std::size_t nodes) {
    co_await begin();
    std::string wanted = "n1:voter";
    for (std::size_t i = 2; i <= nodes; ++i) {
      site(i).join = co_await join_of(site(1));
      start(site(i));
      wanted += fmt::format(" n{}:voter", i);
    }
    for (std::size_t i = 2; i <= nodes; ++i)
      co_await ready(site(i));
    co_await until_members(site(1), wanted);
  }
  // The image "tiny" on every machine that runs.
  Task<void> import_images() {
    for (auto& site : sites_) {
      if (!site->runs) continue;
      EXPECT_TRUE(co_await agent::write_image(site->machine->env(), "/src", ""));
      const Reply reply = co_await ask(*site, Method::kPost, "/v1/images", R"({"path":"/src"})");
      EXPECT_EQ(reply.status, 201) << text_of(reply);
    }
  }

 private:
  void add_site(std::string name) {
    sites_.push_back(std::make_unique<Site>());
    Site& site = *sites_.back();
    site.name = name;
    site.machine = &world_.add_machine(std::move(name));
    // NOLINTNEXTLINE(cppcoreguidelines-avoid-capturing-lambda-coroutines): kept by the machine
    const auto guest = [&site](sim::ProcessContext process) -> Task<void> {
      const int code =
          co_await site.hypervisor.run_guest(process.env(), process.spec(), process.id());
      process.exit(code);
    };
    site.machine->install_program(std::string(vm_sim::kSimHypervisorPath), guest);
  }
  static void forget(Site& site) {
    ++site.lives;  // what that one still says is not heard
    site.runs = false;
    site.ready = false;
  }

  static Task<void> daemon(env::Env env, Site& site, std::uint64_t life) {
    vm_sim::SimDriver driver(env, site.hypervisor, env::join_path(Site::kData, "vms"));
    {
      node::Node node(env,
                      {.data_directory = Site::kData,
                       .name = site.name,
                       .listen = site.api(),
                       .bootstrap = site.bootstrap,
                       .join = site.join,
                       .peer_listen = env::Endpoint::tcp(site.machine->address(), Site::kPeerPort),
                       .version = "test",
                       .allow_failpoints = site.allow_failpoints,
                       .templates = site.templates,
                       .replica = {.log = {.segment_bytes = std::uint64_t{2} << 20},
                                   .snapshot_entries = 60,
                                   .trailing_entries = 20}},
                      driver);
      const auto done = co_await node.run([&site, life](const node::Ready&) {
        if (site.lives == life) site.ready = true;
      });
      if (site.lives == life) {
        site.runs = false;
        site.ready = false;
        site.ended = done ? "ok" : std::string(done.error().reason());
        site.ended_message = done ? "ok" : done.error().message();
      }
    }
    co_await driver.close();
  }

  // Daemons refer to them, so they outlive the world.
  std::vector<std::unique_ptr<Site>> sites_;
  sim::World world_;
  sim::Machine& observer_ = world_.add_machine("observer");
};

}  // namespace blixard

// One life of a node and the beginning of the next, written once against env::Env and vm::Driver:
// on Linux with QEMU and a real guest, and in virtual time with the simulated hypervisor. It is the
// same object code on both sides.

#include "node/node.h"

#include <stdlib.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <iostream>
#include <memory>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "env/scope.h"
#include "env/sync.h"
#include "linux/runtime.h"
#include "node/agent/test_daemon.h"
#include "node/vm/qemu/qemu_driver.h"
#include "node/vm/sim/sim_driver.h"
#include "sim/world.h"
#include "vopr/rest.h"

namespace blixard {
namespace {

namespace files = std::filesystem;
using env::Env;
using env::Task;
using http::Method;

struct Site {
  std::string data;   // an empty directory, or none yet
  std::string image;  // a folder to import
  std::function<std::unique_ptr<vm::Driver>()> make_driver;
};

// What one life hands to the next.
struct Story {
  std::int64_t pid = 0;
  std::string uuid;
};

constexpr Duration kPatience = 150s;

std::unexpected<Error> unexpected_reply(const char* what, const rest::Reply& reply) {
  return fail(Code::kInternal, "unexpected",
              fmt::format("{}: {} {}", what, reply.status, boost::json::serialize(reply.body)));
}

class Session {
 public:
  Session(Env env, std::string socket)
      : env_(env), server_(env::Endpoint::unix_socket(std::move(socket))) {}

  // The answer, which must have this status and, of a VM, this state ("": whatever it is).
  Task<Result<rest::Reply>> call(Method method, std::string target, std::string body, int status,
                                 std::string state) {
    BLX_CO_TRY(rest::Reply reply,
               co_await rest::send(env_, server_,
                                   {.method = method, .target = target, .body = std::move(body)},
                                   kPatience));
    const bool is_right = reply.status == status && (state.empty() || reply.text("state") == state);
    if (!is_right) co_return unexpected_reply(target.c_str(), reply);
    co_return std::move(reply);
  }

  Task<Result<void>> until_state(std::string name, std::string state) {
    const Instant deadline = env_.clock.monotonic() + kPatience;
    while (true) {
      BLX_CO_TRY(const auto reply, co_await call(Method::kGet, "/v1/vms/" + name, "", 200, ""));
      if (reply.text("state") == state) co_return Result<void>();
      if (env_.clock.monotonic() > deadline) co_return unexpected_reply(name.c_str(), reply);
      BLX_CO_TRY(co_await env_.clock.sleep(10ms));
    }
  }

 private:
  Env env_;
  env::Endpoint server_;
};

Task<Result<void>> first_life(Session& session, const Site& site, Story& story) {
  BLX_CO_TRY(co_await session.call(Method::kPost, "/v1/images",
                                   fmt::format(R"({{"path":"{}"}})", site.image), 201, ""));
  const std::string create = R"({"name":"web","image":"tiny","publish":[{"guest_port":80}]})";
  BLX_CO_TRY(const auto made,
             co_await session.call(Method::kPost, "/v1/vms?wait=running&timeout=120s", create, 201,
                                   "running"));
  BLX_CO_TRY(const auto read,
             co_await session.call(Method::kGet, "/v1/vms/web", "", 200, "running"));
  if (read.text("uuid") != made.text("uuid") || read.number("pid") == 0 ||
      read.text("node") != "here") {
    co_return unexpected_reply("web", read);
  }
  BLX_CO_TRY(
      const auto stopped,
      co_await session.call(Method::kPost, "/v1/vms/web/stop?wait=stopped", "", 200, "stopped"));
  if (stopped.number("pid") != 0) co_return unexpected_reply("stopped web", stopped);
  BLX_CO_TRY(const auto again,
             co_await session.call(Method::kPost, "/v1/vms/web/start?wait=running&timeout=120s", "",
                                   200, "running"));
  if (again.number("pid") == read.number("pid") ||
      again.number("generation") != read.number("generation") + 1) {
    co_return unexpected_reply("web started again", again);
  }
  story = {again.number("pid"), again.text("uuid")};
  BLX_CO_TRY(co_await session.call(Method::kPost, "/v1/vms",
                                   R"({"name":"idle","image":"tiny","start":false})", 201, ""));
  BLX_CO_TRY(co_await session.until_state("idle", "stopped"));
  co_return Result<void>();
}

Task<Result<void>> second_life(Session& session, const Site& /*site*/, Story& story) {
  BLX_CO_TRY(const auto web,
             co_await session.call(Method::kGet, "/v1/vms/web?wait=running", "", 200, "running"));
  if (web.number("pid") != story.pid || web.text("uuid") != story.uuid ||
      web.number("restarts") != 0) {
    co_return unexpected_reply("web is not the same", web);
  }
  BLX_CO_TRY(co_await session.call(Method::kGet, "/v1/vms/idle", "", 200, "stopped"));
  BLX_CO_TRY(co_await session.call(Method::kDelete, "/v1/vms/idle?wait=deleted", "", 200, ""));
  BLX_CO_TRY(
      co_await session.call(Method::kDelete, "/v1/vms/web?wait=deleted&timeout=120s", "", 200, ""));
  BLX_CO_TRY(co_await session.call(Method::kGet, "/v1/vms/web", "", 404, ""));
  BLX_CO_TRY(co_await session.call(Method::kDelete, "/v1/images/tiny", "", 200, ""));
  co_return Result<void>();
}

Task<void> run_node(node::Node& node, std::optional<node::Ready>& ready, env::Signal& changed,
                    std::optional<Result<void>>& ended) {
  auto done = co_await node.run([&](const node::Ready& now) {
    ready = now;
    changed.notify_all();
  });
  ended = std::move(done);
  changed.notify_all();
}

using Life = Task<Result<void>> (*)(Session&, const Site&, Story&);

Task<Result<void>> live(Env env, const Site& site, Story& story, Life life) {
  const auto driver = site.make_driver();
  Result<void> result;
  {
    node::Node node(env,
                    {.data_directory = site.data,
                     .name = "here",
                     .listen = std::nullopt,
                     .bootstrap = true,
                     .peer_listen = env::Endpoint::tcp("127.0.0.1", 0),
                     .version = "test"},
                    *driver);
    std::optional<node::Ready> ready;
    std::optional<Result<void>> ended;
    env::Signal changed(env.executor);
    env::Scope scope(env.executor, co_await env::this_cancellation());
    scope.spawn(run_node(node, ready, changed, ended));
    while (!ready && !ended)
      ignore(co_await changed.wait(), "the node's end ends the wait too");
    if (ready) {
      Session session(env, ready->socket);
      result = co_await life(session, site, story);
      node.stop(node::StopGuests::kNo);
    }
    co_await scope.join();
    if (result && !*ended) result = *ended;
  }
  co_await driver->close();
  co_return result;
}

Task<Result<void>> both_lives(Env env, const Site& site) {
  Story story;
  BLX_CO_TRY(co_await live(env, site, story, first_life));
  BLX_CO_TRY(co_await live(env, site, story, second_life));
  // Nothing is left of the VMs.
  const auto driver = site.make_driver();
  const auto left = co_await driver->leftovers();
  co_await driver->close();
  BLX_CO_TRY(left);
  const auto records = co_await env.disk.list(env::join_path(site.data, "records"));
  BLX_CO_TRY(records);
  if (!left->empty() || !records->empty()) co_return fail(Code::kInternal, "something_is_left");
  co_return Result<void>();
}

Task<void> play(Env env, const Site& site, Result<void>& result) {
  result = co_await both_lives(env, site);
  if (result) co_return;
  const auto driver = site.make_driver();
  const auto left = co_await driver->leftovers();
  for (const VmId id : left ? *left : std::vector<VmId>{})
    ignore(co_await driver->release_leftover(id), "the failure is told already");
  co_await driver->close();
}

// On Linux.

class WarningsToStderr final : public observe::LogSink {
 public:
  [[nodiscard]] bool wants(observe::Level level) const override {
    return level >= observe::Level::kWarn;
  }
  void write(observe::Level, std::string_view line) override { std::cerr << line << '\n'; }
};

TEST(Node, OnLinux) {
  const files::path image = files::path(BLX_SOURCE_DIR) / "build" / "guest";
  if (!files::exists(image / "image.json")) {
    GTEST_SKIP() << "SKIPPED: there is no guest image in build/guest, make it with: ./do test";
  }
  std::string directory = (files::temp_directory_path() / "blx-node-XXXXXX").string();
  ASSERT_NE(mkdtemp(directory.data()), nullptr);
  files::permissions(directory, files::perms(0711));  // guests run as another user
  WarningsToStderr log;
  const std::string group_root = "blx-node-" + std::to_string(getpid());
  Result<void> result;
  {
    linux_side::Runtime runtime({.log = &log, .group_root = group_root});
    const Site site{directory + "/d", image.string(), [&] {
                      return std::make_unique<qemu::QemuDriver>(
                          runtime.env(), qemu::Options{.directory = directory + "/d/vms"});
                    }};
    runtime.run(play(runtime.env(), site, result));
  }
  EXPECT_TRUE(result) << result.error().message();
  std::error_code ignored;
  files::remove_all(directory, ignored);
  for (const auto& tree : files::directory_iterator("/sys/fs/cgroup", ignored))
    files::remove(tree.path() / group_root, ignored);
  files::remove(files::path("/sys/fs/cgroup") / group_root, ignored);
}

// In virtual time.

Task<void> play_simulated(Env env, const Site& site, Result<void>& result) {
  result = co_await agent::write_image(env, site.image, "");
  if (result) co_await play(env, site, result);
}

TEST(Node, InVirtualTime) {
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    vm_sim::SimHypervisor hypervisor;
    sim::World world(seed);
    sim::Machine& machine = world.add_machine("a");
    machine.install_program(
        std::string(vm_sim::kSimHypervisorPath), [&](sim::ProcessContext process) -> Task<void> {
          const int code =
              co_await hypervisor.run_guest(process.env(), process.spec(), process.id());
          process.exit(code);
        });
    const Site site{"/var/lib/blixard", "/src", [&] {
                      return std::make_unique<vm_sim::SimDriver>(machine.env(), hypervisor,
                                                                 "/var/lib/blixard/vms");
                    }};
    Result<void> result;
    EXPECT_TRUE(world.run(play_simulated(machine.env(), site, result), 10min))
        << "seed " << seed << ": " << world.log_lines().back();
    EXPECT_TRUE(result) << "seed " << seed << ": " << result.error().message();
    EXPECT_EQ(machine.processes(), 0u);
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace blixard

int main(int argc, char** argv) {
  const int hidden = blixard::linux_side::run_hidden_command(argc, argv);
  if (hidden >= 0) return hidden;
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}

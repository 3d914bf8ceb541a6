// What the cluster knows of a node's accelerator, where the driver learns better at its first
// start.

#include "node/identity.h"
#include "node/node.h"
#include "node/replica/test_alone.h"
#include "node/vm/qemu/qemu_driver.h"
#include "sim/qemu/scripted_qemu.h"
#include "sim/world.h"

namespace blixard::node {
namespace {

using env::Task;

const std::string kData = "/var/lib/blixard";

Task<Result<std::string>> registered_accelerator(env::Env env) {
  BLX_CO_TRY(const auto identity, co_await load_identity(env, kData));
  if (!identity) co_return fail(Code::kNotFound, "no_identity");
  replica::NoPeers peers;
  BLX_CO_TRY(const auto replica, co_await replica::open_alone(env, env::join_path(kData, "log"),
                                                              identity->id, {}, peers));
  const cluster::Node* node = replica->state().find_node(identity->id);
  const std::string name = node != nullptr ? node->accelerator : "";
  co_await replica->stop();
  co_return name;
}

// A guest is started beside a running node, as its agent would.
Task<Result<void>> start_guest(env::Env env, vm::Driver& driver) {
  vm::GuestSpec spec;
  spec.id = VmId(1);
  spec.uuid = env.random.uuid();
  spec.name = "web";
  for (std::string* path : {&spec.kernel_path, &spec.initrd_path}) {
    *path = kData + "/file";
    BLX_CO_TRY(co_await env.disk.replace_file(*path, "bytes"));
  }
  BLX_CO_TRY(const vm::Record record, co_await driver.prepare(spec));
  BLX_CO_TRY(co_await driver.start(spec, record, env.clock.monotonic() + 15s));
  co_return Result<void>();
}

Task<Result<std::string>> accelerator_after_a_start(env::Env env) {
  qemu::QemuDriver driver(env, {.directory = kData + "/vms"});
  Result<void> started;
  {
    Node node(
        env,
        {.data_directory = kData, .name = "here", .listen = {}, .bootstrap = true, .version = "1"},
        driver);
    env::Scope scope(env.executor, nullptr);
    scope.spawn([](Node& mine) -> Task<void> {
      const auto done = co_await mine.run([](const Ready&) {});
      EXPECT_TRUE(done) << done.error().message();
    }(node));
    BLX_CO_TRY(co_await env.clock.sleep(2s));
    started = co_await start_guest(env, driver);
    BLX_CO_TRY(co_await env.clock.sleep(10s));
    node.stop(StopGuests::kNo);
    co_await scope.join();
  }
  co_await driver.close();
  BLX_CO_TRY(started);
  co_return co_await registered_accelerator(env);
}

TEST(Registration, FollowsWhatTheDriverLearns) {
  for (const bool boots : {true, false}) {
    sim::ScriptedQemu qemu;
    sim::World world(3);
    sim::Machine& machine = world.add_machine("here");
    qemu.install(machine);
    qemu.faults.kvm_boots = boots;
    machine.kvm() = {.usable = true, .module = "kvm_intel", .loop_time = {}, .explanation = {}};
    Result<std::string> accelerator = "none";
    // It outlives the run. NOLINTNEXTLINE(cppcoreguidelines-avoid-capturing-lambda-coroutines)
    const auto main = [&]() -> Task<void> {
      accelerator = co_await accelerator_after_a_start(machine.env());
    };
    EXPECT_TRUE(world.run(main())) << world.log_lines().back();
    ASSERT_TRUE(accelerator) << accelerator.error().message();
    EXPECT_EQ(*accelerator, boots ? "kvm" : "tcg");
  }
}

}  // namespace
}  // namespace blixard::node

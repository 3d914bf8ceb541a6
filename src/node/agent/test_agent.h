#pragma once

// The machine that tests of the agent run on: its daemon, which is started and crashed, a
// hypervisor, and a VM "web" that most of them are about.

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "blixard/v1/cluster.pb.h"
#include "env/scope.h"
#include "env/test_coroutine.h"
#include "node/agent/agent.h"
#include "node/agent/test_daemon.h"
#include "node/image/store.h"
#include "node/replica/test_alone.h"
#include "node/template/store.h"
#include "node/vm/sim/sim_driver.h"
#include "node/vm/sim/sim_hypervisor.h"
#include "sim/world.h"

namespace blixard::agent {

class AgentTest : public testing::Test {
 public:
  struct Daemon {
    FaultyReplica* replica = nullptr;
    Agent* agent = nullptr;
    templates::Store* templates = nullptr;
    saved::Store* saved = nullptr;
  };

  AgentTest() {
    machine.install_program(std::string(vm_sim::kSimHypervisorPath),
                            [this](sim::ProcessContext process) -> env::Task<void> {
                              spawned.push_back(process.id());
                              const int code = co_await hypervisor.run_guest(
                                  process.env(), process.spec(), process.id());
                              process.exit(code);
                            });
  }

  // The daemon.

  env::Task<void> run_daemon(env::Env env) {
    auto images = co_await image::Store::open(env, env::join_path(kData, "images"));
    replica::NoPeers peers;
    auto inner = co_await replica::open_alone(env, env::join_path(kData, "log"), kSelf, {}, peers);
    if (!images || !inner) co_return;
    vm_sim::SimDriver sim_driver(env, hypervisor, env::join_path(kData, "vms"));
    FaultyDriver driver(sim_driver, driver_faults);
    FaultyReplica replica(env, *std::move(inner), replica_faults);
    const auto kept =
        co_await templates::Store::open(env, env::join_path(kData, "templates"), driver, templates);
    const auto saved = co_await saved::Store::open(env, env::join_path(kData, "saved"), kCluster);
    if (!kept || !saved) co_return;
    Agent agent(env, replica, driver, **images, kSelf, env::join_path(kData, "records"),
                telemetry::Telemetry::none(), nullptr, kept->get(), saved->get(), ask_holder);
    ignore(co_await set_up(env, replica, **images), "it was set up before");
    daemon = {&replica, &agent, kept->get(), saved->get()};
    const auto forget = [&] {
      if (daemon.agent == &agent) daemon = {};
    };
    env::Scope scope(env.executor, co_await env::this_cancellation());
    scope.spawn(place(replica));
    agent_result = co_await agent.run();
    left = true;
    scope.cancel();
    co_await scope.join();
    forget();
    co_await sim_driver.close();
    co_await replica.stop();
  }

  env::Task<Result<void>> set_up(env::Env env, replica::Replica& replica, image::Store& images) {
    BLX_CO_TRY(co_await write_image(env, "/src", cmdline));
    BLX_CO_TRY(const cluster::Image image, co_await images.import("/src", ""));
    BLX_CO_TRY(co_await replica.propose(add_image_command(image)));
    // Once more, in the version that the first one brought.
    BLX_CO_TRY(co_await replica.propose(register_command(kSelf, "a")));
    BLX_CO_TRY(co_await replica.propose(register_command(kSelf, "a")));
    co_return Result<void>();
  }

  // Gives every pending VM to this node, but "far".
  env::Task<void> place(replica::Replica& replica) {
    while (true) {
      std::vector<cluster::Vm> pending;
      for (const auto& [id, vm] : replica.state().vms()) {
        if (places && vm.state == cluster::VmState::kPending && vm.name != "far")
          pending.push_back(vm);
      }
      for (const cluster::Vm& vm : pending) {
        v1::Command command;
        command.mutable_place_vm()->set_vm_id(vm.id.value);
        command.mutable_place_vm()->set_generation(vm.generation.value);
        command.mutable_place_vm()->set_node_id(kSelf.value);
        const auto placed = co_await replica.propose(std::move(command));
        if (!placed && placed.error().reason() == "log_failed") co_return;  // with its daemon
        EXPECT_TRUE(placed) << placed.error().message();
      }
      if (!pending.empty()) continue;
      if (!co_await replica.applied().wait()) co_return;
    }
  }

  void crash_daemon() {
    machine.crash_daemon();
    daemon = {};
  }
  void start_daemon() {
    if (!machine.running()) machine.restart();
    left = false;
    machine.start(run_daemon(machine.env()));
  }

  // What a test does.

  env::Env env() { return observer.env(); }
  env::Task<bool> until(std::function<bool()> condition, Duration limit = 2min) {
    const Instant deadline = env().clock.monotonic() + limit;
    while (!condition()) {
      if (env().clock.monotonic() >= deadline) co_return false;
      if (!co_await env().clock.sleep(10ms)) co_return false;
    }
    co_return true;
  }
  env::Task<bool> until_up() {
    co_return co_await until([this] { return daemon.agent != nullptr; });
  }
  env::Task<bool> until_state(std::string name, cluster::VmState state, Duration limit = 2min) {
    co_return co_await until(
        [&] {
          const cluster::Vm* vm = find(name);
          return vm != nullptr && vm->state == state;
        },
        limit);
  }
  const cluster::Vm* find(std::string_view name) {
    return daemon.replica != nullptr ? daemon.replica->state().find_vm(name) : nullptr;
  }
  bool idle() { return daemon.agent != nullptr && daemon.agent->reports_waiting() == 0; }

  env::Task<void> create(std::string name, v1::RestartPolicy restart,
                         v1::VmDesired desired = v1::VM_DESIRED_RUNNING) {
    v1::Command command;
    auto& create = *command.mutable_create_vm();
    create.set_name(name);
    const Uuid uuid = env().random.uuid();
    create.set_uuid(uuid.bytes.data(), uuid.bytes.size());
    create.set_desired(desired);
    create.mutable_spec()->set_image("tiny");
    create.mutable_spec()->set_vcpus(1);
    create.mutable_spec()->set_memory_mib(128);
    create.mutable_spec()->set_restart(restart);
    create.mutable_spec()->set_stop_grace_seconds(5);
    *create.mutable_spec()->mutable_placement() = wishes;
    EXPECT_TRUE(co_await daemon.replica->propose(std::move(command)));
  }
  env::Task<void> desire(std::string name, v1::VmDesired desired) {
    v1::Command command;
    command.mutable_set_desired()->set_name(name);
    command.mutable_set_desired()->set_desired(desired);
    EXPECT_TRUE(co_await daemon.replica->propose(std::move(command)));
  }
  env::Task<void> place_only(std::string name) {
    v1::Command command;
    command.mutable_place_vm()->set_vm_id(find(name)->id.value);
    command.mutable_place_vm()->set_generation(find(name)->generation.value);
    command.mutable_place_vm()->set_node_id(kSelf.value);
    EXPECT_TRUE(co_await daemon.replica->propose(std::move(command)));
  }
  void place_again() {
    places = true;
    daemon.replica->applied().notify_all();
  }
  // Tells "web" to leave; nothing is placed from then on.
  env::Task<void> evict(v1::EvictCause cause, std::string by = "") {
    places = false;
    v1::Command command;
    auto& evict = *command.mutable_evict_vm();
    evict.set_vm_id(find("web")->id.value);
    evict.set_generation(find("web")->generation.value);
    evict.set_cause(cause);
    if (!by.empty()) evict.set_by_vm_id(find(by)->id.value);
    const auto told = co_await daemon.replica->propose(std::move(command));
    EXPECT_TRUE(told) << told.error().message();
  }
  env::Task<void> set_grace(std::uint32_t seconds) {
    v1::Command command;
    command.mutable_set_policy()->mutable_policy()->set_preemption_grace_seconds(seconds);
    EXPECT_TRUE(co_await daemon.replica->propose(std::move(command)));
  }
  // Between two reports of "web".
  Duration from_to(v1::VmState first, v1::VmState last) {
    std::optional<Instant> begun;
    for (const Proposed& proposed : replica_faults.proposed) {
      if (proposed.report.state() == first) begun = proposed.at;
      if (proposed.report.state() == last && begun) return proposed.at - *begun;
    }
    return Duration(-1);
  }
  // A daemon with one running VM "web".
  env::Task<bool> up_with_web(v1::RestartPolicy restart = v1::RESTART_POLICY_NEVER) {
    start_daemon();
    if (!co_await until_up()) co_return false;
    co_await create("web", restart);
    const bool runs =
        co_await until_state("web", cluster::VmState::kRunning) && find("web")->pid != 0;
    web_pid = runs ? find("web")->pid : 0;
    co_return runs;
  }

  std::string record_path() {
    return env::join_path(kData, "records/vm-" + std::to_string(find("web")->id.value) + ".json");
  }
  env::Task<void> change_record(std::string path, std::function<void(vm::Record&)> change) {
    if (!machine.running()) machine.restart();
    auto record = vm::Record::decode(machine.content(path).value_or(""));
    CO_ASSERT(record);
    change(*record);
    EXPECT_TRUE(co_await machine.env().disk.replace_file(path, record->encode()));
  }
  std::size_t files_in(const char* folder) {
    std::size_t count = 0;
    for (std::uint64_t id = 1; id < 10; ++id) {
      const std::string number = std::to_string(id);
      count += machine.content(fmt::format("{}/{}/{}/record.json", kData, folder, number)) ? 1 : 0;
      count += machine.content(fmt::format("{}/{}/vm-{}.json", kData, folder, number)) ? 1 : 0;
    }
    return count;
  }
  bool nothing_is_left() {
    return machine.processes() == 0 && files_in("vms") == 0 && files_in("records") == 0;
  }
  std::vector<v1::VmState> states_of_web() {
    std::vector<v1::VmState> states;
    for (const Proposed& proposed : replica_faults.proposed)
      states.push_back(proposed.report.state());
    return states;
  }

  void run(env::Task<void> test) {
    // The daemons end before what they refer to.
    EXPECT_TRUE(world.run(whole(std::move(test)), 24h)) << world.log_lines().back();
    if (HasFailure()) {
      for (const std::string& line : world.log_lines())
        std::puts(line.c_str());
    }
  }
  env::Task<void> whole(env::Task<void> test) {
    co_await std::move(test);
    co_await machine.stop_daemon();
  }

  AskHolder ask_holder;
  vm_sim::SimHypervisor hypervisor;
  ReplicaFaults replica_faults;
  DriverFaults driver_faults;
  std::vector<env::ProcessId> spawned;
  std::string cmdline;
  Bytes templates;           // of the daemon's disk; 0: every guest boots
  v1::PlacementSpec wishes;  // of what is created
  bool places = true;
  Daemon daemon;
  Result<void> agent_result;
  bool left = false;
  std::int64_t web_pid = 0;

  sim::World world{7};
  sim::Machine& machine = world.add_machine("a");
  sim::Machine& observer = world.add_machine("observer");
};

inline constexpr auto kNever = v1::RESTART_POLICY_NEVER;
inline constexpr auto kOnFailure = v1::RESTART_POLICY_ON_FAILURE;

}  // namespace blixard::agent

// The agent on a simulated machine: what it adopts, starts, stops, restarts and removes, while it
// is killed and while the replica and the driver fail under it.

#include "node/agent/agent.h"

#include <algorithm>

#include "base/limits.h"
#include "node/agent/test_daemon.h"
#include "sim/test_rare.h"

namespace blixard::agent {
namespace {

using cluster::VmDesired;
using cluster::VmState;

class AgentTest : public testing::Test {
 public:
  struct Daemon {
    FaultyReplica* replica = nullptr;
    Agent* agent = nullptr;
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
    Agent agent(env, replica, driver, **images, kSelf, env::join_path(kData, "records"));
    ignore(co_await set_up(env, replica, **images), "it was set up before");
    daemon = {&replica, &agent};
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
    v1::Command node;
    node.mutable_register_node()->set_node_id(kSelf.value);
    node.mutable_register_node()->set_name("a");
    node.mutable_register_node()->mutable_capacity()->set_vcpus(16);
    node.mutable_register_node()->mutable_capacity()->set_memory_mib(4096);
    node.mutable_register_node()->set_accelerator("tcg");
    node.mutable_register_node()->set_version("1");
    node.mutable_register_node()->set_model_version(cluster::kModelVersion);
    BLX_CO_TRY(co_await replica.propose(std::move(node)));
    co_return Result<void>();
  }

  // Gives every pending VM to this node, but "far".
  env::Task<void> place(replica::Replica& replica) {
    while (true) {
      std::vector<cluster::Vm> pending;
      for (const auto& [id, vm] : replica.state().vms()) {
        if (places && vm.state == VmState::kPending && vm.name != "far") pending.push_back(vm);
      }
      for (const cluster::Vm& vm : pending) {
        v1::Command command;
        command.mutable_place_vm()->set_vm_id(vm.id.value);
        command.mutable_place_vm()->set_generation(vm.generation.value);
        command.mutable_place_vm()->set_node_id(kSelf.value);
        EXPECT_TRUE(co_await replica.propose(std::move(command)));
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
  env::Task<bool> until_state(std::string name, VmState state, Duration limit = 2min) {
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
    const bool runs = co_await until_state("web", VmState::kRunning) && find("web")->pid != 0;
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

  vm_sim::SimHypervisor hypervisor;
  ReplicaFaults replica_faults;
  DriverFaults driver_faults;
  std::vector<env::ProcessId> spawned;
  std::string cmdline;
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

constexpr auto kNever = v1::RESTART_POLICY_NEVER;
constexpr auto kOnFailure = v1::RESTART_POLICY_ON_FAILURE;

// Adoption.

TEST_F(AgentTest, ReportsEachStateOfANewVm) {
  run([](AgentTest& t) -> env::Task<void> {
    CO_ASSERT(co_await t.up_with_web());
    EXPECT_TRUE(co_await t.until([&] { return t.idle(); }));
    EXPECT_EQ(t.states_of_web(), (std::vector{v1::VM_STATE_STARTING, v1::VM_STATE_RUNNING}));
    EXPECT_TRUE(t.machine.is_alive(t.spawned.at(0)));
    EXPECT_EQ(t.spawned.at(0).pid, t.find("web")->pid);
  }(*this));
}

TEST_F(AgentTest, AdoptsTheSameProcess) {
  run([](AgentTest& t) -> env::Task<void> {
    CO_ASSERT(co_await t.up_with_web());
    t.crash_daemon();
    EXPECT_TRUE(co_await t.env().clock.sleep(5s));
    t.replica_faults.proposed.clear();
    t.start_daemon();
    CO_ASSERT(co_await t.until_up());
    EXPECT_TRUE(co_await t.until([&] { return t.driver_faults.adopt_calls > 0 && t.idle(); }));
    EXPECT_TRUE(co_await t.env().clock.sleep(10s));
    EXPECT_EQ(t.find("web")->state, VmState::kRunning);
    EXPECT_EQ(t.find("web")->pid, t.web_pid);
    EXPECT_EQ(t.find("web")->restarts, 0u);
    EXPECT_EQ(t.spawned.size(), 1u);
    EXPECT_EQ(t.machine.processes(), 1u);
    // And it is watched again.
    t.machine.kill_process(t.spawned.at(0));
    EXPECT_TRUE(co_await t.until_state("web", VmState::kFailed));
  }(*this));
}

TEST_F(AgentTest, GuestThatDiedMeanwhileFails) {
  run([](AgentTest& t) -> env::Task<void> {
    CO_ASSERT(co_await t.up_with_web(kNever));
    t.crash_daemon();
    t.machine.kill_process(t.spawned.at(0));
    t.start_daemon();
    EXPECT_TRUE(co_await t.until_state("web", VmState::kFailed));
    CO_ASSERT(t.find("web") != nullptr);
    EXPECT_NE(t.find("web")->reason.find("process_died"), std::string::npos)
        << t.find("web")->reason;
    EXPECT_TRUE(co_await t.until([&] { return t.nothing_is_left(); }));
    EXPECT_EQ(t.spawned.size(), 1u);
  }(*this));
}

TEST_F(AgentTest, GuestThatDiedMeanwhileIsRestartedByItsPolicy) {
  run([](AgentTest& t) -> env::Task<void> {
    CO_ASSERT(co_await t.up_with_web(kOnFailure));
    t.crash_daemon();
    t.machine.kill_process(t.spawned.at(0));
    t.start_daemon();
    EXPECT_TRUE(co_await t.until([&] {
      const cluster::Vm* web = t.find("web");
      return web != nullptr && web->state == VmState::kRunning && web->restarts == 1;
    }));
    EXPECT_EQ(t.spawned.size(), 2u);
    EXPECT_EQ(t.machine.processes(), 1u);
  }(*this));
}

TEST_F(AgentTest, RecordWithoutProcessIsPutAway) {
  run([](AgentTest& t) -> env::Task<void> {
    CO_ASSERT(co_await t.up_with_web());
    const std::string path = t.record_path();
    t.crash_daemon();
    co_await t.change_record(path, [](vm::Record& record) { record.process = {}; });
    t.start_daemon();
    EXPECT_TRUE(co_await t.until([&] {
      const cluster::Vm* web = t.find("web");
      return web != nullptr && web->state == VmState::kRunning && web->pid != t.web_pid;
    }));
    EXPECT_EQ(t.machine.processes(), 1u);
    EXPECT_FALSE(t.machine.is_alive(t.spawned.at(0)));
  }(*this));
}

TEST_F(AgentTest, RecordOfAnotherGenerationIsPutAway) {
  run([](AgentTest& t) -> env::Task<void> {
    CO_ASSERT(co_await t.up_with_web());
    const std::string path = t.record_path();
    t.crash_daemon();
    co_await t.change_record(path, [](vm::Record& record) { record.generation = Generation(77); });
    t.start_daemon();
    EXPECT_TRUE(co_await t.until([&] {
      const cluster::Vm* web = t.find("web");
      return web != nullptr && web->state == VmState::kRunning && web->pid != t.web_pid;
    }));
    EXPECT_FALSE(t.machine.is_alive(t.spawned.at(0)));
    EXPECT_EQ(t.machine.processes(), 1u);
    EXPECT_EQ(t.driver_faults.adopt_calls, 0u);
  }(*this));
}

TEST_F(AgentTest, DamagedRecordLeavesOneProcess) {
  run([](AgentTest& t) -> env::Task<void> {
    CO_ASSERT(co_await t.up_with_web());
    t.machine.corrupt(t.record_path(), 0);
    t.crash_daemon();
    t.start_daemon();
    EXPECT_TRUE(co_await t.until([&] { return t.spawned.size() == 2; }));
    EXPECT_TRUE(co_await t.until_state("web", VmState::kRunning));
    EXPECT_EQ(t.machine.processes(), 1u);
    EXPECT_FALSE(t.machine.is_alive(t.spawned.at(0)));
  }(*this));
}

// The VM is deleted before anybody looked at what the damaged record pointed to.
TEST_F(AgentTest, DamagedRecordOfADeletedVmLeavesNothing) {
  run([](AgentTest& t) -> env::Task<void> {
    CO_ASSERT(co_await t.up_with_web());
    t.machine.corrupt(t.record_path(), 0);
    t.crash_daemon();
    t.replica_faults.barrier_closed = true;
    t.start_daemon();
    CO_ASSERT(co_await t.until_up());
    co_await t.desire("web", v1::VM_DESIRED_DELETED);
    t.replica_faults.barrier_closed = false;
    EXPECT_TRUE(co_await t.until([&] { return t.find("web") == nullptr; }));
    EXPECT_TRUE(t.nothing_is_left());
  }(*this));
}

// A driver that cannot tell is asked again; its guest is no worse off for that.
TEST_F(AgentTest, UnclearAdoptionKillsNobody) {
  run([](AgentTest& t) -> env::Task<void> {
    CO_ASSERT(co_await t.up_with_web(kOnFailure));
    t.crash_daemon();
    t.driver_faults.adopt = Error(Code::kDeadlineExceeded, "monitor_silent");
    t.start_daemon();
    CO_ASSERT(co_await t.until([&] { return t.driver_faults.adopt_calls >= 5; }));
    EXPECT_TRUE(t.machine.is_alive(t.spawned.at(0)));
    EXPECT_EQ(t.find("web")->state, VmState::kRunning);
    EXPECT_NE(t.find("web")->reason.find("monitor_silent"), std::string::npos);
    t.driver_faults.adopt.reset();
    EXPECT_TRUE(co_await t.until([&] { return t.find("web")->reason.empty(); }));
    EXPECT_EQ(t.find("web")->pid, t.web_pid);
    EXPECT_EQ(t.spawned.size(), 1u);
  }(*this));
}

TEST_F(AgentTest, UnclearAdoptionDoesNotKeepAnybodyFromStopping) {
  run([](AgentTest& t) -> env::Task<void> {
    CO_ASSERT(co_await t.up_with_web(kOnFailure));
    t.crash_daemon();
    t.driver_faults.adopt = Error(Code::kDeadlineExceeded, "monitor_silent");
    t.start_daemon();
    CO_ASSERT(co_await t.until([&] { return t.driver_faults.adopt_calls >= 3; }));
    co_await t.desire("web", v1::VM_DESIRED_STOPPED);
    EXPECT_TRUE(co_await t.until_state("web", VmState::kStopped));
    EXPECT_TRUE(t.nothing_is_left());
  }(*this));
}

TEST_F(AgentTest, GuestThatCannotBeWatchedIsNotKilled) {
  run([](AgentTest& t) -> env::Task<void> {
    CO_ASSERT(co_await t.up_with_web(kOnFailure));
    t.crash_daemon();
    t.driver_faults.next_change = Error(Code::kUnavailable, "monitor_lost");
    t.start_daemon();
    CO_ASSERT(co_await t.until([&] { return t.driver_faults.adopt_calls > 0; }));
    EXPECT_TRUE(co_await t.env().clock.sleep(30s));
    EXPECT_TRUE(t.machine.is_alive(t.spawned.at(0)));
    EXPECT_EQ(t.find("web")->state, VmState::kRunning);
    t.driver_faults.next_change.reset();
    t.machine.kill_process(t.spawned.at(0));
    EXPECT_TRUE(co_await t.until([&] { return t.find("web")->restarts == 1; }));
  }(*this));
}

// The daemon went while a guest was booting: it boots on, and is reported when it is ready.
TEST_F(AgentTest, BootUnderWayIsAdopted) {
  run([](AgentTest& t) -> env::Task<void> {
    t.hypervisor.times.boot = 20s;
    t.start_daemon();
    CO_ASSERT(co_await t.until_up());
    co_await t.create("web", kNever);
    EXPECT_TRUE(co_await t.until([&] { return t.files_in("records") == 1; }));
    EXPECT_TRUE(co_await t.env().clock.sleep(5s));
    t.crash_daemon();
    t.start_daemon();
    EXPECT_TRUE(co_await t.until_state("web", VmState::kRunning));
    EXPECT_EQ(t.spawned.size(), 1u);
    EXPECT_EQ(t.machine.processes(), 1u);
  }(*this));
}

TEST_F(AgentTest, AdoptedBootIsCancelledByStop) {
  run([](AgentTest& t) -> env::Task<void> {
    t.cmdline = "blx.test=hang-agent";
    t.start_daemon();
    CO_ASSERT(co_await t.until_up());
    co_await t.create("web", kNever);
    EXPECT_TRUE(co_await t.env().clock.sleep(5s));
    t.crash_daemon();
    t.start_daemon();
    CO_ASSERT(co_await t.until([&] { return t.driver_faults.adopt_calls > 0; }));
    co_await t.desire("web", v1::VM_DESIRED_STOPPED);
    EXPECT_TRUE(co_await t.until_state("web", VmState::kStopped, 5s));
    EXPECT_TRUE(t.nothing_is_left());
  }(*this));
}

TEST_F(AgentTest, WantedAgainWhileItIsAdopted) {
  run([](AgentTest& t) -> env::Task<void> {
    t.hypervisor.times.boot = 20s;
    t.start_daemon();
    CO_ASSERT(co_await t.until_up());
    co_await t.create("web", kNever);
    EXPECT_TRUE(co_await t.env().clock.sleep(5s));
    t.driver_faults.release = Error(Code::kUnavailable, "monitor_lost");
    co_await t.desire("web", v1::VM_DESIRED_STOPPED);
    EXPECT_TRUE(co_await t.until([&] { return t.driver_faults.release_calls > 0; }));
    t.crash_daemon();
    t.driver_faults.release.reset();
    t.driver_faults.during_adopt = [&t] { return t.desire("web", v1::VM_DESIRED_RUNNING); };
    t.start_daemon();
    EXPECT_TRUE(co_await t.until_state("web", VmState::kRunning));
    EXPECT_EQ(t.machine.processes(), 1u);
  }(*this));
}

// Restarts.

TEST_F(AgentTest, RestartDelayDoublesUpToItsCap) {
  run([](AgentTest& t) -> env::Task<void> {
    t.hypervisor.fail_next_starts = true;
    t.start_daemon();
    CO_ASSERT(co_await t.until_up());
    co_await t.create("web", kOnFailure);
    CO_ASSERT(co_await t.until([&] { return t.find("web")->restarts == 9; }, 1h));
    std::vector<std::int64_t> delays;
    std::optional<Instant> failed;
    for (const Proposed& proposed : t.replica_faults.proposed) {
      if (proposed.report.state() == v1::VM_STATE_FAILED) failed = proposed.at;
      if (proposed.report.state() == v1::VM_STATE_STARTING && failed) {
        delays.push_back((proposed.at - *failed + 500ms) / 1s);
      }
    }
    EXPECT_EQ(delays, (std::vector<std::int64_t>{1, 2, 4, 8, 16, 32, 60, 60, 60}));
    // A stop ends it, and nothing is started any more.
    co_await t.desire("web", v1::VM_DESIRED_STOPPED);
    EXPECT_TRUE(co_await t.until_state("web", VmState::kStopped));
    const std::size_t count = t.spawned.size();
    EXPECT_TRUE(co_await t.env().clock.sleep(10min));
    EXPECT_EQ(t.spawned.size(), count);
  }(*this));
}

TEST_F(AgentTest, GuestThatRanWellIsForgiven) {
  run([](AgentTest& t) -> env::Task<void> {
    CO_ASSERT(co_await t.up_with_web(kOnFailure));
    for (std::uint32_t round = 1; round <= 4; ++round) {
      EXPECT_TRUE(co_await t.env().clock.sleep(limits::kRestartForgiven + 1s));
      t.machine.kill_process(t.spawned.back());
      const auto again = [&] {
        return t.find("web")->restarts == round && t.find("web")->state == VmState::kRunning;
      };
      EXPECT_TRUE(co_await t.until(again, 5s)) << round;
    }
  }(*this));
}

TEST_F(AgentTest, BootThatCannotBePreparedFailsWithItsReason) {
  run([](AgentTest& t) -> env::Task<void> {
    t.driver_faults.prepare = Error(Code::kAlreadyExists, "port_in_use", "port 8080");
    t.start_daemon();
    CO_ASSERT(co_await t.until_up());
    co_await t.create("web", kNever);
    EXPECT_TRUE(co_await t.until_state("web", VmState::kFailed));
    EXPECT_EQ(t.find("web")->reason, "start_failed: port_in_use: port 8080");
    EXPECT_TRUE(co_await t.env().clock.sleep(2min));
    EXPECT_EQ(t.driver_faults.prepare_calls, 1u);
    EXPECT_TRUE(t.nothing_is_left());
    t.driver_faults.prepare.reset();
    co_await t.desire("web", v1::VM_DESIRED_RUNNING);
    EXPECT_TRUE(co_await t.until_state("web", VmState::kRunning));
  }(*this));
}

TEST_F(AgentTest, CleanShutdownIsNoFailure) {
  run([](AgentTest& t) -> env::Task<void> {
    CO_ASSERT(co_await t.up_with_web(kOnFailure));
    vm_sim::SimGuest* guest = t.hypervisor.find(t.spawned.at(0));
    CO_ASSERT(guest != nullptr);
    guest->shutdown_wanted = true;
    guest->asked.notify_all();
    EXPECT_TRUE(co_await t.until_state("web", VmState::kStopped));
    EXPECT_EQ(t.find("web")->reason.substr(0, 14), "guest_shutdown");
    EXPECT_TRUE(co_await t.env().clock.sleep(2min));
    EXPECT_EQ(t.spawned.size(), 1u);
    // Nor does a new daemon start it.
    t.crash_daemon();
    t.start_daemon();
    EXPECT_TRUE(co_await t.until_up());
    EXPECT_TRUE(co_await t.env().clock.sleep(2min));
    EXPECT_EQ(t.find("web")->state, VmState::kStopped);
    EXPECT_EQ(t.spawned.size(), 1u);
    // An explicit start does.
    co_await t.desire("web", v1::VM_DESIRED_RUNNING);
    EXPECT_TRUE(co_await t.until_state("web", VmState::kRunning));
  }(*this));
}

// Stopping.

TEST_F(AgentTest, StopCancelsABoot) {
  for (const auto desired : {v1::VM_DESIRED_STOPPED, v1::VM_DESIRED_DELETED}) {
    run([](AgentTest& t, v1::VmDesired wanted) -> env::Task<void> {
      t.hypervisor.hang_next_starts = true;
      t.start_daemon();
      CO_ASSERT(co_await t.until_up());
      co_await t.create("web", kNever);
      EXPECT_TRUE(co_await t.until_state("web", VmState::kStarting));
      EXPECT_TRUE(co_await t.until([&] { return t.machine.processes() == 1; }));
      co_await t.desire("web", wanted);
      // Long before the monitor's patience is over.
      EXPECT_TRUE(co_await t.until([&] { return t.machine.processes() == 0; }, 2s));
      EXPECT_TRUE(co_await t.until(
          [&] { return t.find("web") == nullptr || t.find("web")->state == VmState::kStopped; }));
      EXPECT_TRUE(t.nothing_is_left());
      if (t.find("web") != nullptr) co_await t.desire("web", v1::VM_DESIRED_DELETED);
      EXPECT_TRUE(co_await t.until([&] { return t.find("web") == nullptr; }));
    }(*this, desired));
  }
}

// The guest is told to shut down, which takes it a while; the user changes their mind.
TEST_F(AgentTest, StartWhileItStopsStartsItAgain) {
  run([](AgentTest& t) -> env::Task<void> {
    t.cmdline = "blx.test=ignore-shutdown";
    CO_ASSERT(co_await t.up_with_web(kOnFailure));
    co_await t.desire("web", v1::VM_DESIRED_STOPPED);
    EXPECT_TRUE(co_await t.until_state("web", VmState::kStopping));
    EXPECT_TRUE(co_await t.env().clock.sleep(1s));
    co_await t.desire("web", v1::VM_DESIRED_RUNNING);
    EXPECT_TRUE(co_await t.until(
        [&] { return t.find("web")->state == VmState::kRunning && t.spawned.size() == 2; }));
    EXPECT_EQ(t.machine.processes(), 1u);
    EXPECT_EQ(t.find("web")->restarts, 0u);
  }(*this));
}

// The same, and the daemon dies before it can do either.
TEST_F(AgentTest, StartWhileItStopsSurvivesACrash) {
  run([](AgentTest& t) -> env::Task<void> {
    t.cmdline = "blx.test=ignore-shutdown";
    CO_ASSERT(co_await t.up_with_web(kNever));
    co_await t.desire("web", v1::VM_DESIRED_STOPPED);
    EXPECT_TRUE(co_await t.until_state("web", VmState::kStopping));
    co_await t.desire("web", v1::VM_DESIRED_RUNNING);
    t.crash_daemon();
    t.start_daemon();
    EXPECT_TRUE(co_await t.until([&] {
      return t.find("web") != nullptr && t.find("web")->state == VmState::kRunning &&
             t.spawned.size() == 2;
    }));
    EXPECT_EQ(t.machine.processes(), 1u);
  }(*this));
}

TEST_F(AgentTest, ReleaseThatFailsIsRetriedAtEase) {
  run([](AgentTest& t) -> env::Task<void> {
    CO_ASSERT(co_await t.up_with_web(kNever));
    t.driver_faults.release = Error(Code::kFailedPrecondition, "not_ours");
    t.driver_faults.release_calls = 0;
    co_await t.desire("web", v1::VM_DESIRED_DELETED);
    EXPECT_TRUE(co_await t.env().clock.sleep(10min));
    EXPECT_GE(t.driver_faults.release_calls, 5u);
    EXPECT_LE(t.driver_faults.release_calls, 20u);
    CO_ASSERT(t.find("web") != nullptr, << "gone, though it was never released");
    EXPECT_NE(t.find("web")->reason.find("not_ours"), std::string::npos);
    t.driver_faults.release.reset();
    EXPECT_TRUE(co_await t.until([&] { return t.find("web") == nullptr; }));
    EXPECT_TRUE(t.nothing_is_left());
  }(*this));
}

TEST_F(AgentTest, CrashWhilePuttingAwayIsFinishedByTheNext) {
  run([](AgentTest& t) -> env::Task<void> {
    CO_ASSERT(co_await t.up_with_web(kNever));
    t.machine.disk_faults().slowdown = 1000;  // each step takes long enough to die in
    co_await t.desire("web", v1::VM_DESIRED_DELETED);
    for (int round = 0; round < 20 && t.find("web") != nullptr; ++round) {
      EXPECT_TRUE(co_await t.env().clock.sleep(400ms));
      t.crash_daemon();
      t.start_daemon();
      EXPECT_TRUE(co_await t.until_up());
    }
    t.machine.disk_faults().slowdown = 1;
    EXPECT_TRUE(co_await t.until([&] { return t.find("web") == nullptr; }));
    EXPECT_TRUE(co_await t.until([&] { return t.nothing_is_left(); }));
  }(*this));
}

// Leaving.

TEST_F(AgentTest, LeaveStopsAllAndTheNextStartsThemAgain) {
  run([](AgentTest& t) -> env::Task<void> {
    CO_ASSERT(co_await t.up_with_web(kNever));
    co_await t.create("db", kNever);
    EXPECT_TRUE(co_await t.until_state("db", VmState::kRunning));
    co_await t.create("slow", kNever);
    EXPECT_TRUE(co_await t.until_state("slow", VmState::kStarting));
    t.daemon.agent->leave();
    EXPECT_TRUE(co_await t.until([&] { return t.left; }));
    EXPECT_TRUE(t.agent_result);
    EXPECT_TRUE(t.nothing_is_left());
    co_await t.machine.stop_daemon();
    t.start_daemon();
    for (const char* name : {"web", "db", "slow"})
      EXPECT_TRUE(co_await t.until_state(name, VmState::kRunning));
    EXPECT_EQ(t.machine.processes(), 3u);
    EXPECT_EQ(t.find("web")->restarts, 0u);
  }(*this));
}

TEST_F(AgentTest, LeaveEndsThoughNothingCanBeReleased) {
  run([](AgentTest& t) -> env::Task<void> {
    CO_ASSERT(co_await t.up_with_web(kOnFailure));
    t.driver_faults.release = Error(Code::kUnavailable, "io_error");
    t.replica_faults.reports_fail = Error(Code::kResourceExhausted, "disk_full");
    t.daemon.agent->leave();
    EXPECT_TRUE(co_await t.until([&] { return t.left; }, 1min));
    t.driver_faults.release.reset();
    t.replica_faults.reports_fail.reset();
    co_await t.machine.stop_daemon();
    t.start_daemon();
    EXPECT_TRUE(co_await t.until([&] { return t.spawned.size() == 2; }));
    EXPECT_EQ(t.machine.processes(), 1u);
  }(*this));
}

// Evictions.

TEST_F(AgentTest, AnEvictedVmIsGivenBackAndMayComeAgain) {
  run([](AgentTest& t) -> env::Task<void> {
    CO_ASSERT(co_await t.up_with_web(kNever));
    const Generation first = t.find("web")->generation;
    t.replica_faults.proposed.clear();
    co_await t.evict(v1::EVICT_CAUSE_REBALANCE);
    EXPECT_TRUE(t.find("web")->evicting);
    CO_ASSERT(co_await t.until_state("web", VmState::kPending));
    EXPECT_TRUE(co_await t.until([&] { return t.idle(); }));
    EXPECT_EQ(t.states_of_web(),
              (std::vector{v1::VM_STATE_STOPPING, v1::VM_STATE_STOPPED, v1::VM_STATE_PENDING}));
    const cluster::Vm web = *t.find("web");
    EXPECT_FALSE(web.node);
    EXPECT_FALSE(web.evicting);
    EXPECT_EQ(web.desired, VmDesired::kRunning);
    EXPECT_EQ(web.eviction->from, kSelf);
    EXPECT_EQ(web.generation, first);
    EXPECT_TRUE(t.nothing_is_left());
    EXPECT_EQ(t.spawned.size(), 1u);
    // Given to the same node once more, it is a new assignment.
    t.place_again();
    CO_ASSERT(co_await t.until_state("web", VmState::kRunning));
    EXPECT_EQ(t.find("web")->generation, first.next());
    EXPECT_EQ(t.find("web")->restarts, 0u);
    EXPECT_EQ(t.spawned.size(), 2u);
    EXPECT_EQ(t.machine.processes(), 1u);
  }(*this));
}

// The guest asked for 5 s; what it does not hear is followed by the power button, and its end.
TEST_F(AgentTest, APreemptedGuestHasTheSmallerGraceAndAnyOtherItsOwn) {
  run([](AgentTest& t) -> env::Task<void> {
    t.cmdline = "blx.test=ignore-shutdown";
    t.wishes.set_priority(100);
    t.wishes.set_preemptible(true);
    CO_ASSERT(co_await t.up_with_web(kNever));
    t.places = false;
    t.wishes.set_priority(900);
    co_await t.create("high", kNever);
    struct Row {
      std::uint32_t policy_seconds;
      v1::EvictCause cause;
      Duration grace;
    };
    for (const Row& row :
         {Row{1, v1::EVICT_CAUSE_PREEMPTION, 1s}, Row{60, v1::EVICT_CAUSE_PREEMPTION, 5s},
          Row{1, v1::EVICT_CAUSE_REBALANCE, 5s}}) {
      co_await t.set_grace(row.policy_seconds);
      t.replica_faults.proposed.clear();
      const bool is_preemption = row.cause == v1::EVICT_CAUSE_PREEMPTION;
      co_await t.evict(row.cause, is_preemption ? "high" : "");
      CO_ASSERT(co_await t.until_state("web", VmState::kPending));
      EXPECT_EQ(t.find("web")->eviction->by, is_preemption ? "high" : "");
      const Duration taken = t.from_to(v1::VM_STATE_STOPPING, v1::VM_STATE_PENDING);
      constexpr vm::StopLadder kLadder;
      EXPECT_GE(taken, row.grace + kLadder.button);
      EXPECT_LT(taken, row.grace + kLadder.button + kLadder.quit);
      co_await t.place_only("web");
      CO_ASSERT(co_await t.until_state("web", VmState::kRunning));
    }
  }(*this));
}

TEST_F(AgentTest, WhoStopsWhenEvictedStaysStoppedWhereItIs) {
  run([](AgentTest& t) -> env::Task<void> {
    t.wishes.set_on_evict(v1::ON_EVICT_STOP);
    CO_ASSERT(co_await t.up_with_web(kOnFailure));
    co_await t.evict(v1::EVICT_CAUSE_REBALANCE);
    CO_ASSERT(co_await t.until_state("web", VmState::kStopped));
    t.place_again();
    EXPECT_TRUE(co_await t.env().clock.sleep(10min));
    EXPECT_EQ(t.find("web")->state, VmState::kStopped);
    EXPECT_EQ(t.find("web")->desired, VmDesired::kStopped);
    EXPECT_EQ(t.find("web")->node, kSelf);
    EXPECT_FALSE(t.find("web")->evicting);
    EXPECT_TRUE(t.nothing_is_left());
    // Whoever wants it starts it.
    co_await t.desire("web", v1::VM_DESIRED_RUNNING);
    EXPECT_TRUE(co_await t.until_state("web", VmState::kRunning));
    EXPECT_EQ(t.spawned.size(), 2u);
  }(*this));
}

TEST_F(AgentTest, AnEvictionGoesOnAfterACrashInTheMiddle) {
  run([](AgentTest& t) -> env::Task<void> {
    t.cmdline = "blx.test=ignore-shutdown";
    CO_ASSERT(co_await t.up_with_web(kOnFailure));
    co_await t.evict(v1::EVICT_CAUSE_REBALANCE);
    CO_ASSERT(co_await t.until_state("web", VmState::kStopping));
    t.crash_daemon();
    EXPECT_TRUE(t.machine.is_alive(t.spawned.at(0)));
    t.start_daemon();
    CO_ASSERT(co_await t.until_state("web", VmState::kPending));
    EXPECT_EQ(t.driver_faults.adopt_calls, 1u);
    EXPECT_TRUE(t.nothing_is_left());
    EXPECT_EQ(t.spawned.size(), 1u) << "it was not started once more";
    t.place_again();
    EXPECT_TRUE(co_await t.until_state("web", VmState::kRunning));
    EXPECT_EQ(t.machine.processes(), 1u);
  }(*this));
}

TEST_F(AgentTest, EvictedWhileItsDaemonWasAway) {
  run([](AgentTest& t) -> env::Task<void> {
    CO_ASSERT(co_await t.up_with_web(kOnFailure));
    t.crash_daemon();
    t.replica_faults.barrier_closed = true;
    t.start_daemon();
    CO_ASSERT(co_await t.until_up());
    co_await t.evict(v1::EVICT_CAUSE_REBALANCE);
    EXPECT_TRUE(t.machine.is_alive(t.spawned.at(0)));
    t.replica_faults.barrier_closed = false;
    CO_ASSERT(co_await t.until_state("web", VmState::kPending));
    EXPECT_TRUE(t.nothing_is_left());
    EXPECT_EQ(t.spawned.size(), 1u);
  }(*this));
}

TEST_F(AgentTest, AnEvictionEndsABoot) {
  run([](AgentTest& t) -> env::Task<void> {
    t.hypervisor.hang_next_starts = true;
    t.start_daemon();
    CO_ASSERT(co_await t.until_up());
    co_await t.create("web", kOnFailure);
    CO_ASSERT(co_await t.until([&] { return t.machine.processes() == 1; }));
    CO_ASSERT(co_await t.until_state("web", VmState::kStarting));
    co_await t.evict(v1::EVICT_CAUSE_REBALANCE);
    // Long before the monitor's patience is over.
    EXPECT_TRUE(co_await t.until_state("web", VmState::kPending, 2s));
    EXPECT_TRUE(t.nothing_is_left());
  }(*this));
}

TEST_F(AgentTest, WhoIsStoppedIsGivenBackAsItIs) {
  run([](AgentTest& t) -> env::Task<void> {
    CO_ASSERT(co_await t.up_with_web(kNever));
    co_await t.desire("web", v1::VM_DESIRED_STOPPED);
    CO_ASSERT(co_await t.until_state("web", VmState::kStopped));
    co_await t.evict(v1::EVICT_CAUSE_REBALANCE);
    CO_ASSERT(co_await t.until_state("web", VmState::kPending));
    EXPECT_EQ(t.find("web")->desired, VmDesired::kStopped);
    t.place_again();
    EXPECT_TRUE(co_await t.until_state("web", VmState::kStopped));
    EXPECT_EQ(t.spawned.size(), 1u);
  }(*this));
}

TEST_F(AgentTest, ADeleteEndsAnEviction) {
  run([](AgentTest& t) -> env::Task<void> {
    t.cmdline = "blx.test=ignore-shutdown";
    CO_ASSERT(co_await t.up_with_web(kOnFailure));
    co_await t.evict(v1::EVICT_CAUSE_REBALANCE);
    CO_ASSERT(co_await t.until_state("web", VmState::kStopping));
    co_await t.desire("web", v1::VM_DESIRED_DELETED);
    EXPECT_TRUE(co_await t.until([&] { return t.find("web") == nullptr; }));
    EXPECT_TRUE(t.nothing_is_left());
    EXPECT_EQ(t.spawned.size(), 1u);
  }(*this));
}

// What has no owner.

TEST_F(AgentTest, NothingIsTouchedBeforeTheStateIsCurrent) {
  run([](AgentTest& t) -> env::Task<void> {
    CO_ASSERT(co_await t.up_with_web(kNever));
    const std::string path = t.record_path();
    t.crash_daemon();
    // Of a VM that this state does not know, and of another generation of one that it does.
    co_await t.change_record(path, [](vm::Record& record) { record.generation = Generation(9); });
    auto stray = vm::Record::decode(t.machine.content(path).value_or(""));
    CO_ASSERT(stray);
    stray->id = VmId(9);
    stray->group = "vm-9";
    stray->directory = "/var/lib/blixard/vms/9";
    const std::string bytes = stray->encode();
    EXPECT_TRUE(co_await t.machine.env().disk.make_directory("/var/lib/blixard/vms/9"));
    EXPECT_TRUE(
        co_await t.machine.env().disk.replace_file("/var/lib/blixard/vms/9/record.json", bytes));
    EXPECT_TRUE(
        co_await t.machine.env().disk.replace_file("/var/lib/blixard/records/vm-9.json", bytes));
    t.replica_faults.barrier_closed = true;
    t.start_daemon();
    CO_ASSERT(co_await t.until_up());
    EXPECT_TRUE(co_await t.env().clock.sleep(5min));
    EXPECT_TRUE(t.machine.is_alive(t.spawned.at(0)));
    EXPECT_EQ(t.driver_faults.release_calls, 1u) << "only that of the first boot";
    EXPECT_TRUE(t.machine.content("/var/lib/blixard/vms/9/record.json"));
    t.replica_faults.barrier_closed = false;
    EXPECT_TRUE(co_await t.until(
        [&] { return !t.machine.content("/var/lib/blixard/vms/9/record.json").has_value(); }));
    EXPECT_TRUE(co_await t.until(
        [&] { return !t.machine.content("/var/lib/blixard/records/vm-9.json").has_value(); }));
    EXPECT_TRUE(co_await t.until([&] { return t.find("web")->pid > t.web_pid; }));
    EXPECT_EQ(t.machine.processes(), 1u);
  }(*this));
}

// Reports.

TEST_F(AgentTest, ReportsWaitInOrderAndDoNotPileUp) {
  run([](AgentTest& t) -> env::Task<void> {
    t.hypervisor.fail_next_starts = true;
    t.replica_faults.reports_fail = Error(Code::kResourceExhausted, "disk_full");
    t.start_daemon();
    CO_ASSERT(co_await t.until_up());
    co_await t.create("web", kOnFailure);
    CO_ASSERT(co_await t.until([&] { return t.spawned.size() == 30; }, 1h));
    EXPECT_LE(t.daemon.agent->reports_waiting(), 10u);
    EXPECT_LE(t.replica_faults.report_tries, 400u);
    EXPECT_EQ(t.find("web")->state, VmState::kPlaced);
    t.hypervisor.fail_next_starts = false;
    CO_ASSERT(co_await t.until([&] { return t.machine.processes() == 1; }));
    EXPECT_TRUE(co_await t.env().clock.sleep(5s));
    t.replica_faults.reports_fail.reset();
    EXPECT_TRUE(co_await t.until_state("web", VmState::kRunning));
    // Each follows the one before it.
    VmState last = VmState::kPlaced;
    for (const v1::VmState state : t.states_of_web()) {
      EXPECT_TRUE(cluster::may_follow(last, static_cast<VmState>(state)));
      last = static_cast<VmState>(state);
    }
  }(*this));
}

TEST_F(AgentTest, RefusedReportKeepsNobodyWaiting) {
  run([](AgentTest& t) -> env::Task<void> {
    CO_ASSERT(co_await t.up_with_web(kNever));
    Reports reports(t.machine.env(), *t.daemon.replica, kSelf);
    v1::VmReport report;
    report.set_vm_id(t.find("web")->id.value);
    report.set_generation(t.find("web")->generation.value);
    report.set_state(v1::VM_STATE_PLACED);  // never after Running
    reports.add(report);
    env::Scope scope(t.env().executor, nullptr);
    scope.spawn(reports.run());
    EXPECT_TRUE(co_await t.until([&] { return reports.waiting() == 0; }));
    report.set_state(v1::VM_STATE_PAUSED);
    reports.add(report);
    EXPECT_TRUE(co_await t.until_state("web", VmState::kPaused));
    scope.cancel();
    co_await scope.join();
  }(*this));
}

// Console.

TEST_F(AgentTest, ConsoleOfAVm) {
  run([](AgentTest& t) -> env::Task<void> {
    CO_ASSERT(co_await t.up_with_web(kNever));
    const auto text = co_await t.daemon.agent->console(t.find("web")->id, 6);
    CO_ASSERT(text, << text.error().message());
    EXPECT_EQ(*text, "ready\n");
    const auto nobody = co_await t.daemon.agent->console(VmId(99), 100);
    CO_ASSERT(!nobody);
    EXPECT_EQ(nobody.error().reason(), "console_empty");
    // On another node.
    v1::Command node;
    node.mutable_register_node()->set_node_id(2);
    node.mutable_register_node()->set_name("b");
    node.mutable_register_node()->mutable_capacity()->set_vcpus(16);
    node.mutable_register_node()->mutable_capacity()->set_memory_mib(4096);
    node.mutable_register_node()->set_accelerator("tcg");
    node.mutable_register_node()->set_version("1");
    node.mutable_register_node()->set_model_version(cluster::kModelVersion);
    EXPECT_TRUE(co_await t.daemon.replica->propose(std::move(node)));
    v1::Command create;
    create.mutable_create_vm()->set_name("far");
    create.mutable_create_vm()->set_uuid(std::string(16, 'u'));
    create.mutable_create_vm()->set_desired(v1::VM_DESIRED_RUNNING);
    create.mutable_create_vm()->mutable_spec()->set_image("tiny");
    create.mutable_create_vm()->mutable_spec()->set_vcpus(1);
    create.mutable_create_vm()->mutable_spec()->set_memory_mib(128);
    create.mutable_create_vm()->mutable_spec()->set_restart(kNever);
    const auto created = co_await t.daemon.replica->propose(std::move(create));
    CO_ASSERT(created, << created.error().message());
    v1::Command place;
    place.mutable_place_vm()->set_vm_id(created->object_id);
    place.mutable_place_vm()->set_node_id(2);
    EXPECT_TRUE(co_await t.daemon.replica->propose(std::move(place)));
    const auto elsewhere = co_await t.daemon.agent->console(VmId(created->object_id), 100);
    CO_ASSERT(!elsewhere);
    EXPECT_EQ(elsewhere.error().reason(), "vm_not_here");
  }(*this));
}

// Rare events.

TEST_F(AgentTest, NewsAndStartsMayBeLate) {
  run([](AgentTest& t) -> env::Task<void> {
    for (const auto site : {env::RareSite::kAgentLate, env::RareSite::kGuestStartLate}) {
      const sim::OnlyRare rare(t.world, site);
      if (!t.find("web")) {
        CO_ASSERT(co_await t.up_with_web());
      } else {
        co_await t.desire("web", v1::VM_DESIRED_RUNNING);
        EXPECT_TRUE(co_await t.until_state("web", VmState::kRunning));
      }
      co_await t.desire("web", v1::VM_DESIRED_STOPPED);
      EXPECT_TRUE(co_await t.until_state("web", VmState::kStopped));
      EXPECT_EQ(t.machine.processes(), 0u);
      EXPECT_GE(rare.taken(), 1u);
    }
  }(*this));
}

TEST_F(AgentTest, ADaemonMayEndBetweenPreparingAndStarting) {
  run([](AgentTest& t) -> env::Task<void> {
    {
      const sim::OnlyRare rare(t.world, env::RareSite::kGuestStartLate);
      t.start_daemon();
      CO_ASSERT(co_await t.until_up());
      co_await t.create("web", kNever);
      EXPECT_TRUE(co_await t.until([&] { return rare.taken() == 1; }));
      t.crash_daemon();
    }
    EXPECT_EQ(t.spawned.size(), 0u);
    t.start_daemon();
    EXPECT_TRUE(co_await t.until_state("web", VmState::kRunning));
    EXPECT_EQ(t.machine.processes(), 1u);
  }(*this));
}

TEST_F(AgentTest, ReportsMayGoInPartsAndTwice) {
  run([](AgentTest& t) -> env::Task<void> {
    t.start_daemon();
    CO_ASSERT(co_await t.until_up());
    {
      // They wait, so that there are several to split.
      t.replica_faults.reports_fail = Error(Code::kUnavailable, "no_leader");
      co_await t.create("web", kNever);
      EXPECT_TRUE(co_await t.until([&] { return t.daemon.agent->reports_waiting() == 2; }));
      t.replica_faults.reports_fail.reset();
      EXPECT_TRUE(co_await t.until([&] { return t.idle(); }));
      const sim::OnlyRare rare(t.world, env::RareSite::kReportsSplit);
      co_await t.desire("web", v1::VM_DESIRED_STOPPED);
      EXPECT_TRUE(co_await t.until_state("web", VmState::kStopped));
      EXPECT_GE(rare.taken(), 1u);
    }
    {
      const sim::OnlyRare rare(t.world, env::RareSite::kReportAnswerLost);
      co_await t.desire("web", v1::VM_DESIRED_RUNNING);
      EXPECT_TRUE(co_await t.until([&] { return rare.taken() >= 3; }));
      EXPECT_FALSE(t.idle());
    }
    EXPECT_TRUE(co_await t.until_state("web", VmState::kRunning));
    EXPECT_TRUE(co_await t.until([&] { return t.idle(); }));
    EXPECT_EQ(t.machine.processes(), 1u);
  }(*this));
}

// The log stands at the end of a round whose answer was lost; the next one does not begin there.
TEST_F(AgentTest, ReportsWithoutAnAnswerAreNotLeftOut) {
  run([](AgentTest& t) -> env::Task<void> {
    t.cmdline = "blx.test=ignore-shutdown";
    t.start_daemon();
    CO_ASSERT(co_await t.until_up());
    t.replica_faults.reports_fail = Error(Code::kUnavailable, "no_leader");
    co_await t.create("web", kNever);
    EXPECT_TRUE(co_await t.until([&] { return t.daemon.agent->reports_waiting() == 2; }));
    co_await t.desire("web", v1::VM_DESIRED_STOPPED);
    EXPECT_TRUE(co_await t.until([&] { return t.daemon.agent->reports_waiting() == 3; }));
    // Starting is answered; Running and Stopping go together, and nobody hears what came of them.
    t.replica_faults.answers_lost_from = t.replica_faults.proposed.size() + 1;
    t.replica_faults.reports_fail.reset();
    EXPECT_TRUE(co_await t.until_state("web", VmState::kStopping));
    co_await t.desire("web", v1::VM_DESIRED_RUNNING);
    EXPECT_TRUE(co_await t.until([&] { return t.daemon.agent->reports_waiting() == 5; }));
    t.replica_faults.answers_lost_from = std::numeric_limits<std::uint64_t>::max();
    EXPECT_TRUE(co_await t.until_state("web", VmState::kRunning));
    EXPECT_TRUE(co_await t.until([&] { return t.idle(); }));
  }(*this));
}

}  // namespace
}  // namespace blixard::agent

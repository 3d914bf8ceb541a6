// Judges of what is around the core: the log on a disk whose sync fails, and the state machine.

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "core/cluster/scenario.h"
#include "node/log/log.h"
#include "node/replica/state_machine.h"
#include "sim/random.h"
#include "sim/world.h"
#include "test/conformance/zoo/zoo.h"

namespace blixard::zoo {
namespace {

constexpr const char* kDirectory = "/var/lib/blixard/log";
constexpr log::Options kOptions{
    .segment_bytes = 16384, .entry_bytes_max = 4096, .cache_bytes = 2000};

raft::Entry entry_of(std::uint64_t index, std::string payload) {
  return {.term = Term(1), .index = LogIndex(index), .payload = Payload(std::move(payload))};
}

// What was answered as durable, by index.
using Answered = std::map<std::uint64_t, std::string>;

// Appends until the log refuses; one sync on the way fails.
env::Task<void> append_with_failure(sim::Machine& machine, sim::SeededRandom& random,
                                    Answered& answered) {
  auto log = co_await log::Log::open(machine.env(), kDirectory, kOptions);
  if (!log) co_return;
  const std::uint64_t failing = 1 + random.below(8);
  for (std::uint64_t index = 1; index <= failing + 3; ++index) {
    if (index == failing) machine.disk_faults().fail_next_sync_below = kDirectory;
    std::string payload(1 + random.below(3000), static_cast<char>('a' + random.below(26)));
    std::vector<raft::Entry> entries;
    entries.push_back(entry_of(index, payload));
    const auto appended = co_await (*log)->append(std::move(entries), std::nullopt);
    if (!appended) break;
    answered[index] = std::move(payload);
  }
  co_await (*log)->close();
}

env::Task<void> compare(sim::Machine& machine, const Answered& answered,
                        std::optional<Finding>& finding) {
  auto log = co_await log::Log::open(machine.env(), kDirectory, kOptions);
  if (!log) {
    finding = Finding{"acknowledged", "the log does not open: " + log.error().message()};
    co_return;
  }
  for (const auto& [index, payload] : answered) {
    auto read = Result<std::vector<raft::Entry>>();
    if (LogIndex(index) <= (*log)->last())
      read = co_await (*log)->read(LogIndex(index), LogIndex(index), std::size_t{1} << 20);
    if (read && read->size() == 1 && read->front().payload.view() == payload) continue;
    finding = Finding{"acknowledged", fmt::format("entry {} of {} was answered and is lost", index,
                                                  answered.size())};
    break;
  }
  co_await (*log)->close();
}

// A replica's state machine on a machine of its own.
struct Replica {
  Replica(sim::World& world, const std::string& name, Duration wall_offset)
      : machine(world.add_machine(name)), state(machine.env().clock) {
    machine.set_wall_offset(wall_offset);
  }
  Result<cluster::Outcome> apply(const v1::Command& command) {
    const raft::Entry entry = entry_of(state.applied().value + 1, command.SerializeAsString());
    return state.apply(entry, &command);
  }
  sim::Machine& machine;
  replica::StateMachine state;
};

// What clients ask for, stamped by the leader.
class Workload {
 public:
  explicit Workload(std::uint64_t seed) : random_(seed) {}

  std::vector<v1::Command> setup() {
    v1::Command image = cluster::Scenario::command(
        R"(add_image { name: "alpine" files { name: "vmlinux" bytes: 4096 } })");
    image.mutable_add_image()->mutable_files(0)->set_digest(std::string(32, 'd'));
    v1::Command node = cluster::Scenario::command(
        R"(register_node { node_id: 1 name: "n1" capacity { vcpus: 64 memory_mib: 65536 } })");
    return {stamped(std::move(image)), stamped(std::move(node))};
  }
  v1::Command next() {
    const std::string name = fmt::format("vm{}", random_.below(6));
    if (random_.one_in(3)) {
      v1::Command command = cluster::Scenario::command("set_desired {}");
      command.mutable_set_desired()->set_name(name);
      command.mutable_set_desired()->set_desired(random_.one_in(2) ? v1::VM_DESIRED_DELETED
                                                                   : v1::VM_DESIRED_STOPPED);
      return stamped(std::move(command));
    }
    if (random_.one_in(4))
      return stamped(cluster::Scenario::token_command(100 + random_.below(50), 60'000));
    return stamped(cluster::Scenario::create_command(name, 1, 128));
  }
  sim::SeededRandom& random() { return random_; }

 private:
  v1::Command stamped(v1::Command command) {
    time_ms_ += 1 + static_cast<std::int64_t>(random_.below(2000));
    command.set_time_unix_ms(time_ms_);
    std::string id(16, '\0');
    for (char& byte : id)
      byte = static_cast<char>(1 + random_.below(255));
    command.set_request_id(id);
    return command;
  }

  sim::SeededRandom random_;
  std::int64_t time_ms_ = 1'700'000'000'000;
};

bool is_same(const Result<cluster::Outcome>& a, const Result<cluster::Outcome>& b) {
  if (a.has_value() != b.has_value()) return false;
  if (!a) return a.error().reason() == b.error().reason();
  return a->index == b->index && a->object_id == b->object_id;
}

}  // namespace

std::optional<Finding> judge_failed_sync(std::uint64_t seed) {
  sim::World world(seed);
  world.set_log_level(observe::Level::kError);
  sim::Machine& machine = world.add_machine("a");
  sim::SeededRandom random(seed + 1000);
  Answered answered;
  if (!world.run(append_with_failure(machine, random, answered)))
    return Finding{"judge", "the work does not end"};
  machine.lose_power();
  machine.restart();
  std::optional<Finding> finding;
  if (!world.run(compare(machine, answered, finding)))
    return Finding{"judge", "the comparison does not end"};
  return finding;
}

// Clients that got no answer ask again, some after others changed what they had asked for.
std::optional<Finding> judge_retries(std::uint64_t seed) {
  struct Asked {
    v1::Command command;
    Result<cluster::Outcome> outcome;
  };
  sim::World world(seed);
  Replica replica(world, "a", Duration(0));
  Workload workload(seed);
  std::vector<Asked> asked;
  for (const v1::Command& command : workload.setup())
    asked.push_back({command, replica.apply(command)});
  for (int step = 0; step < 60; ++step) {
    const bool is_retry = workload.random().one_in(3);
    if (!is_retry) {
      const v1::Command command = workload.next();
      asked.push_back({command, replica.apply(command)});
      continue;
    }
    Asked& earlier = asked[workload.random().below(asked.size())];
    const std::string before = replica.state.state().hash();
    // The leader stamps it with the time of the retry.
    earlier.command.set_time_unix_ms(earlier.command.time_unix_ms() + 1);
    const auto again = replica.apply(earlier.command);
    if (is_same(again, earlier.outcome) && replica.state.state().hash() == before) continue;
    return Finding{"acts-once", fmt::format("the request of entry {} acted again in entry {}",
                                            earlier.outcome ? earlier.outcome->index.value : 0,
                                            replica.state.applied().value)};
  }
  return std::nullopt;
}

// The same log on machines whose clocks differ.
std::optional<Finding> judge_clocks(std::uint64_t seed) {
  sim::World world(seed);
  Workload workload(seed);
  std::vector<std::unique_ptr<Replica>> replicas;
  for (std::uint64_t at = 0; at < 3; ++at) {
    replicas.push_back(std::make_unique<Replica>(
        world, fmt::format("m{}", at), std::chrono::milliseconds(workload.random().below(60'000))));
  }
  std::vector<v1::Command> commands = workload.setup();
  for (int step = 0; step < 40; ++step)
    commands.push_back(workload.next());
  for (const v1::Command& command : commands) {
    for (const auto& replica : replicas)
      ignore(replica->apply(command), "a refusal is a part of the history");
    const std::string hash = replicas.front()->state.state().hash();
    for (const auto& replica : replicas) {
      if (replica->state.state().hash() == hash) continue;
      return Finding{"equal-state",
                     fmt::format("{} has another state after entry {}", replica->machine.name(),
                                 replica->state.applied().value)};
    }
  }
  return std::nullopt;
}

}  // namespace blixard::zoo

// What grouping proposals gains: so many under way at once at a member that is alone, on the disk
// of the working directory, with what came together in one write and one sync, and with a write and
// a sync for each.

#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "base/assert.h"
#include "blixard/v1/cluster.pb.h"
#include "core/cluster/scenario.h"
#include "core/cluster/state.h"
#include "env/scope.h"
#include "linux/runtime.h"
#include "node/peer/peers.h"
#include "node/replica/replica.h"
#include "test/perf/report/latencies.h"
#include "test/perf/report/on_linux.h"
#include "test/perf/report/report.h"

namespace blixard::perf {
namespace {

using env::Env;
using env::Task;
using Timer = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kMeasured{700};

struct Sample {
  double rate = 0;
  double p99_us = 0;
};

v1::Command command_of(std::uint64_t sequence) {
  v1::Command command;
  const Uuid id = Uuid::from_random(sequence, 1);
  command.set_request_id(std::string(reinterpret_cast<const char*>(id.bytes.data()), 16));
  // Refused, which is replicated like everything else.
  command.mutable_remove_image()->set_name(fmt::format("none-{}", sequence));
  return command;
}

class Load {
 public:
  Load(Env env, replica::Replica& replica) : env_(env), replica_(replica) {}

  Task<Sample> run(int outstanding) {
    sequence_ = env_.random.next();
    const auto begin = Timer::now();
    end_ = begin + kMeasured;
    env::Scope scope(env_.executor, co_await env::this_cancellation());
    for (int i = 0; i < outstanding; ++i)
      scope.spawn(propose());
    co_await scope.join();
    const double seconds = std::chrono::duration<double>(Timer::now() - begin).count();
    co_return Sample{.rate = static_cast<double>(latencies_.count()) / seconds,
                     .p99_us = latencies_.us_at(0.99)};
  }

 private:
  Task<void> propose() {
    while (Timer::now() < end_) {
      const auto begin = Timer::now();
      const auto done = co_await replica_.propose(command_of(++sequence_));
      BLX_ASSERT(!done && done.error().code() == Code::kNotFound);
      latencies_.add(Timer::now() - begin);
    }
  }

  Env env_;
  replica::Replica& replica_;
  std::uint64_t sequence_ = 0;
  Timer::time_point end_;
  Latencies latencies_;
};

Task<void> measure(Env env, std::string directory, int outstanding, std::size_t batch_bytes,
                   Sample& sample) {
  const auto authority =
      env.security.make_authority("bench", env.clock.wall(), std::chrono::hours(1));
  const auto key = env.security.make_request();
  const auto certificate =
      env.security.issue(*authority, key->request, {.cluster = "bench", .node = NodeId(1)},
                         env.clock.wall(), std::chrono::hours(1));
  const auto transport = *env.security.open(
      {.certificate = *certificate, .key = key->key, .authority = authority->certificate});
  auto peers = peer::Peers::make(env, {.self = NodeId(1), .cluster = "bench"}, *transport);
  const std::vector<std::string> addresses{"127.0.0.1:1"};
  BLX_ASSERT((co_await replica::bootstrap(env, directory,
                                          cluster::Scenario::first_state(addresses, 1), {}))
                 .has_value());
  auto replica = co_await replica::open_replica(
      env, directory, NodeId(1), {.log = {.batch_bytes = batch_bytes}}, *peers, nullptr);
  BLX_ASSERT(replica.has_value());
  Load load(env, **replica);
  sample = co_await load.run(outstanding);
  co_await (*replica)->stop();
  co_await peers->stop();
}

Sample sample_of(int outstanding, std::size_t batch_bytes) {
  static int number = 0;
  const auto directory =
      std::filesystem::current_path() / "build" / fmt::format("bench-{}-{}", ::getpid(), ++number);
  linux_side::Runtime runtime({});
  Sample sample;
  std::filesystem::create_directories(directory.parent_path());
  runtime.run(measure(runtime.env(), directory.string(), outstanding, batch_bytes, sample));
  std::filesystem::remove_all(directory);
  return sample;
}

int run(int argc, char** argv) {
  constexpr std::size_t kGrouped = limits::kLogBatchBytes;
  constexpr std::size_t kEach = 1;
  constexpr const char* kRival = "a write and a sync for each";
  Report report("group_commit");
  for (const int outstanding : {1, 4, 16, 64, 256}) {
    const std::string name =
        fmt::format("{} proposal{} at once", outstanding, outstanding == 1 ? "" : "s");
    const auto rate = [=](std::size_t bytes) {
      return [=] { return sample_of(outstanding, bytes).rate; };
    };
    const auto p99 = [=](std::size_t bytes) {
      return [=] { return sample_of(outstanding, bytes).p99_us; };
    };
    const bool is_many = outstanding >= 16;
    report.add({.name = name,
                .unit = "/s",
                .better = Better::kHigher,
                .items = {"S19", "X5"},
                .measure = rate(kGrouped),
                .baselines = {{kRival, rate(kEach)}},
                .targets = is_many ? std::vector{better_than(kRival, 4)} : std::vector<Target>(),
                .varies = true});
    report.add({.name = name + ", p99",
                .unit = "us",
                .items = {"S19", "X5"},
                .measure = p99(kGrouped),
                .baselines = {{kRival, p99(kEach)}},
                .targets = is_many ? std::vector{better_than(kRival, 1.25)} : std::vector<Target>(),
                .varies = true});
  }
  return report.main(argc, argv);
}

}  // namespace
}  // namespace blixard::perf

int main(int argc, char** argv) {
  return blixard::perf::run_on_linux(argc, argv, blixard::perf::run);
}

// Members of a cluster under load: consensus, log, connections over TLS and the state machine as
// the product runs them, without guests. compare.py starts them and etcd beside them.
//
//   raft_proposals_bench [--rounds N] [--seconds S] [--json FILE]    runs compare.py
//   raft_proposals_bench prepare HOME ADDRESS,...    certificates and first state of each member
//   raft_proposals_bench member HOME ID              serves lines on HOME/ID/control until SIGTERM:
//       status | write OUTSTANDING SECONDS | read OUTSTANDING SECONDS
//
// A write is a command of 128 bytes with a request id, proposed in the leader's process, answered
// when it is durable on a quorum and applied. A read is a barrier and a look at the state.

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "blixard/v1/cluster.pb.h"
#include "core/cluster/scenario.h"
#include "core/cluster/state.h"
#include "env/scope.h"
#include "linux/runtime.h"
#include "node/peer/peers.h"
#include "node/replica/replica.h"
#include "test/perf/report/latencies.h"
#include "test/perf/report/on_linux.h"

namespace blixard::replica {
namespace {

using Timer = std::chrono::steady_clock;

constexpr const char* kCluster = "bench";
constexpr std::size_t kCommandBytes = 128;
constexpr std::size_t kLineBytes = 256;

[[noreturn]] void die(const std::string& what) {
  std::fprintf(stderr, "raft_bench: %s\n", what.c_str());
  std::exit(1);
}

template <class T>
T must(Result<T> result, const char* what) {
  if (!result) die(std::string(what) + ": " + result.error().message());
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) die("cannot read " + path.string());
  return {std::istreambuf_iterator<char>(file), {}};
}

void write_file(const std::filesystem::path& path, const std::string& content) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << content;
  if (!file.flush()) die("cannot write " + path.string());
}

std::filesystem::path home_of(const std::string& home, std::uint64_t id) {
  return std::filesystem::absolute(home) / std::to_string(id);
}

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::stringstream stream(text);
  for (std::string part; std::getline(stream, part, separator);)
    parts.push_back(part);
  return parts;
}

// Preparation.

env::Task<void> prepare(env::Env env, std::string home, std::vector<std::string> addresses) {
  const auto wall = env.clock.wall();
  const auto authority =
      must(env.security.make_authority(kCluster, wall, std::chrono::hours(24)), "authority");
  // Every member is a voter from the beginning, so that nothing has to be joined.
  const cluster::State state = cluster::Scenario::first_state(addresses, addresses.size());
  for (std::uint64_t id = 1; id <= addresses.size(); ++id) {
    const auto directory = home_of(home, id);
    std::filesystem::create_directories(directory);
    const auto request = must(env.security.make_request(), "key");
    write_file(directory / "key", request.key);
    write_file(directory / "authority", authority.certificate);
    write_file(directory / "certificate",
               must(env.security.issue(authority, request.request,
                                       {.cluster = kCluster, .node = NodeId(id)}, wall,
                                       std::chrono::hours(24)),
                    "certificate"));
    write_file(directory / "address", addresses[id - 1]);
    must(co_await bootstrap(env, (directory / "log").string(), state, {}), "bootstrap");
  }
}

// Load.

struct Sample {
  perf::Latencies latencies;  // in a fixed room: the leader's memory is measured, too
  std::uint64_t errors = 0;
};

// So long that the whole command has kCommandBytes.
v1::Command command_for(VmId vm, std::uint64_t sequence) {
  v1::Command command;
  const Uuid id = Uuid::from_random(sequence, vm.value);
  command.set_request_id(std::string(reinterpret_cast<const char*>(id.bytes.data()), 16));
  command.set_version(cluster::kModelVersion);
  command.set_time_unix_ms(1'700'000'000'000);
  auto* explain = command.mutable_explain_pending();
  explain->set_vm_id(vm.value);
  explain->set_reason(fmt::format("{:020}", sequence));
  const std::size_t bytes = command.ByteSizeLong();
  if (bytes < kCommandBytes) explain->mutable_reason()->append(kCommandBytes - bytes, '.');
  return command;
}

class Load {
 public:
  Load(env::Env env, Replica& replica) : env_(env), replica_(replica) {}

  // A VM that nothing places, for commands to act on.
  env::Task<Result<void>> set_up() {
    if (replica_.state().find_vm("bench") != nullptr) {
      vm_ = replica_.state().find_vm("bench")->id;
      co_return Result<void>();
    }
    v1::Command image;
    image.mutable_add_image()->set_name("bench");
    image.mutable_add_image()->set_architecture("x86_64");
    auto* file = image.mutable_add_image()->add_files();
    file->set_name("kernel");
    file->set_bytes(1);
    file->set_digest(std::string(32, 'd'));
    if (const auto added = co_await replica_.propose(std::move(image));
        !added && added.error().code() != Code::kAlreadyExists) {
      co_return std::unexpected(added.error());
    }
    v1::Command vm;
    auto* create = vm.mutable_create_vm();
    create->set_name("bench");
    create->set_uuid(std::string(16, 'u'));
    create->set_desired(v1::VM_DESIRED_RUNNING);
    create->mutable_spec()->set_image("bench");
    create->mutable_spec()->set_vcpus(1);
    create->mutable_spec()->set_memory_mib(128);
    create->mutable_spec()->set_restart(v1::RESTART_POLICY_NEVER);
    BLX_CO_TRY(const auto created, co_await replica_.propose(std::move(vm)));
    vm_ = VmId(created.object_id);
    co_return Result<void>();
  }

  env::Task<std::string> run(bool writes, std::size_t outstanding, double seconds) {
    sample_ = {};
    sequence_ = env_.random.next();
    const auto begin = Timer::now();
    end_ =
        begin + std::chrono::duration_cast<Timer::duration>(std::chrono::duration<double>(seconds));
    env::Scope scope(env_.executor, co_await env::this_cancellation());
    for (std::size_t i = 0; i < outstanding; ++i)
      scope.spawn(writes ? write() : read());
    co_await scope.join();
    const double took = std::chrono::duration<double>(Timer::now() - begin).count();
    co_return report(took);
  }

 private:
  env::Task<void> write() {
    while (Timer::now() < end_) {
      const auto start = Timer::now();
      const auto done = co_await replica_.propose(command_for(vm_, ++sequence_));
      count(start, done.has_value());
    }
  }
  env::Task<void> read() {
    while (Timer::now() < end_) {
      const auto start = Timer::now();
      const auto done = co_await replica_.read_barrier();
      count(start, done.has_value() && replica_.state().find_vm(vm_) != nullptr);
    }
  }
  void count(Timer::time_point start, bool done) {
    if (!done) {
      ++sample_.errors;
      return;
    }
    sample_.latencies.add(Timer::now() - start);
  }
  std::string report(double seconds) {
    const perf::Latencies& latencies = sample_.latencies;
    return fmt::format(
        R"({{"operations":{},"errors":{},"rate":{:.1f},"p50_us":{:.1f},"p95_us":{:.1f},"p99_us":{:.1f}}})",
        latencies.count(), sample_.errors, static_cast<double>(latencies.count()) / seconds,
        latencies.us_at(0.5), latencies.us_at(0.95), latencies.us_at(0.99));
  }

  env::Env env_;
  Replica& replica_;
  VmId vm_;
  Sample sample_;
  std::uint64_t sequence_ = 0;
  Timer::time_point end_;
};

// Control.

env::Task<std::string> answer(Load& load, Replica& replica, const std::string& line) {
  const auto words = split(line, ' ');
  if (words.size() == 1 && words[0] == "status") {
    const auto status = replica.status();
    co_return fmt::format(R"({{"leads":{},"term":{},"commit":{}}})", replica.is_leader(),
                          status.term.value, status.commit.value);
  }
  if (words.size() == 3 && (words[0] == "write" || words[0] == "read")) {
    if (const auto ready = co_await load.set_up(); !ready) {
      co_return fmt::format(R"({{"error":"{}"}})", ready.error().message());
    }
    co_return co_await load.run(words[0] == "write",
                                static_cast<std::size_t>(std::atoi(words[1].c_str())),
                                std::atof(words[2].c_str()));
  }
  co_return R"({"error":"unknown line"})";
}

env::Task<Result<void>> serve_lines(Load& load, Replica& replica, env::Stream& stream) {
  std::string pending;
  char buffer[kLineBytes];
  while (pending.size() < kLineBytes) {
    BLX_CO_TRY(const auto count, co_await stream.read_some(buffer));
    if (count == 0) break;
    pending.append(buffer, count);
    for (auto end = pending.find('\n'); end != std::string::npos; end = pending.find('\n')) {
      const std::string line = pending.substr(0, end);
      pending.erase(0, end + 1);
      BLX_CO_TRY(co_await stream.write_all(co_await answer(load, replica, line) + "\n"));
    }
  }
  co_return Result<void>();
}

env::Task<void> serve_control(env::Env env, Replica& replica, std::string path) {
  const auto listener =
      must(co_await env.network.listen(env::Endpoint::unix_socket(std::move(path))), "control");
  Load load(env, replica);
  while (auto stream = co_await listener->accept())
    ignore(co_await serve_lines(load, replica, **stream), "compare.py sees that the line ended");
}

env::Task<void> serve_peers(peer::Peers& peers, std::unique_ptr<env::Listener> listener) {
  ignore(co_await peers.serve(std::move(listener)), "it ends with the peers");
}

env::Task<void> member(linux_side::Runtime& runtime, std::string home, std::uint64_t id) {
  const env::Env env = runtime.env();
  const auto directory = home_of(home, id);
  const auto transport =
      must(env.security.open({.certificate = read_file(directory / "certificate"),
                              .key = read_file(directory / "key"),
                              .authority = read_file(directory / "authority")}),
           "credentials");
  auto listener = must(co_await transport->listen(
                           must(env::Endpoint::parse(read_file(directory / "address")), "address")),
                       "listen");
  auto peers = peer::Peers::make(env, {.self = NodeId(id), .cluster = kCluster}, *transport);
  auto replica = must(
      co_await open_replica(env, (directory / "log").string(), NodeId(id), {}, *peers, nullptr),
      "open");
  env::Scope scope(env.executor, co_await env::this_cancellation());
  scope.spawn(serve_peers(*peers, std::move(listener)));
  scope.spawn(serve_control(env, *replica, (directory / "control").string()));
  ignore(co_await runtime.wait_for_stop_signal(), "either way it is time to stop");
  scope.cancel();
  co_await replica->stop();
  co_await peers->stop();
  co_await scope.join();
  replica.reset();
}

int run(int argc, char** argv) {
  const std::string command = argc > 1 ? argv[1] : "";
  if (command == "prepare" && argc == 4) {
    linux_side::Runtime runtime({});
    runtime.run(prepare(runtime.env(), argv[2], split(argv[3], ',')));
    return 0;
  }
  if (command == "member" && argc == 4) {
    perf::Warnings log;
    linux_side::Runtime runtime({.log = &log});
    runtime.run(member(runtime, argv[2], std::strtoull(argv[3], nullptr, 10)));
    return 0;
  }
  perf::become_script("raft/compare.py", argc, argv);
}

}  // namespace
}  // namespace blixard::replica

int main(int argc, char** argv) {
  return blixard::perf::run_on_linux(argc, argv, blixard::replica::run);
}

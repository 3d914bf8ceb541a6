// The driver's conformance suite against real QEMU processes and real guests.
//
//   vm_driver_test                      every case
//   vm_driver_test --boots=30           and that many cold boots in a row, none of which may hang
//   vm_driver_test --boots=30 --busy=2  the same beside two busy loops

#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zstd.h>

#include <algorithm>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "env/scope.h"
#include "env/sync.h"
#include "linux/runtime.h"
#include "node/vm/driver_suite.h"
#include "node/vm/qemu/agent_client.h"
#include "node/vm/qemu/arguments.h"
#include "node/vm/qemu/qemu_driver.h"

namespace blixard {
namespace {

using vm::HypervisorFault;
namespace files = std::filesystem;

int boots_wanted = 0;
int busy_wanted = 0;

class WarningsToStderr final : public observe::LogSink {
 public:
  [[nodiscard]] bool wants(observe::Level level) const override {
    return level >= observe::Level::kWarn;
  }
  void write(observe::Level, std::string_view line) override { std::cerr << line << '\n'; }
};

std::string read_all(const files::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void write_all(const files::path& path, std::string_view bytes, files::perms mode) {
  std::ofstream(path, std::ios::binary) << bytes;
  files::permissions(path, mode);
}

// A data directory with the image unpacked and broken hypervisors, for the whole program.
class Surroundings {
 public:
  Surroundings() {
    std::string name = "/tmp/blx-vm-XXXXXX";
    if (mkdtemp(name.data()) == nullptr) std::abort();
    directory_ = name;
    files::permissions(directory_, files::perms(0711));
    unpack(files::path(BLX_SOURCE_DIR) / "build" / "guest");
    write_script("exits", "echo out of luck >&2; exit 1");
    write_script("hangs", "echo feeling sleepy >&2; exec sleep 600");
    // QEMU gives up at once where KVM cannot be the host's CPU; with a plain one the guest begins.
    write_script("plain",
                 "for word; do [ \"$word\" = host ] && word=qemu64\n"
                 "set -- \"$@\" \"$word\"; shift; done; exec qemu-system-x86_64 \"$@\"");
  }
  Surroundings(const Surroundings&) = delete;
  Surroundings& operator=(const Surroundings&) = delete;
  ~Surroundings() {
    std::error_code ignored;
    files::remove_all(directory_, ignored);
    for (const auto& tree : files::directory_iterator("/sys/fs/cgroup", ignored)) {
      files::remove(tree.path() / group_root(), ignored);
    }
    files::remove(files::path("/sys/fs/cgroup") / group_root(), ignored);
  }

  static std::string group_root() { return "blx-vm-" + std::to_string(getpid()); }
  [[nodiscard]] bool has_image() const { return has_image_; }
  [[nodiscard]] std::string path(std::string_view name) const { return directory_ / name; }

 private:
  void unpack(const files::path& image) {
    const std::string packed = read_all(image / "vmlinux.zst");
    const std::string initrd = read_all(image / "initrd");
    if (packed.empty() || initrd.empty()) return;
    const auto size = ZSTD_getFrameContentSize(packed.data(), packed.size());
    if (ZSTD_isError(ZSTD_findFrameCompressedSize(packed.data(), packed.size()))) return;
    std::string kernel(size > (1u << 30) ? 1u << 27 : size, '\0');
    const std::size_t count =
        ZSTD_decompress(kernel.data(), kernel.size(), packed.data(), packed.size());
    if (ZSTD_isError(count)) return;
    kernel.resize(count);
    files::create_directory(directory_ / "image");
    write_all(directory_ / "image" / "vmlinux", kernel, files::perms(0400));
    write_all(directory_ / "image" / "initrd", initrd, files::perms(0400));
    has_image_ = true;
  }

  void write_script(const char* name, const std::string& last_line) {
    write_all(
        directory_ / name,
        "#!/bin/sh\ncase \"$1\" in --version|-accel) exec qemu-system-x86_64 \"$@\";; esac\n" +
            last_line + "\n",
        files::perms(0755));
  }

  files::path directory_;
  bool has_image_ = false;
};

std::unique_ptr<Surroundings> surroundings;

std::unexpected<Error> not_possible_here(std::string why) {
  return fail(Code::kUnimplemented, "not_possible_here", std::move(why));
}

// What the guest's web server answers to GET `path`.
env::Task<Result<std::string>> get_page(env::Env env, std::uint16_t port, std::string path) {
  const Instant deadline = env.clock.monotonic() + 60s;
  BLX_CO_TRY(const auto stream,
             co_await env.network.dial(env::Endpoint::tcp("127.0.0.1", port), deadline));
  const std::string request = "GET " + path + " HTTP/1.0\r\n\r\n";
  BLX_CO_TRY(co_await stream->write_all(request));
  std::string answer;
  std::array<char, 1024> buffer{};
  for (std::size_t count = 1; count != 0;) {
    BLX_CO_TRY(count, co_await env::with_deadline(env.executor, env.clock, deadline,
                                                  stream->read_some(buffer)));
    answer.append(buffer.data(), count);
  }
  co_return answer;
}

class QemuHost final : public vm::SuiteHost {
 public:
  explicit QemuHost(env::Env env) : env_(env) { make_driver(HypervisorFault::kNone); }

  env::Env env() override { return env_; }
  vm::Driver& driver() override { return *driver_; }

  env::Task<Result<void>> restart_driver(HypervisorFault fault) override {
    using enum HypervisorFault;
    const bool is_inside_qemu =
        fault == kLoadFails || fault == kStaleClones || fault == kIdentityRefused;
    if (is_inside_qemu) co_return not_possible_here("QEMU and its guests are the real ones");
    co_await driver_->close();
    make_driver(fault);
    co_return Result<void>();
  }

  vm::GuestSpec guest(std::string cmdline) override {
    static std::uint64_t next_id = 1;
    vm::GuestSpec spec;
    spec.id = VmId(next_id++);
    spec.generation = Generation(1);
    spec.uuid = env_.random.uuid();
    spec.name = "test-" + std::to_string(spec.id.value);
    spec.kernel_path = surroundings->path("image/vmlinux");
    spec.initrd_path = surroundings->path("image/initrd");
    static const image::Digest kernel = image::digest_of(read_all(spec.kernel_path));
    static const image::Digest initrd = image::digest_of(read_all(spec.initrd_path));
    spec.kernel_digest = kernel;
    spec.initrd_digest = initrd;
    spec.cmdline = std::move(cmdline);
    spec.published = {{.host_port = 0, .guest_port = 80}};  // to look inside
    return spec;
  }

  env::Task<Result<void>> power_off_inside(vm::Record record) override {
    qemu::AgentClient agent(env_, env::join_path(record.directory, qemu::kAgentSocket));
    co_return co_await agent.shutdown(env_.clock.monotonic() + 10s);
  }

  env::Task<Result<vm::GuestInside>> look_inside(vm::Record record) override {
    BLX_CO_TRY(const std::string page,
               co_await get_page(env_, record.published.at(0).host_port, "/identity"));
    const auto line = [&page](std::string_view key) {
      const std::string begin = "\n" + std::string(key) + ": ";
      const std::size_t at = page.find(begin);
      if (at == std::string::npos) return std::string();
      return page.substr(at + begin.size(), page.find('\n', at + 1) - at - begin.size());
    };
    vm::GuestInside inside{.name = line("name"),
                           .machine_id = line("machine"),
                           .boot = line("boot"),
                           .mac = line("mac"),
                           .random = line("random"),
                           .clock = {}};
    const std::string time = line("time_ms");
    std::from_chars(time.data(), time.data() + time.size(), inside.clock.unix_ms);
    co_return inside;
  }

  env::Task<Result<std::string>> empty_folder() override {
    static int next = 0;
    std::string folder = surroundings->path("templates/" + std::to_string(++next));
    BLX_CO_TRY(co_await env_.disk.make_directory(folder));
    co_return folder;
  }

  // QEMU takes some 30 ms until its monitor answers; what stops the start before that leaves it
  // waiting for the state.
  env::Task<Result<vm::Record>> unfinished_clone(vm::GuestSpec spec) override {
    const Instant deadline = env_.clock.monotonic() + 20s;
    BLX_CO_TRY(vm::Record record, co_await driver_->prepare(spec));
    Result<vm::Record> started = record;
    env::Scope scope(env_.executor, co_await env::this_cancellation());
    scope.spawn(keep(started, driver_->start(spec, record, deadline)));
    while (record.process.pid == 0 && env_.clock.monotonic() < deadline) {
      BLX_CO_TRY(co_await env_.clock.sleep(1ms));
      const auto stored = co_await env_.disk.read_file(
          env::join_path(record.directory, "record.json"), std::size_t{64} << 10);
      if (!stored) continue;
      if (const auto read = vm::Record::decode(*stored)) record = *read;
    }
    scope.cancel();
    co_await scope.join();
    if (started) co_return fail(Code::kInternal, "start_finished");
    BLX_CO_TRY(co_await restart_driver(HypervisorFault::kNone));
    co_return record;
  }

 private:
  static env::Task<void> keep(Result<vm::Record>& result, env::Task<Result<vm::Record>> task) {
    result = co_await std::move(task);
  }

  void make_driver(HypervisorFault fault) {
    qemu::Options options{.directory = surroundings->path("vms")};
    if (fault == HypervisorFault::kMissing) options.binary = surroundings->path("missing");
    if (fault == HypervisorFault::kExitsAtStart) options.binary = surroundings->path("exits");
    if (fault == HypervisorFault::kHangsAtStart) options.binary = surroundings->path("hangs");
    driver_ = std::make_unique<qemu::QemuDriver>(env_, std::move(options));
  }

  env::Env env_;
  std::unique_ptr<qemu::QemuDriver> driver_;
};

using Body = env::Task<Result<void>> (*)(vm::SuiteHost&);

env::Task<void> run_case(env::Env env, Body body, Result<void>& result) {
  QemuHost host(env);
  result = co_await body(host);
  ignore(co_await host.restart_driver(HypervisorFault::kNone), "it cannot fail");
  const auto cleaned = co_await vm::clean_up(host);
  if (result && !cleaned) result = cleaned;
  co_await host.driver().close();
}

void run_on_linux(Body body) {
  if (!surroundings->has_image()) {
    GTEST_SKIP() << "SKIPPED: there is no guest image in build/guest, make it with: ./do test";
  }
  WarningsToStderr log;
  linux_side::Runtime runtime({.log = &log, .group_root = Surroundings::group_root()});
  Result<void> result;
  runtime.run(run_case(runtime.env(), body, result));
  if (!result && result.error().reason() == "not_possible_here") {
    GTEST_SKIP() << "SKIPPED: " << result.error().detail();
  }
  EXPECT_TRUE(result) << result.error().message();
}

class QemuSuite : public testing::TestWithParam<vm::SuiteCase> {};

TEST_P(QemuSuite, Holds) { run_on_linux(GetParam().run); }

INSTANTIATE_TEST_SUITE_P(Driver, QemuSuite, testing::ValuesIn(vm::driver_suite()),
                         [](const auto& info) { return std::string(info.param.name); });

// The trial of KVM.

// How KVM fails the trial guest.
struct Failure {
  const char* binary;    // of QEMU; empty: the real one
  bool as_itself;        // QEMU keeps the right to open the device
  const char* expected;  // in the reason
  Duration least;        // until the VM has started
};

// This machine, as one whose KVM passes every check.
class ClaimsKvm final : public env::Machine {
 public:
  ClaimsKvm(env::Machine& inner, bool as_itself) : inner_(inner), facts_(inner.facts()) {
    if (as_itself) facts_.guest_owner.reset();
  }
  [[nodiscard]] const env::MachineFacts& facts() const override { return facts_; }
  env::Task<Result<env::KvmReport>> probe_kvm() override {
    auto report = co_await inner_.probe_kvm();
    if (report) report->usable = true;
    co_return report;
  }
  env::Task<Result<std::uint64_t>> measure_tsc_khz() override { return inner_.measure_tsc_khz(); }
  double load_average() override { return inner_.load_average(); }
  Bytes memory_available() override { return inner_.memory_available(); }
  env::ProgramUsage program_usage() override { return inner_.program_usage(); }

 private:
  env::Machine& inner_;
  env::MachineFacts facts_;
};

Result<void> expect(bool holds, const char* what, const std::string& seen) {
  if (holds) return {};
  return fail(Code::kInternal, "expectation_failed", std::string(what) + ": " + seen);
}

// What is expected of a driver that was told that KVM works.
env::Task<Result<void>> falls_back(env::Env env, qemu::QemuDriver& driver, vm::GuestSpec spec,
                                   Failure failure) {
  BLX_CO_TRY(const vm::Capabilities before, co_await driver.probe());
  BLX_CO_TRY(expect(before.accelerator == vm::Accelerator::kKvm, "KVM is chosen first",
                    before.accelerator_reason));
  BLX_CO_TRY(vm::Record record, co_await driver.prepare(spec));
  const Instant begin = env.clock.monotonic();
  BLX_CO_TRY(record, co_await driver.start(spec, record, begin + 30s));
  const Duration took = env.clock.monotonic() - begin;
  BLX_CO_TRY(const vm::Capabilities after, co_await driver.probe());
  std::printf("started after %.2f s: %s\n", std::chrono::duration<double>(took).count(),
              after.accelerator_reason.c_str());
  BLX_CO_TRY(expect(after.accelerator_reason.contains(failure.expected) && took >= failure.least,
                    "the reason", after.accelerator_reason));
  BLX_CO_TRY(expect(record.accelerator == vm::Accelerator::kTcg, "TCG is started with",
                    after.accelerator_reason));
  BLX_CO_TRY(expect(after.accelerator == vm::Accelerator::kTcg, "probe() says so",
                    after.accelerator_reason));
  BLX_CO_TRY(co_await driver.wait_ready(record, env.clock.monotonic() + 60s));
  BLX_CO_TRY(const std::vector<VmId> left, co_await driver.leftovers());
  BLX_CO_TRY(expect(left == std::vector<VmId>{spec.id}, "the trial left nothing",
                    std::to_string(left.size()) + " VMs"));
  co_return co_await driver.release(record);
}

qemu::Options options_of(const Failure& failure) {
  qemu::Options options{.directory = surroundings->path("vms")};
  if (*failure.binary != '\0') options.binary = surroundings->path(failure.binary);
  return options;
}

env::Task<Result<void>> trial_fails(env::Env env, vm::GuestSpec spec, Failure failure) {
  const std::string verdict = surroundings->path("vms/kvm-trial.json");
  ignore(co_await env.disk.remove(verdict), "there may be none");
  std::optional<vm::Capabilities> remembered;
  for (const bool is_first : {true, false}) {
    qemu::QemuDriver driver(env, options_of(failure));
    Result<void> held;
    if (is_first) held = co_await falls_back(env, driver, spec, failure);
    const auto capabilities = co_await driver.probe();
    co_await driver.close();
    BLX_CO_TRY(held);
    BLX_CO_TRY(remembered, capabilities);
  }
  BLX_CO_TRY(expect(remembered->accelerator == vm::Accelerator::kTcg, "the next driver knows",
                    remembered->accelerator_reason));
  ignore(co_await env.disk.remove(verdict), "it is of this test");
  co_return Result<void>();
}

env::Task<Result<void>> forced_trial_fails(env::Env env, vm::GuestSpec spec, Failure failure) {
  qemu::Options options = options_of(failure);
  options.accelerator = vm::Accelerator::kKvm;
  qemu::QemuDriver driver(env, std::move(options));
  const auto record = co_await driver.prepare(spec);
  if (!record) co_return std::unexpected(record.error());
  const auto started = co_await driver.start(spec, *record, env.clock.monotonic() + 30s);
  const auto released = co_await driver.release(*record);
  co_await driver.close();
  ignore(co_await env.disk.remove(surroundings->path("vms/kvm-trial.json")), "of this test");
  BLX_CO_TRY(released);
  if (started) co_return fail(Code::kInternal, "expectation_failed", "it started");
  std::printf("%s\n", started.error().message().c_str());
  co_return expect(started.error().reason() == "accelerator_unusable" &&
                       started.error().detail().contains(failure.expected),
                   "it is refused", started.error().message());
}

using TrialBody = env::Task<Result<void>> (*)(env::Env, vm::GuestSpec, Failure);
enum class Kvm : std::uint8_t { kUsable, kAbsent, kUseless };

env::Task<void> run_trial(env::Env env, TrialBody body, Failure failure, Kvm& kvm,
                          Result<void>& result) {
  const auto report = co_await env.machine.probe_kvm();
  kvm = !report || report->module.empty() || report->loop_time == Duration{} ? Kvm::kAbsent
        : report->usable                                                     ? Kvm::kUsable
                                                                             : Kvm::kUseless;
  if (kvm != Kvm::kUseless) co_return;
  ClaimsKvm machine(env.machine, failure.as_itself);
  const env::Env claimed{.executor = env.executor,
                         .clock = env.clock,
                         .random = env.random,
                         .network = env.network,
                         .security = env.security,
                         .disk = env.disk,
                         .process = env.process,
                         .machine = machine,
                         .rare = env.rare,
                         .log = env.log};
  QemuHost host(env);
  result = co_await body(claimed, host.guest(""), failure);
  ignore(co_await vm::clean_up(host), "what counts is the case");
  co_await host.driver().close();
}

void run_trial_on_linux(TrialBody body, Failure failure) {
  if (!surroundings->has_image()) {
    GTEST_SKIP() << "SKIPPED: there is no guest image in build/guest, make it with: ./do test";
  }
  WarningsToStderr log;
  linux_side::Runtime runtime({.log = &log, .group_root = Surroundings::group_root()});
  Result<void> result;
  Kvm kvm = Kvm::kAbsent;
  runtime.run(run_trial(runtime.env(), body, failure, kvm, result));
  if (kvm != Kvm::kUseless) {
    GTEST_SKIP() << "SKIPPED: KVM is " << (kvm == Kvm::kUsable ? "usable" : "absent")
                 << " here; the case needs one that answers but boots no kernel";
  }
  EXPECT_TRUE(result) << result.error().message();
}

TEST(KvmTrial, AKvmThatBootsNothingIsGivenUp) {
  run_trial_on_linux(trial_fails, {"plain", true, "did not boot a guest within 5 s", 5s});
}
TEST(KvmTrial, AKvmThatQemuRefusesIsGivenUp) {
  run_trial_on_linux(trial_fails, {"", true, "was refused", 0s});
}
TEST(KvmTrial, AKvmThatGuestsMayNotOpenIsGivenUp) {
  run_trial_on_linux(trial_fails, {"", false, "was refused", 0s});
}
TEST(KvmTrial, AForcedKvmThatBootsNothingIsAnError) {
  run_trial_on_linux(forced_trial_fails, {"plain", true, "did not boot a guest within 5 s", 5s});
}

// The published port reaches the guest's web server.
env::Task<Result<void>> publishes_a_port(vm::SuiteHost& host) {
  const vm::GuestSpec spec = host.guest("");
  BLX_CO_TRY(vm::Record record, co_await host.driver().prepare(spec));
  const Instant deadline = host.env().clock.monotonic() + 60s;
  BLX_CO_TRY(record, co_await host.driver().start(spec, record, deadline));
  BLX_CO_TRY(co_await host.driver().wait_ready(record, deadline));
  BLX_CO_TRY(const std::string answer,
             co_await get_page(host.env(), record.published.at(0).host_port, "/"));
  if (!answer.starts_with("HTTP/1.") || answer.find(spec.name) == std::string::npos) {
    co_return fail(Code::kInternal, "unexpected_page", answer);
  }
  co_return co_await host.driver().release(record);
}

TEST(Qemu, PublishesAPort) { run_on_linux(publishes_a_port); }

// Children that do nothing but use a CPU each, until the end of the block.
class BusyLoops {
 public:
  explicit BusyLoops(int count) {
    for (int i = 0; i < count; ++i) {
      const pid_t pid = fork();
      if (pid == 0) spin();
      if (pid > 0) pids_.push_back(pid);
    }
  }
  BusyLoops(const BusyLoops&) = delete;
  BusyLoops& operator=(const BusyLoops&) = delete;
  ~BusyLoops() {
    for (const pid_t pid : pids_) {
      kill(pid, SIGKILL);
      waitpid(pid, nullptr, 0);
    }
  }

 private:
  [[noreturn]] static void spin() {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (volatile unsigned turns = 0;;)
      turns = turns + 1;
  }

  std::vector<pid_t> pids_;
};

env::Task<Result<void>> boots_in_a_row(vm::SuiteHost& host) {
  double slowest = 0;
  for (int i = 0; i < boots_wanted; ++i) {
    const vm::GuestSpec spec = host.guest("");
    const Instant begin = host.env().clock.monotonic();
    BLX_CO_TRY(vm::Record record, co_await host.driver().prepare(spec));
    BLX_CO_TRY(record, co_await host.driver().start(spec, record, begin + 20s));
    BLX_CO_TRY(co_await host.driver().wait_ready(record, begin + 60s));
    const double took = std::chrono::duration<double>(host.env().clock.monotonic() - begin).count();
    slowest = std::max(slowest, took);
    std::printf("boot %d: ready after %.2f s\n", i + 1, took);
    BLX_CO_TRY(co_await host.driver().release(record));
  }
  std::printf("%d boots beside %d busy loops, the slowest ready after %.2f s\n", boots_wanted,
              busy_wanted, slowest);
  co_return Result<void>();
}

TEST(Qemu, BootsInARow) {
  if (boots_wanted == 0) GTEST_SKIP() << "only with --boots=<count>";
  const BusyLoops busy(busy_wanted);  // before the runtime, which has threads
  run_on_linux(boots_in_a_row);
}

}  // namespace
}  // namespace blixard

int main(int argc, char** argv) {
  const int hidden = blixard::linux_side::run_hidden_command(argc, argv);
  if (hidden >= 0) return hidden;
  testing::InitGoogleTest(&argc, argv);
  const auto number_of = [&](std::string_view option, int& number) {
    for (int i = 1; i < argc; ++i) {
      std::string_view digits = argv[i];
      if (!digits.starts_with(option)) continue;
      digits.remove_prefix(option.size());
      std::from_chars(digits.data(), digits.data() + digits.size(), number);
    }
  };
  number_of("--boots=", blixard::boots_wanted);
  number_of("--busy=", blixard::busy_wanted);
  blixard::surroundings = std::make_unique<blixard::Surroundings>();
  const int result = RUN_ALL_TESTS();
  blixard::surroundings.reset();
  return result;
}

// The driver's conformance suite against real QEMU processes and real guests.
//
//   vm_driver_test                      every case
//   vm_driver_test --boots=30           and that many cold boots in a row, none of which may hang

#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include <charconv>
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

#include <gtest/gtest.h>

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
  std::ofstream(path, std::ios::binary).write(bytes.data(), std::ssize(bytes));
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

class QemuHost final : public vm::SuiteHost {
 public:
  explicit QemuHost(env::Env env) : env_(env) { make_driver(HypervisorFault::kNone); }

  env::Env env() override { return env_; }
  vm::Driver& driver() override { return *driver_; }

  env::Task<Result<void>> restart_driver(HypervisorFault fault) override {
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
    spec.cmdline = std::move(cmdline);
    return spec;
  }

  env::Task<Result<void>> power_off_inside(vm::Record record) override {
    qemu::AgentClient agent(env_, env::join_path(record.directory, qemu::kAgentSocket));
    co_return co_await agent.shutdown(env_.clock.monotonic() + 10s);
  }

 private:
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
    GTEST_SKIP() << "SKIPPED: there is no guest image in build/guest, make it with: ./do image";
  }
  WarningsToStderr log;
  linux_side::Runtime runtime({.log = &log, .group_root = Surroundings::group_root()});
  Result<void> result;
  runtime.run(run_case(runtime.env(), body, result));
  EXPECT_TRUE(result) << result.error().message();
}

class QemuSuite : public testing::TestWithParam<vm::SuiteCase> {};

TEST_P(QemuSuite, Holds) { run_on_linux(GetParam().run); }

INSTANTIATE_TEST_SUITE_P(Driver, QemuSuite, testing::ValuesIn(vm::driver_suite()),
                         [](const auto& info) { return std::string(info.param.name); });

// The published port reaches the guest's web server.
env::Task<Result<void>> publishes_a_port(vm::SuiteHost& host) {
  vm::GuestSpec spec = host.guest("");
  spec.published = {{.host_port = 0, .guest_port = 80}};
  BLX_CO_TRY(vm::Record record, co_await host.driver().prepare(spec));
  const Instant deadline = host.env().clock.monotonic() + 60s;
  BLX_CO_TRY(record, co_await host.driver().start(spec, record, deadline));
  BLX_CO_TRY(co_await host.driver().wait_ready(record, deadline));
  const auto endpoint = env::Endpoint::tcp("127.0.0.1", record.published.at(0).host_port);
  BLX_CO_TRY(const auto stream, co_await host.env().network.dial(endpoint, deadline));
  BLX_CO_TRY(co_await stream->write_all("GET / HTTP/1.0\r\n\r\n"));
  std::string answer;
  std::array<char, 1024> buffer{};
  for (std::size_t count = 1; count != 0;) {
    BLX_CO_TRY(count, co_await env::with_deadline(host.env().executor, host.env().clock, deadline,
                                                  stream->read_some(buffer)));
    answer.append(buffer.data(), count);
  }
  if (!answer.starts_with("HTTP/1.") || answer.find(spec.name) == std::string::npos) {
    co_return fail(Code::kInternal, "unexpected_page", answer);
  }
  co_return co_await host.driver().release(record);
}

TEST(Qemu, PublishesAPort) { run_on_linux(publishes_a_port); }

env::Task<Result<void>> boots_in_a_row(vm::SuiteHost& host) {
  for (int i = 0; i < boots_wanted; ++i) {
    const vm::GuestSpec spec = host.guest("");
    const Instant begin = host.env().clock.monotonic();
    BLX_CO_TRY(vm::Record record, co_await host.driver().prepare(spec));
    BLX_CO_TRY(record, co_await host.driver().start(spec, record, begin + 20s));
    BLX_CO_TRY(co_await host.driver().wait_ready(record, begin + 60s));
    const auto took = host.env().clock.monotonic() - begin;
    std::printf("boot %d: ready after %.2f s\n", i + 1,
                std::chrono::duration<double>(took).count());
    BLX_CO_TRY(co_await host.driver().release(record));
  }
  co_return Result<void>();
}

TEST(Qemu, BootsInARow) {
  if (boots_wanted == 0) GTEST_SKIP() << "only with --boots=<count>";
  run_on_linux(boots_in_a_row);
}

}  // namespace
}  // namespace blixard

int main(int argc, char** argv) {
  const int hidden = blixard::linux_side::run_hidden_command(argc, argv);
  if (hidden >= 0) return hidden;
  testing::InitGoogleTest(&argc, argv);
  constexpr std::string_view kBoots = "--boots=";
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument.starts_with(kBoots)) {
      const std::string_view digits = argument.substr(kBoots.size());
      std::from_chars(digits.data(), digits.data() + digits.size(), blixard::boots_wanted);
    }
  }
  blixard::surroundings = std::make_unique<blixard::Surroundings>();
  const int result = RUN_ALL_TESTS();
  blixard::surroundings.reset();
  return result;
}

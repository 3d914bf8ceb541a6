#pragma once

// The driver over a scripted QEMU, as the driver suite's host and as a fixture. For tests only.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "env/scope.h"
#include "node/vm/driver_suite.h"
#include "node/vm/qemu/arguments.h"
#include "node/vm/qemu/qemu_driver.h"
#include "sim/qemu/scripted_qemu.h"
#include "sim/qemu/test_guest.h"
#include "sim/world.h"

namespace blixard::qemu {

class ScriptedHost final : public vm::SuiteHost {
 public:
  ScriptedHost(sim::Machine& machine, sim::ScriptedQemu& qemu) : machine_(machine), qemu_(qemu) {
    qemu_.install(machine_);
  }

  env::Env env() override { return machine_.env(); }
  vm::Driver& driver() override { return *driver_; }

  env::Task<Result<void>> prepare() {
    BLX_CO_TRY(co_await env().disk.make_directory("/var/lib/blixard/images"));
    for (const char* path : {kKernel, kInitrd})
      BLX_CO_TRY(co_await env().disk.replace_file(path, "bytes"));
    make_driver({});
    co_return Result<void>();
  }

  env::Task<Result<void>> restart_driver(vm::HypervisorFault fault) override {
    using enum vm::HypervisorFault;
    if (fault == kStaleClones) co_return fail(Code::kUnimplemented, "not_possible_here");
    co_await driver_->close();
    qemu_.faults = {};
    qemu_.faults.starts_fail = fault == kExitsAtStart;
    qemu_.faults.last_words = "out of luck";
    qemu_.faults.starts_hang = fault == kHangsAtStart;
    qemu_.faults.load_fails = fault == kLoadFails;
    qemu_.faults.refuses_identity = fault == kIdentityRefused;
    make_driver(fault == kMissing ? "/missing" : "");
    co_return Result<void>();
  }

  vm::GuestSpec guest(std::string cmdline) override {
    vm::GuestSpec spec;
    spec.id = VmId(next_id_++);
    spec.generation = Generation(1);
    spec.uuid = env().random.uuid();
    spec.name = "test-" + std::to_string(spec.id.value);
    spec.kernel_path = kKernel;
    spec.initrd_path = kInitrd;
    spec.kernel_digest = spec.initrd_digest = image::digest_of("bytes");
    spec.cmdline = std::move(cmdline);
    return spec;
  }

  env::Task<Result<void>> power_off_inside(vm::Record record) override {
    if (qemu_.power_off(record.process)) co_return Result<void>();
    co_return fail(Code::kNotFound, "process_gone");
  }

  env::Task<Result<vm::GuestInside>> look_inside(vm::Record record) override {
    BLX_CO_TRY(const std::string identity, co_await ask(record, "identity"));
    BLX_CO_TRY(const std::string random, co_await ask(record, "random"));
    const auto word = [](const std::string& said, const std::string& key) {
      const std::size_t at = said.find(" " + key + "=");
      if (at == std::string::npos) return std::string();
      const std::size_t begin = at + key.size() + 2;
      return said.substr(begin, said.find(' ', begin) - begin);
    };
    co_return vm::GuestInside{.name = word(identity, "name"),
                              .machine_id = word(identity, "machine"),
                              .boot = word(identity, "boot"),
                              .mac = word(identity, "mac"),
                              .random = word(random, "bytes"),
                              .clock = {std::stoll(word(random, "time_ms"))}};
  }

  env::Task<Result<std::string>> empty_folder() override {
    std::string folder = "/var/lib/blixard/templates/" + std::to_string(next_id_++);
    BLX_CO_TRY(co_await env().disk.make_directory(folder));
    co_return folder;
  }

  env::Task<Result<vm::Record>> unfinished_clone(vm::GuestSpec spec) override {
    BLX_CO_TRY(const vm::Record record, co_await driver_->prepare(spec));
    qemu_.faults.load_stalls = true;
    Result<vm::Record> started = record;
    env::Scope scope(env().executor, co_await env::this_cancellation());
    scope.spawn(keep(started, driver_->start(spec, record, env().clock.monotonic() + 20s)));
    const auto slept = co_await env().clock.sleep(1s);
    scope.cancel();
    co_await scope.join();
    BLX_CO_TRY(slept);
    if (started) co_return fail(Code::kInternal, "start_finished");
    BLX_CO_TRY(co_await restart_driver(vm::HypervisorFault::kNone));
    BLX_CO_TRY(const std::string stored,
               co_await env().disk.read_file(env::join_path(record.directory, "record.json"),
                                             std::size_t{64} << 10));
    co_return vm::Record::decode(stored);
  }

 private:
  static constexpr const char* kKernel = "/var/lib/blixard/images/vmlinux";
  static constexpr const char* kInitrd = "/var/lib/blixard/images/initrd";

  static env::Task<void> keep(Result<vm::Record>& result, env::Task<Result<vm::Record>> task) {
    result = co_await std::move(task);
  }

  // The agent's answer, behind the nonce.
  env::Task<Result<std::string>> ask(vm::Record record, std::string verb) {
    const auto socket = env::Endpoint::unix_socket(env::join_path(record.directory, kAgentSocket));
    BLX_CO_TRY(auto stream, co_await env().network.dial(socket, env().clock.monotonic() + 1s));
    sim::TestTalk talk(env(), std::move(stream));
    const std::string nonce = env().random.hex(8);
    BLX_CO_TRY(co_await talk.say("\n" + verb + " " + nonce + "\n"));
    co_return co_await talk.hear_until("ok " + nonce);
  }

  void make_driver(std::string binary) {
    driver_ = std::make_unique<QemuDriver>(env(), Options{.directory = "/var/lib/blixard/vms",
                                                          .binary = std::move(binary),
                                                          .accelerator = vm::Accelerator::kTcg});
  }

  sim::Machine& machine_;
  sim::ScriptedQemu& qemu_;
  std::unique_ptr<QemuDriver> driver_;
  std::uint64_t next_id_ = 1;
};

// A machine with a driver and a scripted QEMU, for tests of both.
class ScriptedTest : public testing::Test {
 public:
  using Body = std::function<env::Task<Result<void>>()>;

  void run(Body body) {
    Result<void> result;
    const auto main = [&]() -> env::Task<void> {
      result = co_await host_.prepare();
      if (result) result = co_await body();
      ignore(co_await vm::clean_up(host_), "what counts is the case");
      co_await driver().close();
    };
    EXPECT_TRUE(world_.run(main())) << world_.log_lines().back();
    EXPECT_TRUE(result) << result.error().message();
    EXPECT_EQ(machine_.processes(), 0u);
  }

  vm::Driver& driver() { return host_.driver(); }
  Instant in(Duration patience) { return host_.env().clock.monotonic() + patience; }

  env::Task<Result<vm::Record>> start(vm::GuestSpec spec, Duration patience = 15s) {
    BLX_CO_TRY(const vm::Record prepared, co_await driver().prepare(spec));
    co_return co_await driver().start(spec, prepared, in(patience));
  }
  env::Task<Result<vm::Record>> start_ready(vm::GuestSpec spec) {
    BLX_CO_TRY(const vm::Record record, co_await start(std::move(spec)));
    BLX_CO_TRY(co_await driver().wait_ready(record, in(10s)));
    co_return record;
  }

  sim::ScriptedQemu qemu_;
  sim::World world_{11};
  sim::Machine& machine_ = world_.add_machine("a");
  ScriptedHost host_{machine_, qemu_};
};

}  // namespace blixard::qemu

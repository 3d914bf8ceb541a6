// What the driver does when its monitor does not do its part.

#include "observe/failpoint.h"

#include "node/vm/qemu/qemu_driver.h"
#include "sim/qemu/scripted_qemu.h"
#include "sim/world.h"

namespace blixard::qemu {
namespace {

using env::Task;
using observe::ScopedFailpoint;

constexpr const char* kImages = "/var/lib/blixard/images/";

class QemuFailpointTest : public testing::Test {
 public:
  QemuFailpointTest() : machine_(world_.add_machine("a")) { qemu_.install(machine_); }
  void SetUp() override {
    if (!observe::failpoints_built()) GTEST_SKIP() << "built without failpoints";
  }

  template <class Body>
  void run(Body body) {
    Result<void> result;
    const auto main = [&]() -> Task<void> {
      QemuDriver driver(machine_.env(), Options{.directory = "/var/lib/blixard/vms"});
      result = co_await prepare_files();
      if (result) result = co_await body(driver);
      co_await driver.close();
    };
    EXPECT_TRUE(world_.run(main())) << world_.log_lines().back();
    EXPECT_TRUE(result) << result.error().message();
  }
  Task<Result<void>> prepare_files() {
    BLX_CO_TRY(co_await machine_.env().disk.make_directory(kImages));
    for (const char* name : {"vmlinux", "initrd"}) {
      BLX_CO_TRY(co_await machine_.env().disk.replace_file(std::string(kImages) + name, "bytes"));
    }
    co_return Result<void>();
  }
  vm::GuestSpec guest() {
    vm::GuestSpec spec;
    spec.id = VmId(1);
    spec.generation = Generation(1);
    spec.uuid = uuid_;
    spec.name = "web";
    spec.kernel_path = std::string(kImages) + "vmlinux";
    spec.initrd_path = std::string(kImages) + "initrd";
    return spec;
  }
  Instant in(Duration patience) { return machine_.env().clock.monotonic() + patience; }

  sim::World world_{1};
  sim::Machine& machine_;
  sim::ScriptedQemu qemu_;
  Uuid uuid_ = machine_.env().random.uuid();
};

// The monitor is dialled again until it answers.
TEST_F(QemuFailpointTest, ConnectionIsRefusedForAWhile) {
  run([this](QemuDriver& driver) -> Task<Result<void>> {
    BLX_CO_TRY(const vm::Record prepared, co_await driver.prepare(guest()));
    const ScopedFailpoint site("qmp::connect", "3*error->off");
    BLX_CO_TRY(const vm::Record started, co_await driver.start(guest(), prepared, in(15s)));
    EXPECT_EQ(site.fired(), 3u);
    EXPECT_TRUE(machine_.is_alive(started.process));
    co_return co_await driver.release(started);
  });
}

// A start whose monitor takes no command fails, and leaves nothing.
TEST_F(QemuFailpointTest, CommandsAreNotTaken) {
  run([this](QemuDriver& driver) -> Task<Result<void>> {
    BLX_CO_TRY(const vm::Record prepared, co_await driver.prepare(guest()));
    {
      const ScopedFailpoint site("qmp::command", "error");
      const auto failed = co_await driver.start(guest(), prepared, in(5s));
      EXPECT_FALSE(failed);
      EXPECT_GE(site.fired(), 1u);
    }
    BLX_CO_TRY(co_await driver.release(prepared));
    EXPECT_EQ(machine_.processes(), 0u);
    BLX_CO_TRY(const vm::Record again, co_await driver.prepare(guest()));
    BLX_CO_TRY(const vm::Record started, co_await driver.start(guest(), again, in(15s)));
    EXPECT_TRUE(machine_.is_alive(started.process));
    co_return co_await driver.release(started);
  });
}

}  // namespace
}  // namespace blixard::qemu

// Processes that stand by, against a scripted QEMU: what goes wrong, and reboots. What goes right
// is the suite's.

#include "node/vm/driver_suite_steps.h"
#include "node/vm/label.h"
#include "node/vm/qemu/arguments.h"
#include "node/vm/qemu/test_scripted_host.h"

namespace blixard::qemu {
namespace {

using env::Task;
using vm::Phase;
using vm::suite::Started;

// run() keeps each body until it has ended.
// NOLINTBEGIN(cppcoreguidelines-avoid-capturing-lambda-coroutines)

class StandbyTest : public ScriptedTest {
 public:
  Task<Result<vm::Template>> template_with_standbys(std::size_t count) {
    BLX_CO_TRY(vm::Template made, co_await vm::suite::make_template(host_, host_.guest("")));
    BLX_CO_TRY(const std::size_t kept, co_await keep(made, count));
    EXPECT_EQ(kept, count);
    co_return made;
  }
  Task<Result<std::size_t>> keep(vm::Template made, std::size_t count) {
    co_return co_await driver().keep_standbys(vm::suite::clone_spec(host_, made), count, in(5s));
  }
  // The clone that took a standby.
  Task<Result<Started>> taken() {
    BLX_CO_TRY(const vm::Template made, co_await template_with_standbys(1));
    BLX_CO_TRY(Started clone, co_await vm::suite::clone_ready(host_, made));
    EXPECT_FALSE(clone.record.standby.is_nil());
    co_return clone;
  }
  Task<Result<void>> expect_itself(Started clone) {
    BLX_CO_TRY(const vm::GuestInside inside, co_await host_.look_inside(clone.record));
    EXPECT_EQ(inside.name, clone.spec.name);
    EXPECT_EQ(inside.mac, mac_address(clone.spec.uuid));
    co_return Result<void>();
  }
};

TEST_F(StandbyTest, ARebootIsHeardOfAndTheGuestToldWhoItIs) {
  run([this]() -> Task<Result<void>> {
    BLX_CO_TRY(const Started clone, co_await taken());
    EXPECT_TRUE(qemu_.reboot(clone.record.process));
    BLX_CO_TRY(const vm::Status status, co_await driver().next_change(clone.record));
    EXPECT_EQ(status.phase, Phase::kStarting);
    BLX_CO_TRY(co_await driver().wait_ready(clone.record, in(5s)));
    BLX_CO_TRY(co_await expect_itself(clone));
    // And again.
    EXPECT_TRUE(qemu_.reboot(clone.record.process));
    BLX_CO_TRY(co_await driver().next_change(clone.record));
    BLX_CO_TRY(co_await driver().wait_ready(clone.record, in(5s)));
    BLX_CO_TRY(co_await expect_itself(clone));
    co_return co_await driver().release(clone.record);
  });
}

TEST_F(StandbyTest, ARebootThatNobodySawIsFoundWhenTheGuestIsAdopted) {
  for (const Duration before : {Duration(100ms), Duration(5s)}) {
    run([&]() -> Task<Result<void>> {
      BLX_CO_TRY(const Started clone, co_await taken());
      co_await driver().close();
      EXPECT_TRUE(qemu_.reboot(clone.record.process));
      BLX_CO_TRY(co_await host_.env().clock.sleep(before));
      BLX_CO_TRY(co_await host_.restart_driver(vm::HypervisorFault::kNone));
      BLX_CO_TRY(const vm::Status status, co_await driver().adopt(clone.record));
      if (status.phase == Phase::kStarting) {
        BLX_CO_TRY(const vm::Status again, co_await driver().next_change(clone.record));
        EXPECT_EQ(again.phase, Phase::kStarting);
        BLX_CO_TRY(co_await driver().wait_ready(clone.record, in(5s)));
      } else {
        EXPECT_EQ(status.phase, Phase::kRunning);
      }
      BLX_CO_TRY(co_await expect_itself(clone));
      co_return co_await driver().release(clone.record);
    });
  }
}

TEST_F(StandbyTest, OneThatForwardsNoPortIsLeftForAnother) {
  run([this]() -> Task<Result<void>> {
    BLX_CO_TRY(const vm::Template made, co_await template_with_standbys(2));
    qemu_.faults.ignored = {"human-monitor-command"};
    vm::GuestSpec spec = vm::suite::clone_spec(host_, made);
    spec.published = {{.host_port = 0, .guest_port = 80}};
    BLX_CO_TRY(const Started clone, co_await vm::suite::start_spec(host_, spec));
    EXPECT_TRUE(clone.record.standby.is_nil());
    BLX_CO_TRY(co_await driver().wait_ready(clone.record, in(5s)));
    BLX_CO_TRY(co_await expect_itself(clone));
    BLX_CO_TRY(const std::size_t left, co_await keep(made, 0));
    EXPECT_EQ(left, 0u);
    co_return co_await driver().release(clone.record);
  });
}

TEST_F(StandbyTest, WhatADaemonDidNotEndIsALeftover) {
  run([this]() -> Task<Result<void>> {
    BLX_CO_TRY(const vm::Template made, co_await template_with_standbys(2));
    // Another driver beside the first one, which is as good as killed.
    QemuDriver next(host_.env(),
                    Options{.directory = "/var/lib/blixard/vms", .binary = {}, .accelerator = {}});
    BLX_CO_TRY(const auto left, co_await next.leftovers());
    EXPECT_EQ(left, (std::vector<VmId>{vm::standby_vm(1), vm::standby_vm(0)}));
    for (const VmId id : left)
      BLX_CO_TRY(co_await next.release_leftover(id));
    BLX_CO_TRY(const auto none, co_await next.leftovers());
    EXPECT_TRUE(none.empty());
    BLX_CO_TRY(const auto groups, co_await host_.env().process.groups());
    EXPECT_TRUE(groups.empty());
    co_await next.close();
    co_return Result<void>();
  });
}

// The daemon died between the record and the move of the folder.
TEST_F(StandbyTest, OneThatWasHalfTakenIsALeftover) {
  run([this]() -> Task<Result<void>> {
    BLX_CO_TRY(const vm::Template made, co_await template_with_standbys(1));
    const vm::GuestSpec spec = vm::suite::clone_spec(host_, made);
    BLX_CO_TRY(vm::Record record, co_await driver().prepare(spec));
    const VmId standby = vm::standby_vm(0);
    const std::string folder = "/var/lib/blixard/vms/" + vm::label(standby);
    const std::string path = env::join_path(folder, "record.json");
    BLX_CO_TRY(const std::string bytes, co_await host_.env().disk.read_file(path, 64UL << 10));
    BLX_CO_TRY(const vm::Record waits, vm::Record::decode(bytes));
    record.group = waits.group;
    record.process = waits.process;
    record.standby = waits.uuid;
    BLX_CO_TRY(co_await host_.env().disk.replace_file(path, record.encode()));

    QemuDriver next(host_.env(),
                    Options{.directory = "/var/lib/blixard/vms", .binary = {}, .accelerator = {}});
    BLX_CO_TRY(const auto left, co_await next.leftovers());
    EXPECT_EQ(left, (std::vector<VmId>{spec.id, standby}));
    for (const VmId id : left)
      BLX_CO_TRY(co_await next.release_leftover(id));
    BLX_CO_TRY(const auto groups, co_await host_.env().process.groups());
    EXPECT_TRUE(groups.empty());
    EXPECT_EQ(machine_.processes(), 0u);
    co_await next.close();
    co_return Result<void>();
  });
}

// NOLINTEND(cppcoreguidelines-avoid-capturing-lambda-coroutines)

}  // namespace
}  // namespace blixard::qemu

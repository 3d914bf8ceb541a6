#include "node/vm/qemu/arguments.h"

#include <algorithm>

namespace blixard::qemu {
namespace {

using vm::Accelerator;

vm::GuestSpec example() {
  vm::GuestSpec spec;
  spec.id = VmId(7);
  spec.uuid = *Uuid::parse("00112233-4455-6677-8899-aabbccddeeff");
  spec.name = "web";
  spec.kernel_path = "../../image/vmlinux";
  spec.initrd_path = "../../image/initrd";
  spec.published = {{8080, 80}, {8443, 443}};
  return spec;
}

std::string joined(const vm::GuestSpec& spec, const HostFacts& host) {
  const auto arguments = build_arguments(spec, host);
  EXPECT_TRUE(arguments);
  std::string text;
  for (const std::string& argument : *arguments)
    text += (argument.starts_with('-') && !text.empty() ? "\n"
             : text.empty()                             ? ""
                                                        : " ") +
            argument;
  return text;
}

TEST(Arguments, Tcg) {
  EXPECT_EQ(joined(example(), {Accelerator::kTcg, 2'596'140}),
            R"(-nodefaults
-no-user-config
-display none
-name blx-web
-uuid 00112233-4455-6677-8899-aabbccddeeff
-M microvm,acpi=on,memory-backend=ram0
-object memory-backend-ram,id=ram0,size=128M
-accel tcg,tb-size=64
-cpu qemu64,+arat
-smp 1
-m 128
-kernel ../../image/vmlinux
-initrd ../../image/initrd
-append console=ttyS0 quiet cryptomgr.notests random.trust_cpu=on nokaslr mitigations=off tsc=reliable tsc_early_khz=2596140 blx.ip=10.0.2.15/24 blx.gw=10.0.2.2 blx.name=web
-chardev ringbuf,id=con,size=65536
-serial chardev:con
-qmp unix:qmp,server=on,wait=off
-qmp unix:qmp2,server=on,wait=off
-device virtio-rng-device
-netdev user,id=n0,restrict=on,hostfwd=tcp:127.0.0.1:8080-10.0.2.15:80,hostfwd=tcp:127.0.0.1:8443-10.0.2.15:443
-device virtio-net-device,netdev=n0,guest_announce=off,mac=02:bb:cc:dd:ee:ff
-device virtio-serial-device
-chardev socket,path=agent,server=on,wait=off,id=ag
-device virtserialport,chardev=ag,name=org.blixard.agent
-device pvpanic
-action reboot=reset,shutdown=pause,panic=pause
-sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny)");
}

TEST(Arguments, KvmTellsTheGuestNothingAboutItsClock) {
  vm::GuestSpec spec = example();
  spec.vcpus = 4;
  spec.cmdline = "loglevel=7";
  const std::string text = joined(spec, {Accelerator::kKvm, 2'596'140});
  EXPECT_THAT(text, testing::HasSubstr("\n-accel kvm\n-cpu host\n-smp 4\n"));
  EXPECT_THAT(text, testing::HasSubstr(
                        "\n-append console=ttyS0 quiet cryptomgr.notests random.trust_cpu=on "
                        "blx.ip=10.0.2.15/24 blx.gw=10.0.2.2 blx.name=web loglevel=7\n"));
  EXPECT_THAT(text, testing::Not(testing::HasSubstr("tsc")));
}

TEST(Arguments, SeveralVcpusGetAThreadEach) {
  vm::GuestSpec spec = example();
  spec.vcpus = 2;
  EXPECT_THAT(joined(spec, {Accelerator::kTcg, 1}),
              testing::HasSubstr("\n-accel tcg,tb-size=64,thread=multi\n"));
}

TEST(Arguments, WithoutAConstantTscNothingIsPromised) {
  EXPECT_THAT(joined(example(), {Accelerator::kTcg, 0}), testing::Not(testing::HasSubstr("tsc")));
}

TEST(Arguments, AKernelLineThatDoesNotFitIsRefused) {
  vm::GuestSpec spec = example();
  spec.cmdline = std::string(2000, 'x');
  const auto refused = build_arguments(spec, {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().reason(), "spec_invalid");
}

TEST(Arguments, LimitsLeaveRoomForWhatWasMeasured) {
  const env::GroupLimits tcg = group_limits(example(), Accelerator::kTcg);
  EXPECT_GE(tcg.memory, mib(128 + 64 + 64));
  EXPECT_GT(tcg.cpu_percent, 100u);
  EXPECT_GE(tcg.pids, 64u);
  EXPECT_LT(group_limits(example(), Accelerator::kKvm).memory, tcg.memory);
}

}  // namespace
}  // namespace blixard::qemu

#include "linux/machine.h"

#include <fcntl.h>

#include <cerrno>
#include <vector>

#include <gtest/gtest.h>

#include "linux/descriptor.h"
#include "linux/kvm_probe.h"
#include "linux/test_runtime.h"

namespace blixard::linux_side {
namespace {

using MachineTest = RuntimeTest;

TEST_F(MachineTest, FactsAreThisMachines) {
  const env::MachineFacts& facts = env().machine.facts();
  EXPECT_FALSE(facts.host_name.empty());
  EXPECT_FALSE(facts.architecture.empty());
  EXPECT_FALSE(facts.kernel.empty());
  EXPECT_TRUE(Uuid::parse(facts.boot_id).has_value()) << facts.boot_id;
  EXPECT_GE(facts.cpus, 1u);
  EXPECT_GT(facts.memory, mib(64));
  EXPECT_EQ(facts.is_root, geteuid() == 0);
  if (!facts.is_root) EXPECT_FALSE(facts.guest_owner.has_value());
  EXPECT_GT(env().machine.memory_available(), Bytes(0));
  EXPECT_LE(env().machine.memory_available(), facts.memory);
  EXPECT_GE(env().machine.load_average(), 0.0);
}

TEST_F(MachineTest, UsageIsOfThisProgram) {
  const env::ProgramUsage before = env().machine.program_usage();
  EXPECT_GT(before.resident, mib(1));
  EXPECT_GE(before.virtual_memory, before.resident);
  EXPECT_EQ(before.allocator, "system");
  EXPECT_GE(before.threads, 1u);
  EXPECT_GE(before.open_files, 3u);
  EXPECT_GE(before.open_files_max, before.open_files);
  EXPECT_GT(before.faults_minor, 0u);
  const WallTime now = env().clock.wall();
  EXPECT_LE(before.started.unix_ms, now.unix_ms + 1000);
  EXPECT_GE(before.started.unix_ms, now.unix_ms - 3'600'000);

  constexpr std::size_t kSize = std::size_t{32} << 20;
  const std::vector<char> touched(kSize, 'x');
  ASSERT_EQ(touched[kSize / 2], 'x');  // it is used, or the compiler leaves it out
  const Fd one(open("/dev/null", O_RDONLY | O_CLOEXEC));
  const Fd two(open("/dev/null", O_RDONLY | O_CLOEXEC));
  const env::ProgramUsage after = env().machine.program_usage();
  EXPECT_EQ(after.open_files, before.open_files + 2);
  // A sanitizer's allocator does not tell.
  if (before.heap > Bytes(0)) {
    EXPECT_GE(after.heap.value, before.heap.value + touched.size());
  }
  EXPECT_GE(after.resident.value, before.resident.value + touched.size() / 2);
  EXPECT_GT(after.faults_minor, before.faults_minor);
  EXPECT_GE(after.cpu_user + after.cpu_system, before.cpu_user + before.cpu_system);
  EXPECT_EQ(after.allocations.has_value(), observe::is_hooked());
  EXPECT_EQ(after.locks.size(), observe::kLocks);
}

TEST_F(MachineTest, TheTscIsMeasuredTheSameTwice) {
  run([](env::Env env) -> env::Task<void> {
    const auto first = co_await env.machine.measure_tsc_khz();
    if (!first) {
      EXPECT_EQ(first.error().code(), Code::kUnavailable);
      co_return;
    }
    const auto second = co_await env.machine.measure_tsc_khz();
    BLX_CO_ASSERT(second);
    EXPECT_GT(*first, 500'000u);
    EXPECT_NEAR(static_cast<double>(*first), static_cast<double>(*second),
                static_cast<double>(*first) / 1000.0);
  });
}

// Whatever this machine has, the answer comes in time and explains itself.
TEST_F(MachineTest, KvmIsJudgedByItsSpeed) {
  run([](env::Env env) -> env::Task<void> {
    const auto report = co_await env.machine.probe_kvm();
    BLX_CO_ASSERT(report);
    RecordProperty("explanation", report->explanation);
    RecordProperty("loop_ns", static_cast<int>(report->loop_time.count()));
    EXPECT_FALSE(report->explanation.empty());
    if (report->usable) EXPECT_LE(report->loop_time, kKvmLoopMax);
    if (report->module == "kvm_pvm") {
      EXPECT_FALSE(report->usable);
      EXPECT_GT(report->loop_time, kKvmLoopMax);
    }
  });
}

struct Verdict {
  std::string line;
  bool usable;
  const char* says;
};

class JudgeTest : public testing::TestWithParam<Verdict> {};

TEST_P(JudgeTest, ExplainsWhatToDo) {
  const env::KvmReport report = judge_kvm(GetParam().line, "kvm_pvm");
  EXPECT_EQ(report.usable, GetParam().usable);
  EXPECT_TRUE(report.explanation.contains(GetParam().says)) << report.explanation;
}

INSTANTIATE_TEST_SUITE_P(
    Lines, JudgeTest,
    testing::Values(
        Verdict{"ok 25000\n", true, "KVM (module kvm_pvm) runs guests natively"},
        Verdict{"ok 5000000\n", true, "natively"},
        Verdict{"ok 5000001\n", false, "200x slower than native; using software emulation (TCG)"},
        Verdict{"ok 0\n", false, "slower"}, Verdict{"ok\n", false, "slower"},
        Verdict{"failed open " + std::to_string(ENOENT), false, "load kvm_intel"},
        Verdict{"failed open " + std::to_string(EACCES), false, "add it to the group kvm"},
        Verdict{"failed open " + std::to_string(EBUSY), false, "another hypervisor"},
        Verdict{"failed create " + std::to_string(EBUSY), false, "another hypervisor"},
        Verdict{"failed version 0", false, "too old"},
        Verdict{"failed long_mode 1017", false, "cannot run guest code (long_mode 1017)"},
        Verdict{"", false, "did not finish"}));

}  // namespace
}  // namespace blixard::linux_side

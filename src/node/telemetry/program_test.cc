#include "node/telemetry/program.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "observe/text.h"

namespace blixard::telemetry {
namespace {

using testing::HasSubstr;
using testing::Not;

// A machine of which everything is known.
class Told final : public env::Machine {
 public:
  env::ProgramUsage usage;
  std::size_t asked = 0;

  [[nodiscard]] const env::MachineFacts& facts() const override { return facts_; }
  env::Task<Result<env::KvmReport>> probe_kvm() override { co_return env::KvmReport{}; }
  env::Task<Result<std::uint64_t>> measure_tsc_khz() override { co_return std::uint64_t{1}; }
  double load_average() override { return 0; }
  Bytes memory_available() override { return {}; }
  env::ProgramUsage program_usage() override {
    ++asked;
    return usage;
  }

 private:
  env::MachineFacts facts_;
};

std::string text_of(const observe::Metrics& metrics) {
  std::string text;
  observe::write_text(metrics, observe::TextFormat::kPrometheus, text);
  return text;
}

TEST(ProgramMetrics, SayWhatTheMachineSaysAtThatMoment) {
  observe::Metrics metrics;
  Told machine;
  register_program(metrics, &machine);
  machine.usage.resident = mib(3);
  machine.usage.cpu_user = 1500ms;
  machine.usage.cpu_system = 250ms;
  machine.usage.faults_major = 7;
  machine.usage.open_files = 12;
  machine.usage.threads = 4;
  machine.usage.started = WallTime{1'700'000'000'500};
  machine.usage.allocator = "system";
  machine.usage.heap = Bytes(1234);
  const std::string text = text_of(metrics);
  EXPECT_EQ(machine.asked, 1u);
  EXPECT_THAT(text, HasSubstr("process_resident_memory_bytes 3145728\n"));
  EXPECT_THAT(text, HasSubstr("process_cpu_seconds_total 1.75\n"));
  EXPECT_THAT(text, HasSubstr("process_page_faults_total{kind=\"major\"} 7\n"));
  EXPECT_THAT(text, HasSubstr("process_open_fds 12\n"));
  EXPECT_THAT(text, HasSubstr("process_threads 4\n"));
  EXPECT_THAT(text, HasSubstr("process_start_time_seconds 1700000000.5\n"));
  EXPECT_THAT(text, HasSubstr("blixard_heap_bytes{allocator=\"system\"} 1234\n"));
  EXPECT_THAT(text, Not(HasSubstr("blixard_allocations_total{")));
}

TEST(ProgramMetrics, SayForWhomMemoryWasAsked) {
  observe::Metrics metrics;
  Told machine;
  register_program(metrics, &machine);
  auto& counts = machine.usage.allocations.emplace();
  counts[std::size_t(observe::Subsystem::kRaft)] = {5, 640, 4};
  counts[std::size_t(observe::Subsystem::kSimulator)] = {9, 9, 9};
  const std::string text = text_of(metrics);
  EXPECT_THAT(text, HasSubstr("blixard_allocations_total{subsystem=\"raft\"} 5\n"));
  EXPECT_THAT(text, HasSubstr("blixard_allocated_bytes_total{subsystem=\"raft\"} 640\n"));
  EXPECT_THAT(text, HasSubstr("blixard_frees_total{subsystem=\"raft\"} 4\n"));
  EXPECT_THAT(text, HasSubstr("blixard_allocations_total{subsystem=\"other\"} 0\n"));
  EXPECT_THAT(text, Not(HasSubstr("simulator")));
}

TEST(ProgramMetrics, SayHowLongLocksWereWaitedFor) {
  observe::Metrics metrics;
  Told machine;
  register_program(metrics, &machine);
  observe::LocksByName locks;
  locks[std::size_t(observe::LockName::kPool)].waited(2'000'000);
  locks[std::size_t(observe::LockName::kPool)].waited(500'000'000);
  locks[std::size_t(observe::LockName::kPool)].held(1'000);
  machine.usage.locks = locks;
  const std::string text = text_of(metrics);
  EXPECT_THAT(text, HasSubstr("blixard_lock_contended_total{lock=\"pool\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("blixard_lock_wait_seconds_total{lock=\"pool\"} 0.502\n"));
  EXPECT_THAT(text, HasSubstr("blixard_lock_wait_max_seconds{lock=\"pool\"} 0.5\n"));
  EXPECT_THAT(text, HasSubstr("blixard_lock_hold_seconds_total{lock=\"pool\"} 1e-06\n"));
}

}  // namespace
}  // namespace blixard::telemetry

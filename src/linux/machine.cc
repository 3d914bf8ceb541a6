#include "linux/machine.h"

#include <pwd.h>
#include <sched.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

#include "linux/clock.h"
#include "linux/kvm_probe.h"
#include "linux/proc_stat.h"
#include "linux/program_usage.h"

namespace blixard::linux_side {
namespace {

constexpr Duration kKvmTimeout = 2s;
constexpr std::size_t kKvmOutputMax = 256;
constexpr std::int64_t kTscWindowNs = 10'000'000;

std::string one_line(const std::string& path) {
  std::string text = read_kernel_file(path);
  while (text.ends_with('\n'))
    text.pop_back();
  return text;
}

// "MemAvailable:   24000 kB"
Bytes memory_line(std::string_view name) {
  const std::string text = read_kernel_file("/proc/meminfo");
  const auto found = text.find(name);
  if (found == std::string::npos) return {};
  const auto digits = text.find_first_of("0123456789", found + name.size());
  if (digits == std::string::npos) return {};
  std::uint64_t value = 0;
  std::from_chars(text.data() + digits, text.data() + text.size(), value);
  return kib(value);
}

std::uint32_t usable_cpus() {
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  if (sched_getaffinity(0, sizeof cpus, &cpus) == 0) {
    return static_cast<std::uint32_t>(CPU_COUNT(&cpus));
  }
  return static_cast<std::uint32_t>(std::max(1L, sysconf(_SC_NPROCESSORS_ONLN)));
}

std::optional<env::Owner> guest_owner() {
  for (const char* name : {"blixard-vm", "nobody"})
    if (const passwd* user = getpwnam(name)) return env::Owner{user->pw_uid, user->pw_gid};
  return std::nullopt;
}

env::MachineFacts collect_facts() {
  env::MachineFacts facts;
  utsname names{};
  if (uname(&names) == 0) {
    facts.host_name = static_cast<const char*>(names.nodename);
    facts.architecture = static_cast<const char*>(names.machine);
    facts.kernel = static_cast<const char*>(names.release);
  }
  facts.boot_id = one_line("/proc/sys/kernel/random/boot_id");
  facts.cpus = usable_cpus();
  facts.memory = memory_line("MemTotal:");
  facts.is_root = geteuid() == 0;
  if (facts.is_root) facts.guest_owner = guest_owner();
  return facts;
}

#if defined(__x86_64__)
std::int64_t raw_now_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC_RAW, &now);
  return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

struct Sample {
  std::int64_t ns = 0;
  std::uint64_t ticks = 0;
};

// Both clocks at one moment: of several tries the one least disturbed in between.
Sample sample() {
  Sample best;
  std::uint64_t best_gap = ~std::uint64_t{0};
  for (int i = 0; i < 16; ++i) {
    const std::uint64_t before = __rdtsc();
    const std::int64_t ns = raw_now_ns();
    const std::uint64_t after = __rdtsc();
    if (after - before >= best_gap) continue;
    best_gap = after - before;
    best = {ns, before + best_gap / 2};
  }
  return best;
}

Result<std::uint64_t> tsc_khz() {
  const std::string info = read_kernel_file("/proc/cpuinfo");
  if (info.find(" constant_tsc") == std::string::npos) {
    return fail(Code::kUnavailable, "tsc_not_constant");
  }
  std::array<std::uint64_t, 3> results{};
  for (std::uint64_t& khz : results) {
    const Sample begin = sample();
    const timespec window{.tv_sec = 0, .tv_nsec = kTscWindowNs};
    nanosleep(&window, nullptr);
    const Sample end = sample();
    const std::int64_t ns = std::max<std::int64_t>(1, end.ns - begin.ns);
    // In 128 bits: a long pause must not overflow.
    const auto scaled = static_cast<unsigned __int128>(end.ticks - begin.ticks) * 1'000'000u;
    khz = static_cast<std::uint64_t>(scaled / static_cast<std::uint64_t>(ns));
  }
  std::ranges::sort(results);
  return results[1];
}
#else
Result<std::uint64_t> tsc_khz() { return fail(Code::kUnavailable, "tsc_not_constant"); }
#endif

}  // namespace

Machine::Machine(Clock& clock, Pool& pool, env::Process& process)
    : clock_(clock), pool_(pool), process_(process), facts_(collect_facts()) {}

env::Task<Result<env::KvmReport>> Machine::probe_kvm() {
  // This program, also when its file was replaced by a newer one.
  env::SpawnSpec spec{.executable = "/proc/" + std::to_string(getpid()) + "/exe",
                      .arguments = {"internal-kvm-loop"}};
  auto result =
      co_await process_.run(std::move(spec), clock_.monotonic() + kKvmTimeout, kKvmOutputMax);
  if (!result && result.error().code() == Code::kDeadlineExceeded) {
    co_return judge_kvm("", kvm_module());
  }
  BLX_CO_TRY(const env::RunResult run, std::move(result));
  co_return judge_kvm(run.output, kvm_module());
}

env::Task<Result<std::uint64_t>> Machine::measure_tsc_khz() {
  co_return co_await pool_.run([] { return tsc_khz(); });
}

double Machine::load_average() {
  double load = 0;
  return getloadavg(&load, 1) == 1 ? load : 0;
}

env::ProgramUsage Machine::program_usage() { return linux_side::program_usage(); }

Bytes Machine::memory_available() { return memory_line("MemAvailable:"); }

}  // namespace blixard::linux_side

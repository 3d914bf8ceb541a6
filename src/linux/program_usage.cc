#include "linux/program_usage.h"

#include <dirent.h>
#include <malloc.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <memory>
#include <string>

#include "linux/proc_stat.h"

// Where jemalloc or mimalloc answers malloc, these are theirs.
extern "C" {
[[gnu::weak]] int mallctl(const char* name, void* old_value, std::size_t* old_size, void* new_value,
                          std::size_t new_size);
[[gnu::weak]] void mi_process_info(std::size_t* elapsed_ms, std::size_t* user_ms,
                                   std::size_t* system_ms, std::size_t* rss, std::size_t* rss_peak,
                                   std::size_t* commit, std::size_t* commit_peak,
                                   std::size_t* faults);
}

namespace blixard::linux_side {
namespace {

Duration duration_of(const timeval& time) {
  return std::chrono::seconds(time.tv_sec) + std::chrono::microseconds(time.tv_usec);
}

// The number behind `name` in the lines of /proc/self/status; 0: no such line.
std::uint64_t status_line(std::string_view status, std::string_view name) {
  const auto found = status.find(name);
  if (found == std::string_view::npos) return 0;
  const auto digits = status.find_first_of("0123456789", found + name.size());
  if (digits == std::string_view::npos) return 0;
  std::uint64_t value = 0;
  std::from_chars(status.data() + digits, status.data() + status.size(), value);
  return value;
}

std::uint64_t count_open_files() {
  const auto close = [](DIR* directory) { ::closedir(directory); };
  const std::unique_ptr<DIR, decltype(close)> directory(::opendir("/proc/self/fd"), close);
  if (!directory) return 0;
  std::uint64_t entries = 0;
  while (::readdir(directory.get()) != nullptr)
    ++entries;
  return entries < 3 ? 0 : entries - 3;  // ".", ".." and the directory itself
}

std::uint64_t open_files_max() {
  rlimit limit{};
  return ::getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : 0;
}

// When the machine started, from "btime 1700000000", and the ticks since then.
WallTime start_of_program() {
  const auto stat = read_proc_stat(::getpid());
  if (!stat) return {};
  const std::uint64_t boot = status_line(read_kernel_file("/proc/stat"), "\nbtime");
  const auto ticks_a_second = static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK));
  const std::uint64_t ms = boot * 1000 + stat->start_ticks * 1000 / ticks_a_second;
  return WallTime{static_cast<std::int64_t>(ms)};
}

}  // namespace

std::string_view allocator_name() {
  if (mallctl != nullptr) return "jemalloc";
  if (mi_process_info != nullptr) return "mimalloc";
  return "system";
}

Bytes heap_in_use() {
  if (mallctl != nullptr) {
    // Its figures are those of the last epoch.
    std::uint64_t epoch = 1;
    std::size_t size = sizeof epoch;
    (void)mallctl("epoch", &epoch, &size, &epoch, size);
    std::size_t allocated = 0;
    size = sizeof allocated;
    return mallctl("stats.allocated", &allocated, &size, nullptr, 0) == 0 ? Bytes(allocated)
                                                                          : Bytes();
  }
  if (mi_process_info != nullptr) {
    std::array<std::size_t, 8> of{};
    mi_process_info(&of[0], &of[1], &of[2], &of[3], &of[4], &of[5], &of[6], &of[7]);
    return Bytes(of[5]);
  }
  const struct mallinfo2 info = ::mallinfo2();
  return Bytes(info.uordblks + info.hblkhd);
}

env::ProgramUsage program_usage() {
  static const WallTime kStarted = start_of_program();
  env::ProgramUsage usage;
  const std::string status = read_kernel_file("/proc/self/status");
  usage.resident = kib(status_line(status, "\nVmRSS:"));
  usage.virtual_memory = kib(status_line(status, "\nVmSize:"));
  usage.threads = status_line(status, "\nThreads:");
  usage.allocator = allocator_name();
  usage.heap = heap_in_use();
  rusage own{};
  if (::getrusage(RUSAGE_SELF, &own) == 0) {
    usage.cpu_user = duration_of(own.ru_utime);
    usage.cpu_system = duration_of(own.ru_stime);
    usage.faults_minor = static_cast<std::uint64_t>(own.ru_minflt);
    usage.faults_major = static_cast<std::uint64_t>(own.ru_majflt);
  }
  usage.open_files = count_open_files();
  usage.open_files_max = open_files_max();
  usage.started = kStarted;
  if (observe::is_hooked()) usage.allocations = observe::all_allocations();
  usage.locks = observe::lock_figures();
  return usage;
}

}  // namespace blixard::linux_side

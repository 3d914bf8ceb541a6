#include "linux/proc_stat.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <vector>

#include "linux/descriptor.h"

namespace blixard::linux_side {
namespace {

constexpr std::size_t kKernelFileMax = std::size_t{64} << 10;

// Fields as proc(5) counts them; the list begins behind the name.
constexpr std::size_t kFirstField = 3;
constexpr std::size_t kUserTicks = 14;
constexpr std::size_t kSystemTicks = 15;
constexpr std::size_t kStartTicks = 22;

std::optional<std::uint64_t> to_number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::vector<std::string_view> split(std::string_view text) {
  std::vector<std::string_view> words;
  while (true) {
    const auto begin = text.find_first_not_of(" \n");
    if (begin == std::string_view::npos) return words;
    text.remove_prefix(begin);
    const auto end = std::min(text.find_first_of(" \n"), text.size());
    words.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
}

}  // namespace

std::optional<ProcStat> parse_proc_stat(std::string_view text) {
  const auto name_end = text.rfind(')');
  if (name_end == std::string_view::npos) return std::nullopt;
  const auto words = split(text.substr(name_end + 1));
  if (words.size() <= kStartTicks - kFirstField) return std::nullopt;
  const auto user = to_number(words[kUserTicks - kFirstField]);
  const auto system = to_number(words[kSystemTicks - kFirstField]);
  const auto start = to_number(words[kStartTicks - kFirstField]);
  if (!user || !system || !start) return std::nullopt;
  return ProcStat{words[0][0], *user, *system, *start};
}

std::optional<ProcStat> read_proc_stat(std::int64_t pid) {
  return parse_proc_stat(read_kernel_file("/proc/" + std::to_string(pid) + "/stat"));
}

std::optional<env::Child::Usage> read_usage(const env::ProcessId& id) {
  const auto statm = read_kernel_file("/proc/" + std::to_string(id.pid) + "/statm");
  const auto pages = split(statm);
  const auto stat = read_proc_stat(id.pid);  // after statm: proves whose pages those were
  if (!stat || stat->start_ticks != id.start_ticks || stat->state == 'Z' || pages.size() < 2) {
    return std::nullopt;
  }
  const auto resident = to_number(pages[1]);
  if (!resident) return std::nullopt;
  const auto page_bytes = static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  const auto ticks_a_second = static_cast<std::uint64_t>(sysconf(_SC_CLK_TCK));
  const std::uint64_t ticks = stat->user_ticks + stat->system_ticks;
  return env::Child::Usage{
      .resident = Bytes(*resident * page_bytes),
      .cpu = Duration(static_cast<std::int64_t>(ticks * (1'000'000'000 / ticks_a_second)))};
}

std::string read_kernel_file(const std::string& path) {
  const Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::string content;
  std::array<char, 4096> buffer{};
  while (fd && content.size() < kKernelFileMax) {
    const auto count =
        retry_interrupted([&] { return read(fd.get(), buffer.data(), buffer.size()); });
    if (count <= 0) break;
    content.append(buffer.data(), static_cast<std::size_t>(count));
  }
  return content;
}

}  // namespace blixard::linux_side

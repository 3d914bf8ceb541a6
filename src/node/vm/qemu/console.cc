#include "node/vm/qemu/console.h"

#include <algorithm>
#include <array>

#include "base/limits.h"

namespace blixard::qemu {

ConsoleFile::ConsoleFile(env::Disk& disk, const std::string& directory) : disk_(disk) {
  follow(directory);
}

void ConsoleFile::follow(const std::string& directory) {
  newer_ = env::join_path(directory, "console");
  older_ = env::join_path(directory, "console.1");
}

env::Task<Result<void>> ConsoleFile::append(std::string bytes) {
  if (bytes.size() > limits::kConsoleFileBytes) {
    bytes.erase(0, bytes.size() - limits::kConsoleFileBytes);
  }
  BLX_CO_TRY(auto file, co_await disk_.open(newer_, env::OpenMode::kCreate));
  BLX_CO_TRY(std::uint64_t size, co_await file->size());
  if (size + bytes.size() > limits::kConsoleFileBytes) {
    file.reset();
    BLX_CO_TRY(co_await disk_.rename(newer_, older_));
    BLX_CO_TRY(file, co_await disk_.open(newer_, env::OpenMode::kCreate));
    size = 0;
  }
  const std::array<std::string_view, 1> parts{bytes};
  co_return co_await file->write_at(size, parts);
}

env::Task<Result<std::string>> ConsoleFile::tail(std::size_t size_max) {
  BLX_CO_TRY(std::string newer, co_await read_tail(disk_, newer_, size_max));
  if (newer.size() == size_max) co_return newer;
  BLX_CO_TRY(std::string older, co_await read_tail(disk_, older_, size_max - newer.size()));
  co_return older + newer;
}

env::Task<Result<std::string>> read_tail(env::Disk& disk, std::string path, std::size_t size_max) {
  auto file = co_await disk.open(path, env::OpenMode::kRead);
  if (!file && file.error().code() == Code::kNotFound) co_return std::string();
  if (!file) co_return std::unexpected(std::move(file).error());
  BLX_CO_TRY(const std::uint64_t size, co_await (*file)->size());
  const std::uint64_t begin = size > size_max ? size - size_max : 0;
  std::string bytes(static_cast<std::size_t>(size - begin), '\0');
  BLX_CO_TRY(const std::size_t count, co_await (*file)->read_at(begin, bytes));
  bytes.resize(count);
  co_return bytes;
}

std::string last_lines(std::string_view text, std::size_t size_max) {
  while (text.ends_with('\n') || text.ends_with('\r') || text.ends_with(' '))
    text.remove_suffix(1);
  if (text.size() > size_max) {
    text.remove_prefix(text.size() - size_max);
    const std::size_t newline = text.find('\n');
    if (newline != std::string_view::npos) text.remove_prefix(newline + 1);
  }
  std::string lines;
  lines.reserve(text.size());
  for (const char c : text) {
    if (c == '\r') continue;
    const bool shown = (c >= ' ' && c <= '~') || c == '\n' || c == '\t';
    lines += shown ? c : '?';
  }
  return lines;
}

std::string panic_line(std::string_view console) {
  constexpr std::string_view kWords = "Kernel panic - not syncing";
  constexpr std::size_t kLineMax = 200;
  const std::size_t begin = console.rfind(kWords);
  if (begin == std::string_view::npos) return {};
  const std::string_view line = console.substr(begin, console.find_first_of("\r\n", begin) - begin);
  return last_lines(line.substr(0, kLineMax), kLineMax);
}

}  // namespace blixard::qemu

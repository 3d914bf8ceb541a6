#include "node/vm/qemu/process_identity.h"

#include <string>

namespace blixard::qemu {

Uuid process_uuid(const vm::Record& record) {
  return record.standby.is_nil() ? record.uuid : record.standby;
}

bool names_uuid(std::string_view command_line, const Uuid& uuid) {
  bool is_value = false;
  while (!command_line.empty()) {
    const std::size_t end = command_line.find('\0');
    const std::string_view part = command_line.substr(0, end);
    if (is_value) return part == uuid.text();
    is_value = part == "-uuid";
    if (end == std::string_view::npos) break;
    command_line.remove_prefix(end + 1);
  }
  return false;
}

env::Task<bool> was_started_with(env::Disk& disk, env::ProcessId process, Uuid uuid) {
  constexpr std::size_t kCommandLineMax = 16 * 1024;
  const std::string path = "/proc/" + std::to_string(process.pid) + "/cmdline";
  const auto file = co_await disk.open(path, env::OpenMode::kRead);
  if (!file) co_return false;
  std::string text(kCommandLineMax, '\0');
  const auto count = co_await (*file)->read_at(0, text);
  if (!count) co_return false;
  co_return names_uuid(std::string_view(text).substr(0, *count), uuid);
}

}  // namespace blixard::qemu

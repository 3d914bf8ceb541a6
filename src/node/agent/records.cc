#include "node/agent/records.h"

#include <charconv>
#include <optional>
#include <string_view>

#include "base/limits.h"
#include "env/failpoint.h"

namespace blixard::agent {
namespace {

constexpr std::string_view kPrefix = "vm-";
constexpr std::string_view kSuffix = ".json";
constexpr std::string_view kHalfWritten = ".new";  // as env::Disk::replace_file() names it

std::string file_name(VmId id) {
  return std::string(kPrefix) + std::to_string(id.value) + std::string(kSuffix);
}

std::optional<VmId> id_of(std::string_view name) {
  if (!name.starts_with(kPrefix) || !name.ends_with(kSuffix)) return std::nullopt;
  const std::string_view digits =
      name.substr(kPrefix.size(), name.size() - kPrefix.size() - kSuffix.size());
  std::uint64_t number = 0;
  const char* const end = digits.data() + digits.size();
  const auto [parsed, error] = std::from_chars(digits.data(), end, number);
  if (error != std::errc() || parsed != end || file_name(VmId(number)) != name) return std::nullopt;
  return VmId(number);
}

}  // namespace

std::string Records::path_of(VmId id) const { return env::join_path(directory_, file_name(id)); }

env::Task<Result<FoundRecords>> Records::load() {
  BLX_CO_TRY(co_await env_.disk.make_directory(directory_));
  BLX_CO_TRY(const auto entries, co_await env_.disk.list(directory_));
  FoundRecords found;
  for (const env::DirectoryEntry& entry : entries) {
    if (entry.name.ends_with(kHalfWritten)) {
      ignore(co_await env_.disk.remove(env::join_path(directory_, entry.name)),
             "the next record of this VM takes its place");
    } else if (const auto id = id_of(entry.name)) {
      BLX_CO_TRY(co_await load_one(*id, found));
    }
  }
  co_return std::move(found);
}

env::Task<Result<void>> Records::load_one(VmId id, FoundRecords& found) {
  const auto content = co_await env_.disk.read_file(path_of(id), limits::kVmRecordBytes);
  if (!content && content.error().reason() != "file_too_large") {
    co_return std::unexpected(content.error());
  }
  auto record = content ? vm::Record::decode(*content) : std::unexpected(content.error());
  if (record && record->id == id) {
    found.records.emplace(id, std::move(*record));
    co_return Result<void>();
  }
  BLX_LOG(env_.log, kError, "{} is damaged and left out: {}", path_of(id),
          record ? "it is of another VM" : record.error().message());
  found.damaged.insert(id);
  co_return Result<void>();
}

env::Task<Result<void>> Records::save(vm::Record record) {
  BLX_CO_FAILPOINT(env_, "agent::write_record", kResourceExhausted, "disk_full");
  // No guest survives a loss of power, so neither must its record; a start waits for no disk.
  co_return co_await env_.disk.replace_file(path_of(record.id), record.encode(),
                                            env::Survives::kProcess);
}

env::Task<Result<void>> Records::remove(VmId id) {
  const auto removed = co_await env_.disk.remove(path_of(id));
  if (!removed && removed.error().code() == Code::kNotFound) co_return Result<void>();
  co_return removed;
}

}  // namespace blixard::agent

#include "node/agent/records.h"

#include "base/limits.h"

namespace blixard::agent {
namespace {

constexpr std::string_view kSuffix = ".json";

}  // namespace

std::string Records::path_of(VmId id) const {
  return env::join_path(directory_, "vm-" + std::to_string(id.value) + std::string(kSuffix));
}

env::Task<Result<std::map<VmId, vm::Record>>> Records::load() {
  BLX_CO_TRY(co_await env_.disk.make_directory(directory_));
  BLX_CO_TRY(const auto entries, co_await env_.disk.list(directory_));
  std::map<VmId, vm::Record> records;
  for (const env::DirectoryEntry& entry : entries) {
    if (!entry.name.ends_with(kSuffix)) continue;
    const std::string path = env::join_path(directory_, entry.name);
    BLX_CO_TRY(const std::string content, co_await env_.disk.read_file(path, limits::kRecordBytes));
    auto record = vm::Record::decode(content);
    if (!record) {
      BLX_LOG(env_.log, kError, "{} is damaged and left out: {}", path, record.error().message());
      continue;
    }
    const VmId id = record->id;
    records.emplace(id, std::move(*record));
  }
  co_return records;
}

env::Task<Result<void>> Records::save(vm::Record record) {
  co_return co_await env_.disk.replace_file(path_of(record.id), record.encode());
}

env::Task<Result<void>> Records::remove(VmId id) {
  const auto removed = co_await env_.disk.remove(path_of(id));
  if (!removed && removed.error().code() != Code::kNotFound) co_return removed;
  co_return co_await env_.disk.sync_directory(directory_);
}

}  // namespace blixard::agent

#include "node/vm/qemu/run_directory.h"

#include <algorithm>
#include <array>

#include "base/limits.h"
#include "node/vm/label.h"
#include "node/vm/qemu/arguments.h"

namespace blixard::qemu {
namespace {

constexpr std::string_view kRecordFile = "record.json";
constexpr std::string_view kOutputFile = "output";
constexpr std::string_view kVerdictFile = "kvm-trial.json";
constexpr std::string_view kIdentifiedFile = "identified";
constexpr std::string_view kLetRunFile = "let-run";
constexpr std::uint32_t kTraversable = 0711;
constexpr std::uint32_t kPrivate = 0700;
constexpr std::uint32_t kReadable = 0444;
constexpr std::uint32_t kOwners = 0600;

constexpr std::array kOfAProcess{kMonitorSocket,  kOperatorSocket, kAgentSocket,
                                 kIdentifiedFile, kLetRunFile,     kOutputFile};

}  // namespace

RunDirectories::RunDirectories(env::Env env, std::string root)
    : env_(env), root_(std::move(root)), data_directory_(env::parent_path(root_)) {}

std::string RunDirectories::directory(VmId id) const {
  return env::join_path(root_, vm::label(id));
}

std::string RunDirectories::socket(VmId id, std::string_view name) const {
  return env::join_path(directory(id), name);
}

std::string RunDirectories::output(VmId id) const {
  return env::join_path(directory(id), kOutputFile);
}

std::string RunDirectories::verdict() const { return env::join_path(root_, kVerdictFile); }

Result<void> RunDirectories::check_paths(VmId id) const {
  std::size_t longest = 0;
  for (const std::string_view name : {kMonitorSocket, kOperatorSocket, kAgentSocket})
    longest = std::max(longest, name.size());
  const std::string folder = directory(id);
  const std::size_t length = folder.size() + 1 + longest;
  if (length <= limits::kSocketPathBytes) return {};
  return fail(Code::kInvalidArgument, "path_too_long",
              "sockets in " + folder + " would have paths of " + std::to_string(length) +
                  " bytes, the system takes " + std::to_string(limits::kSocketPathBytes) +
                  ": choose a shorter data directory");
}

env::Task<Result<void>> RunDirectories::make(VmId id) {
  BLX_CO_TRY(co_await env_.disk.make_directory(directory(id)));
  const env::MachineFacts& facts = env_.machine.facts();
  if (!facts.is_root || !facts.guest_owner) co_return Result<void>();
  BLX_CO_TRY(co_await env_.disk.set_mode(root_, kTraversable, std::nullopt));
  co_return co_await env_.disk.set_mode(directory(id), kPrivate, facts.guest_owner);
}

env::Task<Result<void>> RunDirectories::clear_for_start(VmId id) {
  BLX_CO_TRY(const auto entries, co_await env_.disk.list(directory(id)));
  for (const env::DirectoryEntry& entry : entries) {
    if (std::ranges::find(kOfAProcess, entry.name) == kOfAProcess.end()) continue;
    BLX_CO_TRY(co_await env_.disk.remove(env::join_path(directory(id), entry.name)));
  }
  co_return Result<void>();
}

env::Task<Result<void>> RunDirectories::remove(VmId id) {
  co_return co_await env_.disk.remove_tree(directory(id));
}

env::Task<std::optional<vm::Record>> RunDirectories::load(VmId id) {
  const std::string path = env::join_path(directory(id), kRecordFile);
  auto bytes = co_await env_.disk.read_file(path, limits::kVmRecordBytes);
  if (!bytes) co_return std::nullopt;
  auto record = vm::Record::decode(*bytes);
  if (!record || record->id != id) co_return std::nullopt;
  co_return *std::move(record);
}

env::Task<Result<void>> RunDirectories::store(const vm::Record& record) {
  const std::string path = env::join_path(directory(record.id), kRecordFile);
  // It finds a process, and none survives a loss of power.
  co_return co_await env_.disk.replace_file(path, record.encode(), env::Survives::kProcess);
}

env::Task<Result<void>> RunDirectories::move_in(VmId from, const vm::Record& record) {
  const std::string path = env::join_path(directory(from), kRecordFile);
  BLX_CO_TRY(co_await env_.disk.replace_file(path, record.encode(), env::Survives::kProcess));
  BLX_CO_TRY(co_await remove(record.id));
  co_return co_await env_.disk.rename(directory(from), directory(record.id));
}

env::Task<Result<std::vector<VmId>>> RunDirectories::list() {
  auto entries = co_await env_.disk.list(root_);
  if (!entries && entries.error().code() == Code::kNotFound) co_return std::vector<VmId>();
  if (!entries) co_return std::unexpected(std::move(entries).error());
  std::vector<VmId> ids;
  for (const env::DirectoryEntry& entry : *entries) {
    const std::optional<VmId> id = vm::parse_label(entry.name);
    if (id && entry.is_directory) ids.push_back(*id);
  }
  co_return ids;
}

std::string RunDirectories::note_path(VmId id, Note note) const {
  return env::join_path(directory(id), note == Note::kLetRun ? kLetRunFile : kIdentifiedFile);
}

env::Task<Result<void>> RunDirectories::note(VmId id, Note note) {
  BLX_CO_TRY(co_await env_.disk.open(note_path(id, note), env::OpenMode::kCreate));
  co_return Result<void>();
}

env::Task<bool> RunDirectories::is_noted(VmId id, Note note) {
  const auto file = co_await env_.disk.open(note_path(id, note), env::OpenMode::kRead);
  co_return file.has_value();
}

bool RunDirectories::is_ours(std::string_view path) const {
  return path.starts_with(env::join_path(data_directory_, ""));
}

std::string RunDirectories::seen_from(VmId id, std::string path) const {
  if (!is_ours(path)) return path;
  const std::size_t prefix = env::join_path(data_directory_, "").size();
  std::string relative = "../";
  for (const char c : directory(id).substr(prefix)) {
    if (c == '/') relative += "../";
  }
  return relative + path.substr(prefix);
}

env::Task<Result<void>> RunDirectories::expose(std::string path) {
  return open_to_guests(std::move(path), kReadable, std::nullopt);
}

env::Task<Result<void>> RunDirectories::lend(std::string path) {
  return open_to_guests(std::move(path), kOwners, env_.machine.facts().guest_owner);
}

env::Task<Result<void>> RunDirectories::open_to_guests(std::string path, std::uint32_t mode,
                                                       std::optional<env::Owner> owner) {
  const auto file = co_await env_.disk.open(path, env::OpenMode::kRead);
  if (!file && file.error().code() == Code::kNotFound) {
    co_return fail(Code::kNotFound, "image_file_missing", path + " is not there");
  }
  if (!file) co_return std::unexpected(file.error());
  const env::MachineFacts& facts = env_.machine.facts();
  if (!is_ours(path) || !facts.is_root || !facts.guest_owner) co_return Result<void>();
  BLX_CO_TRY(co_await env_.disk.set_mode(path, mode, owner));
  std::string folder(env::parent_path(path));
  while (folder.size() >= data_directory_.size()) {
    BLX_CO_TRY(co_await env_.disk.set_mode(folder, kTraversable, std::nullopt));
    folder = env::parent_path(folder);
  }
  co_return Result<void>();
}

}  // namespace blixard::qemu

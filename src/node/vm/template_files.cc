#include "node/vm/template_files.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>

namespace blixard::vm {
namespace {

constexpr std::size_t kFilesMax = 8;
constexpr std::size_t kNameMax = 32;
constexpr std::uint64_t kPieceBytes = 1 << 20;

std::unexpected<Error> damaged(const std::string& name, const char* what) {
  return fail(Code::kDataLoss, "template_damaged", name + " " + what);
}

bool is_file_name(std::string_view name) {
  const auto is_allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-';
  };
  return !name.empty() && name.size() <= kNameMax && !name.starts_with('.') &&
         std::ranges::all_of(name, is_allowed);
}

Result<void> check_names(const std::string& directory, const std::vector<std::string>& names) {
  const auto invalid = [](const char* what) {
    return fail(Code::kInvalidArgument, "template_invalid", what);
  };
  if (!directory.starts_with('/')) return invalid("its folder's path is not absolute");
  if (names.empty() || names.size() > kFilesMax) return invalid("a template has 1 to 8 files");
  if (!std::ranges::all_of(names, is_file_name)) {
    return invalid("a file's name must be [a-z0-9.-]{1,32}, without a dot in front");
  }
  std::vector<std::string> sorted = names;
  std::ranges::sort(sorted);
  if (std::ranges::adjacent_find(sorted) != sorted.end()) return invalid("a file is named twice");
  return {};
}

Result<void> check_names(const Template& measured) {
  std::vector<std::string> names;
  names.reserve(measured.files.size());
  for (const TemplateFile& file : measured.files)
    names.push_back(file.name);
  return check_names(measured.directory, names);
}

env::Task<Result<std::unique_ptr<env::File>>> open_file(env::Disk& disk, std::string directory,
                                                        std::string name) {
  auto file = co_await disk.open(env::join_path(directory, name), env::OpenMode::kRead);
  if (!file && file.error().code() == Code::kNotFound) co_return damaged(name, "is missing");
  co_return file;
}

env::Task<Result<TemplateFile>> measure(env::File& file, std::string name) {
  BLX_CO_TRY(const std::uint64_t size, co_await file.size());
  std::string buffer(std::min(size, kPieceBytes), '\0');
  image::Hasher hasher;
  for (std::uint64_t offset = 0; offset < size;) {
    BLX_CO_TRY(const std::size_t count, co_await file.read_at(offset, buffer));
    if (count == 0) co_return damaged(name, "became shorter while it was read");
    const std::uint64_t wanted = std::min<std::uint64_t>(count, size - offset);
    hasher.update(std::string_view(buffer).substr(0, wanted));
    offset += wanted;
  }
  co_return TemplateFile{std::move(name), Bytes(size), hasher.finish()};
}

}  // namespace

env::Task<Result<Template>> measure_template(env::Disk& disk, std::string key,
                                             std::string directory,
                                             std::vector<std::string> names) {
  BLX_CO_TRY(check_names(directory, names));
  Template measured{.key = std::move(key), .directory = std::move(directory), .files = {}};
  for (const std::string& name : names) {
    BLX_CO_TRY(const auto file, co_await open_file(disk, measured.directory, name));
    BLX_CO_TRY(TemplateFile about, co_await measure(*file, name));
    measured.files.push_back(std::move(about));
  }
  co_return measured;
}

env::Task<Result<void>> check_template_sizes(env::Disk& disk, Template measured) {
  BLX_CO_TRY(check_names(measured));
  for (const TemplateFile& wanted : measured.files) {
    BLX_CO_TRY(const auto file, co_await open_file(disk, measured.directory, wanted.name));
    BLX_CO_TRY(const std::uint64_t size, co_await file->size());
    if (Bytes(size) != wanted.size) co_return damaged(wanted.name, "has another size");
  }
  co_return Result<void>();
}

env::Task<Result<void>> check_template(env::Disk& disk, Template measured) {
  // All sizes first: that is quick, and most damage shows there.
  BLX_CO_TRY(co_await check_template_sizes(disk, measured));
  for (const TemplateFile& wanted : measured.files) {
    BLX_CO_TRY(const auto file, co_await open_file(disk, measured.directory, wanted.name));
    BLX_CO_TRY(const TemplateFile found, co_await measure(*file, wanted.name));
    if (found.size != wanted.size) co_return damaged(wanted.name, "has another size");
    if (found.digest != wanted.digest) co_return damaged(wanted.name, "has another digest");
  }
  co_return Result<void>();
}

}  // namespace blixard::vm

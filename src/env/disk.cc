#include "env/disk.h"

#include <array>

namespace blixard::env {

std::string join_path(std::string_view directory, std::string_view name) {
  std::string path(directory);
  if (!path.ends_with('/')) path += '/';
  path += name;
  return path;
}

std::string_view parent_path(std::string_view path) {
  const auto slash = path.rfind('/');
  if (slash == std::string_view::npos) return ".";
  return slash == 0 ? path.substr(0, 1) : path.substr(0, slash);
}

std::string_view last_part(std::string_view path) {
  const auto slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

Task<Result<std::string>> Disk::read_file(std::string path, std::size_t size_max) {
  BLX_CO_TRY(auto file, co_await open(path, OpenMode::kRead));
  BLX_CO_TRY(const std::uint64_t size, co_await file->size());
  if (size > size_max) {
    co_return fail(Code::kResourceExhausted, "file_too_large",
                   path + " has " + std::to_string(size) + " bytes, at most " +
                       std::to_string(size_max) + " are read");
  }
  std::string content(size, '\0');
  BLX_CO_TRY(const std::size_t count, co_await file->read_at(0, content));
  content.resize(count);
  co_return content;
}

Task<Result<void>> Disk::replace_file(std::string path, std::string content, Survives survives) {
  const std::string beside = path + ".new";
  {
    BLX_CO_TRY(auto file, co_await open(beside, OpenMode::kCreate));
    BLX_CO_TRY(co_await file->resize(0));
    const std::array<std::string_view, 1> parts{content};
    BLX_CO_TRY(co_await file->write_at(0, parts));
    if (survives == Survives::kPowerLoss) BLX_CO_TRY(co_await file->sync());
  }
  BLX_CO_TRY(co_await rename(beside, path));
  if (survives != Survives::kPowerLoss) co_return Result<void>();
  co_return co_await sync_directory(std::string(parent_path(path)));
}

}  // namespace blixard::env

#include "node/log/snapshot_files.h"

#include <algorithm>
#include <array>

#include "base/limits.h"
#include "node/log/segment.h"

namespace blixard::log {
namespace {

constexpr std::size_t kWriteBytes = std::size_t{1} << 20;  // at once, so that appends get between

Error damaged(const std::string& path, const char* what) {
  return {Code::kDataLoss, "snapshot_damaged",
          path + ": " + what +
              "; restore the data directory from a backup, or remove it and let "
              "the node join again as a new member"};
}

}  // namespace

env::Task<Result<SnapshotFiles::Loaded>> SnapshotFiles::load(std::string path) {
  auto bytes = co_await disk_.read_file(path, limits::kSnapshotBytes + kSnapshotHeaderBytes);
  if (!bytes) {
    if (bytes.error().reason() == "file_too_large") {
      co_return std::unexpected(damaged(path, "larger than a snapshot can be"));
    }
    co_return std::unexpected(std::move(bytes).error());
  }
  const auto header = decode_snapshot_header(*bytes);
  if (!header) {
    if (header.error().code() == Code::kDataLoss) {
      co_return std::unexpected(damaged(path, "its header is damaged"));
    }
    co_return fail(header.error().code(), "log_too_new",
                   path + ": " + std::string(header.error().detail()));
  }
  Loaded loaded{.meta = header->meta, .content = bytes->substr(kSnapshotHeaderBytes)};
  if (loaded.content.size() != header->content_bytes ||
      content_checksum(loaded.content) != header->content_checksum) {
    co_return std::unexpected(damaged(path, "its content is damaged"));
  }
  co_return loaded;
}

env::Task<Result<SnapshotFiles::Found>> SnapshotFiles::scan() {
  BLX_CO_TRY(const auto files, co_await disk_.list(directory_));
  std::vector<LogIndex> indices;
  for (const auto& file : files)
    if (const auto index = parse_snapshot_name(file.name)) indices.push_back(*index);
  std::ranges::sort(indices, std::greater{});

  Found found;
  for (const LogIndex index : indices) {
    const std::string path = env::join_path(directory_, snapshot_name(index));
    auto loaded = co_await load(path);
    if (loaded && loaded->meta.index != index) {
      loaded = std::unexpected(damaged(path, "it is another snapshot than its name says"));
    }
    if (loaded) {
      found.sound.push_back(loaded->meta);
    } else if (loaded.error().code() != Code::kDataLoss) {
      co_return std::unexpected(std::move(loaded).error());
    } else if (index == indices.front()) {
      found.damage = std::move(loaded).error();
    }
  }
  co_return found;
}

env::Task<Result<void>> SnapshotFiles::write(SnapshotMeta meta, std::string content) {
  const std::string path = env::join_path(directory_, snapshot_name(meta.index));
  const std::string beside = path + std::string(kUnfinished);
  {
    BLX_CO_TRY(auto file, co_await disk_.open(beside, env::OpenMode::kCreate));
    BLX_CO_TRY(co_await file->resize(0));
    const std::string header =
        encode_snapshot_header({.meta = meta,
                                .content_bytes = content.size(),
                                .content_checksum = content_checksum(content)});
    const std::array<std::string_view, 1> first{header};
    BLX_CO_TRY(co_await file->write_at(0, first));
    for (std::size_t at = 0; at < content.size(); at += kWriteBytes) {
      const std::array<std::string_view, 1> part{std::string_view(content).substr(at, kWriteBytes)};
      BLX_CO_TRY(co_await file->write_at(kSnapshotHeaderBytes + at, part));
    }
    BLX_CO_TRY(co_await file->sync());
  }
  BLX_CO_TRY(co_await disk_.rename(beside, path));
  co_return co_await disk_.sync_directory(directory_);
}

env::Task<Result<std::string>> SnapshotFiles::read(SnapshotMeta meta) {
  const std::string path = env::join_path(directory_, snapshot_name(meta.index));
  BLX_CO_TRY(auto loaded, co_await load(path));
  co_return std::move(loaded.content);
}

env::Task<Result<void>> SnapshotFiles::remove_others(SnapshotMeta kept) {
  BLX_CO_TRY(const auto files, co_await disk_.list(directory_));
  for (const auto& file : files) {
    const auto index = parse_snapshot_name(file.name);
    if (!index || *index == kept.index) continue;
    BLX_CO_TRY(co_await disk_.remove(env::join_path(directory_, file.name)));
  }
  co_return Result<void>();
}

}  // namespace blixard::log

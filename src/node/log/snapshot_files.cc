#include "node/log/snapshot_files.h"

#include <algorithm>
#include <array>
#include <functional>
#include <utility>

#include "base/limits.h"
#include "node/log/advice.h"
#include "node/log/segment.h"

namespace blixard::log {
namespace {

constexpr std::size_t kCheckBytes = std::size_t{1} << 20;  // read at once

std::unexpected<Error> damaged(const std::string& path, const char* what) {
  return fail(
      Code::kDataLoss, "snapshot_damaged",
      path + ": " + what + ". In a cluster, remove the node on another one with " + kEnterAgain);
}

}  // namespace

env::Task<Result<void>> UnfinishedSnapshot::write(std::string_view piece) {
  const std::array<std::string_view, 1> parts{piece};
  BLX_CO_TRY(co_await file_->write_at(kSnapshotHeaderBytes + bytes_, parts));
  checksum_.add(piece);
  bytes_ += piece.size();
  co_return Result<void>();
}

env::Task<Result<void>> UnfinishedSnapshot::finish() {
  const std::string header = encode_snapshot_header(
      {.meta = meta_, .content_bytes = bytes_, .content_checksum = checksum_.value()});
  const std::array<std::string_view, 1> parts{header};
  co_return co_await file_->write_and_sync(0, parts);
}

env::Task<Result<std::string>> OpenSnapshot::read(std::size_t bytes_max) {
  const std::uint64_t left = header_.content_bytes - position_;
  std::string piece(std::min<std::uint64_t>(left, bytes_max), '\0');
  if (!piece.empty()) {
    BLX_CO_TRY(const std::size_t count,
               co_await file_->read_at(kSnapshotHeaderBytes + position_, piece));
    if (count < piece.size()) co_return damaged(path_, "its end is missing");
    checksum_.add(piece);
    position_ += piece.size();
  }
  if (position_ == header_.content_bytes && checksum_.value() != header_.content_checksum) {
    co_return damaged(path_, "its content is damaged");
  }
  co_return piece;
}

env::Task<Result<std::unique_ptr<OpenSnapshot>>> SnapshotFiles::open(LogIndex index) {
  const std::string path = env::join_path(directory_, snapshot_name(index));
  BLX_CO_TRY(auto file, co_await disk_.open(path, env::OpenMode::kRead));
  std::string bytes(kSnapshotHeaderBytes, '\0');
  BLX_CO_TRY(const std::size_t count, co_await file->read_at(0, bytes));
  bytes.resize(count);
  const auto header = decode_snapshot_header(bytes);
  if (!header) {
    if (header.error().code() == Code::kDataLoss) co_return damaged(path, "its header is damaged");
    co_return fail(header.error().code(), "log_too_new",
                   path + ": " + std::string(header.error().detail()));
  }
  if (header->meta.index != index) {
    co_return damaged(path, "it is another snapshot than its name says");
  }
  BLX_CO_TRY(const std::uint64_t size, co_await file->size());
  if (size < kSnapshotHeaderBytes || size - kSnapshotHeaderBytes != header->content_bytes ||
      header->content_bytes > limits::kSnapshotBytes) {
    co_return damaged(path, "the file has another size than its header says");
  }
  co_return std::make_unique<OpenSnapshot>(path, std::move(file), *header);
}

env::Task<Result<SnapshotMeta>> SnapshotFiles::check(LogIndex index) {
  BLX_CO_TRY(const auto snapshot, co_await open(index));
  for (bool more = true; more;) {
    BLX_CO_TRY(const std::string piece, co_await snapshot->read(kCheckBytes));
    more = !piece.empty();
  }
  co_return snapshot->header().meta;
}

env::Task<Result<SnapshotFiles::Found>> SnapshotFiles::scan() {
  BLX_CO_TRY(const auto files, co_await disk_.list(directory_));
  std::vector<LogIndex> indices;
  for (const auto& file : files)
    if (const auto index = parse_snapshot_name(file.name)) indices.push_back(*index);
  std::ranges::sort(indices, std::greater{});

  Found found;
  for (const LogIndex index : indices) {
    auto meta = co_await check(index);
    if (meta) {
      found.sound.push_back(*meta);
    } else if (meta.error().code() != Code::kDataLoss) {
      co_return std::unexpected(std::move(meta).error());
    } else if (index == indices.front()) {
      found.damage = std::move(meta).error();
    }
  }
  co_return found;
}

env::Task<Result<std::unique_ptr<UnfinishedSnapshot>>> SnapshotFiles::begin(SnapshotMeta meta) {
  // Two of the same index may be under way, ours and the leader's.
  std::string path = env::join_path(directory_, snapshot_name(meta.index)) + "." +
                     std::to_string(++begun_) + std::string(kUnfinished);
  BLX_CO_TRY(auto file, co_await disk_.open(path, env::OpenMode::kCreate));
  BLX_CO_TRY(co_await file->resize(0));
  co_return std::make_unique<UnfinishedSnapshot>(meta, std::move(path), std::move(file));
}

env::Task<Result<void>> SnapshotFiles::publish(SnapshotMeta meta, std::string unfinished_path) {
  BLX_CO_TRY(co_await disk_.rename(std::move(unfinished_path),
                                   env::join_path(directory_, snapshot_name(meta.index))));
  co_return co_await disk_.sync_directory(directory_);
}

env::Task<Result<void>> SnapshotFiles::remove_older(SnapshotMeta kept) {
  BLX_CO_TRY(const auto files, co_await disk_.list(directory_));
  for (const auto& file : files) {
    const auto index = parse_snapshot_name(file.name);
    if (!index || *index >= kept.index) continue;
    BLX_CO_TRY(co_await disk_.remove(env::join_path(directory_, file.name)));
  }
  co_return Result<void>();
}

}  // namespace blixard::log

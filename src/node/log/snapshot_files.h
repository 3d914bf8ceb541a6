#pragma once

// Snapshot files: a header and the content, each with a checksum. One appears under its name only
// when it is durable; the one before it stays until then. Written and read in pieces, so that none
// is in memory as a whole.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/payload.h"
#include "base/result.h"
#include "core/wire/checksum.h"
#include "env/env.h"
#include "env/task.h"
#include "node/log/format.h"

namespace blixard::log {

// One that is being written, under another name.
class UnfinishedSnapshot {
 public:
  UnfinishedSnapshot(SnapshotMeta meta, std::string path, std::unique_ptr<env::File> file)
      : meta_(meta), path_(std::move(path)), file_(std::move(file)) {}

  [[nodiscard]] SnapshotMeta meta() const { return meta_; }
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
  [[nodiscard]] std::uint64_t checksum() const { return checksum_.value(); }

  // One at a time; the bytes live until it returns.
  env::Task<Result<void>> write(std::string_view piece);
  // Writes the header and syncs.
  env::Task<Result<void>> finish();

 private:
  SnapshotMeta meta_;
  std::string path_;
  std::unique_ptr<env::File> file_;
  std::uint64_t bytes_ = 0;
  wire::RunningChecksum checksum_;
};

// One that is being read. What read() gave is known to be right only when all of it was read.
class OpenSnapshot {
 public:
  OpenSnapshot(std::string path, std::unique_ptr<env::File> file, SnapshotHeader header)
      : path_(std::move(path)), file_(std::move(file)), header_(header) {}

  [[nodiscard]] const SnapshotHeader& header() const { return header_; }
  // The next piece; an empty one is the end. Errors: kDataLoss "snapshot_damaged".
  env::Task<Result<std::string>> read(std::size_t bytes_max);

 private:
  std::string path_;
  std::unique_ptr<env::File> file_;
  SnapshotHeader header_;
  std::uint64_t position_ = 0;
  wire::RunningChecksum checksum_;
};

class SnapshotFiles {
 public:
  SnapshotFiles(env::Disk& disk, std::string directory)
      : disk_(disk), directory_(std::move(directory)) {}

  struct Found {
    std::vector<SnapshotMeta> sound;  // newest first
    std::optional<Error> damage;      // of the newest of all, when that one is not sound
  };
  // Reads and checks all of them. Errors: kFailedPrecondition "log_too_new"; disk errors.
  env::Task<Result<Found>> scan();

  env::Task<Result<std::unique_ptr<UnfinishedSnapshot>>> begin(SnapshotMeta meta);
  // Gives a finished one its name, durably.
  env::Task<Result<void>> publish(SnapshotMeta meta, std::string unfinished_path);
  env::Task<Result<void>> remove_unfinished(std::string path) { return disk_.remove(path); }

  // Errors: kNotFound; kDataLoss "snapshot_damaged" with the file; kFailedPrecondition
  // "log_too_new".
  env::Task<Result<std::unique_ptr<OpenSnapshot>>> open(LogIndex index);
  env::Task<Result<void>> remove_older(SnapshotMeta kept);

 private:
  env::Task<Result<SnapshotMeta>> check(LogIndex index);

  env::Disk& disk_;
  std::string directory_;
  std::uint64_t begun_ = 0;
};

}  // namespace blixard::log

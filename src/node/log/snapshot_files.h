#pragma once

// Snapshot files: a header and the content, each with a checksum. One appears under its name only
// when it is durable; the one before it stays until then.

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "env/env.h"
#include "env/task.h"
#include "node/log/format.h"

namespace blixard::log {

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

  env::Task<Result<void>> write(SnapshotMeta meta, std::string content);
  // Errors: kDataLoss "snapshot_damaged" with the file.
  env::Task<Result<std::string>> read(SnapshotMeta meta);
  env::Task<Result<void>> remove_others(SnapshotMeta kept);

 private:
  struct Loaded {
    SnapshotMeta meta;
    std::string content;
  };
  env::Task<Result<Loaded>> load(std::string path);

  env::Disk& disk_;
  std::string directory_;
};

}  // namespace blixard::log

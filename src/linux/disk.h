#pragma once

// env::Disk on POSIX files.
//
// What can wait for a device runs on the pool; inline are only reads that the page cache can
// answer (RWF_NOWAIT), fstat of an open file, and close. Operations of one file are ordered by
// their caller's awaits. Cancellation does not cut an operation short: it ends by itself and
// gives its real result.

#include "env/disk.h"
#include "linux/pool.h"

namespace blixard::linux_side {

class Disk final : public env::Disk {
 public:
  explicit Disk(Pool& pool) : pool_(pool) {}

  env::Task<Result<std::unique_ptr<env::File>>> open(std::string path, env::OpenMode mode) override;
  env::Task<Result<void>> make_directory(std::string path) override;
  env::Task<Result<std::vector<env::DirectoryEntry>>> list(std::string path) override;
  env::Task<Result<void>> rename(std::string from, std::string to) override;
  env::Task<Result<void>> remove(std::string path) override;
  env::Task<Result<void>> remove_tree(std::string path) override;
  env::Task<Result<void>> sync_directory(std::string path) override;
  env::Task<Result<env::DiskSpace>> space(std::string path) override;
  env::Task<Result<void>> set_mode(std::string path, std::uint32_t mode,
                                   std::optional<env::Owner> owner) override;
  env::Task<Result<std::unique_ptr<env::DirectoryLock>>> lock(std::string directory) override;

 private:
  Pool& pool_;
};

}  // namespace blixard::linux_side

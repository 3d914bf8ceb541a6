#include "linux/disk.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>

#include <algorithm>
#include <cstdio>

#include "linux/descriptor.h"
#include "linux/disk_calls.h"
#include "linux/system_error.h"

namespace blixard::linux_side {
namespace {

// Longer reads from the page cache would hold up the loop for too long by their copying.
constexpr std::size_t kInlineReadMax = std::size_t{64} << 10;

class File final : public env::File {
 public:
  File(Pool& pool, Fd fd, std::string path)
      : pool_(pool), fd_(std::move(fd)), path_(std::move(path)) {}

  env::Task<Result<std::size_t>> read_at(std::uint64_t offset, std::span<char> buffer) override {
    const std::size_t cached = read_cached(offset, buffer);
    if (cached == buffer.size()) co_return cached;
    BLX_CO_TRY(const std::size_t rest, co_await pool_.run([&] {
      return read_fully(fd_.get(), path_, offset + cached, buffer.subspan(cached));
    }));
    co_return cached + rest;
  }

  env::Task<Result<void>> write_at(std::uint64_t offset,
                                   std::span<const std::string_view> parts) override {
    co_return co_await changing([&] { return write_fully(fd_.get(), path_, offset, parts); });
  }

  env::Task<Result<void>> sync() override {
    const std::uint64_t covered = changes_;
    BLX_CO_TRY(co_await pool_.run(
        [&] { return checked("sync", retry_interrupted([&] { return fdatasync(fd_.get()); })); }));
    synced_ = covered;
    co_return Result<void>();
  }

  // A log does nothing else to its file. The kernel then has one call for both, which also leaves
  // alone what other writers to the disk wait for.
  env::Task<Result<void>> write_and_sync(std::uint64_t offset,
                                         std::span<const std::string_view> parts) override {
    const std::uint64_t covered = changes_;
    const bool nothing_else = synced_ == covered;
    Result<void> written = co_await pool_.run([&] {
      return nothing_else ? write_through(fd_.get(), path_, offset, parts)
                          : write_and_sync_all(fd_.get(), path_, offset, parts);
    });
    if (written) {
      synced_ = covered;
    } else {
      ++changes_;
    }
    co_return written;
  }

  env::Task<Result<void>> resize(std::uint64_t size) override {
    co_return co_await changing([&] {
      return checked("resize", retry_interrupted(
                                   [&] { return ftruncate(fd_.get(), static_cast<off_t>(size)); }));
    });
  }

  env::Task<Result<void>> preallocate(std::uint64_t size) override {
    if (size == 0) co_return Result<void>();
    co_return co_await changing([&] { return fill_with_zeros(fd_.get(), path_, size); });
  }

  env::Task<Result<std::uint64_t>> size() override {
    struct stat status{};
    if (fstat(fd_.get(), &status) != 0) co_return file_failure("stat", path_);
    co_return static_cast<std::uint64_t>(status.st_size);
  }

 private:
  // A sync that begins before its end does not cover it.
  template <class F>
  env::Task<Result<void>> changing(F work) {
    ++changes_;
    Result<void> changed = co_await pool_.run(std::move(work));
    ++changes_;
    co_return changed;
  }

  // Whatever of the beginning can be had without waiting; zero where the file system has no way
  // to ask.
  std::size_t read_cached(std::uint64_t offset, std::span<char> buffer) const {
    if (buffer.empty() || buffer.size() > kInlineReadMax) return 0;
    const iovec vector{buffer.data(), buffer.size()};
    const auto count = preadv2(fd_.get(), &vector, 1, static_cast<off_t>(offset), RWF_NOWAIT);
    return count > 0 ? static_cast<std::size_t>(count) : 0;
  }

  Result<void> checked(const char* operation, int result) const {
    if (result != 0) return file_failure(operation, path_);
    return {};
  }

  Pool& pool_;
  Fd fd_;
  std::string path_;
  // An earlier process may have left something unsynced in any file, so a new one counts as
  // changed.
  std::uint64_t changes_ = 1;
  std::uint64_t synced_ = 0;
};

class DirectoryLock final : public env::DirectoryLock {
 public:
  explicit DirectoryLock(Fd fd) : fd_(std::move(fd)) {}

 private:
  Fd fd_;
};

}  // namespace

env::Task<Result<std::unique_ptr<env::File>>> Disk::open(std::string path, env::OpenMode mode) {
  BLX_CO_TRY(Fd fd, co_await pool_.run([&] { return open_file(path, mode); }));
  co_return std::make_unique<File>(pool_, std::move(fd), std::move(path));
}

env::Task<Result<void>> Disk::make_directory(std::string path) {
  co_return co_await pool_.run([&] { return make_directories(path); });
}

env::Task<Result<std::vector<env::DirectoryEntry>>> Disk::list(std::string path) {
  co_return co_await pool_.run([&] { return list_directory(path); });
}

env::Task<Result<void>> Disk::rename(std::string from, std::string to) {
  co_return co_await pool_.run([&]() -> Result<void> {
    if (::rename(from.c_str(), to.c_str()) != 0) return file_failure("rename " + from + " to", to);
    return {};
  });
}

env::Task<Result<void>> Disk::remove(std::string path) {
  co_return co_await pool_.run([&] { return remove_path(path); });
}

env::Task<Result<void>> Disk::remove_tree(std::string path) {
  co_return co_await pool_.run([&] { return remove_directory_tree(path); });
}

env::Task<Result<void>> Disk::sync_directory(std::string path) {
  co_return co_await pool_.run([&] { return sync_directory_entries(path); });
}

env::Task<Result<env::DiskSpace>> Disk::space(std::string path) {
  co_return co_await pool_.run([&]() -> Result<env::DiskSpace> {
    struct statvfs status{};
    if (retry_interrupted([&] { return statvfs(path.c_str(), &status); }) != 0) {
      return file_failure("measure", path);
    }
    return env::DiskSpace{.total = Bytes(status.f_blocks * status.f_frsize),
                          .available = Bytes(status.f_bavail * status.f_frsize)};
  });
}

env::Task<Result<void>> Disk::set_mode(std::string path, std::uint32_t mode,
                                       std::optional<env::Owner> owner) {
  co_return co_await pool_.run([&] { return set_mode_and_owner(path, mode, owner); });
}

env::Task<Result<std::unique_ptr<env::DirectoryLock>>> Disk::lock(std::string directory) {
  BLX_CO_TRY(Fd fd, co_await pool_.run([&] { return lock_directory(directory); }));
  co_return std::make_unique<DirectoryLock>(std::move(fd));
}

}  // namespace blixard::linux_side

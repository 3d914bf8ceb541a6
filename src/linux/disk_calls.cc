#include "linux/disk_calls.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <memory>

#include "base/limits.h"
#include "linux/system_error.h"

namespace blixard::linux_side {
namespace {

constexpr std::size_t kZerosAtOnce = std::size_t{1} << 20;

struct CloseDirectory {
  void operator()(DIR* directory) const { closedir(directory); }
};
using Directory = std::unique_ptr<DIR, CloseDirectory>;

int open_flags(env::OpenMode mode) {
  switch (mode) {
    case env::OpenMode::kRead:
      return O_RDONLY;
    case env::OpenMode::kReadWrite:
      return O_RDWR;
    case env::OpenMode::kCreate:
      return O_RDWR | O_CREAT;
    case env::OpenMode::kCreateNew:
      return O_RDWR | O_CREAT | O_EXCL;
  }
  return O_RDONLY;
}

bool is_dots(std::string_view name) { return name == "." || name == ".."; }

Result<Directory> open_directory_at(int parent, const char* name, std::string_view path,
                                    int more_flags) {
  Fd fd(retry_interrupted(
      [&] { return openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | more_flags); }));
  if (!fd) return file_failure("open", path);
  Directory directory(fdopendir(fd.get()));
  if (!directory) return file_failure("open", path);
  (void)fd.release();  // the stream closes it
  return directory;
}

// Everything in `directory`. Never follows a symbolic link.
Result<void> empty_directory(DIR* directory, const std::string& path, std::size_t depth) {
  if (depth > limits::kDirectoryDepth) {
    return fail(Code::kFailedPrecondition, "directory_too_deep", path);
  }
  const int fd = dirfd(directory);
  errno = 0;
  while (const dirent* entry = readdir(directory)) {
    const std::string name = entry->d_name;
    if (is_dots(name)) continue;
    const std::string inner = env::join_path(path, name);
    if (unlinkat(fd, name.c_str(), 0) == 0 || errno == ENOENT) continue;
    if (errno != EISDIR && errno != EPERM) return file_failure("remove", inner);
    {
      BLX_TRY(const Directory below, open_directory_at(fd, name.c_str(), inner, O_NOFOLLOW));
      BLX_TRY(empty_directory(below.get(), inner, depth + 1));
    }
    if (unlinkat(fd, name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT) {
      return file_failure("remove", inner);
    }
    errno = 0;
  }
  if (errno != 0 && errno != ENOENT) return file_failure("list", path);
  return {};
}

}  // namespace

std::unexpected<Error> file_failure(std::string_view operation, std::string_view path) {
  return std::unexpected(file_error(errno, operation, path));
}

Result<Fd> open_file(const std::string& path, env::OpenMode mode) {
  // O_NONBLOCK: a named pipe in the place of a file must not hold up the thread.
  const int flags = open_flags(mode) | O_CLOEXEC | O_NONBLOCK;
  Fd fd(retry_interrupted([&] { return open(path.c_str(), flags, 0600); }));
  if (!fd) return file_failure("open", path);
  struct stat status{};
  if (fstat(fd.get(), &status) != 0) return file_failure("stat", path);
  if (!S_ISREG(status.st_mode)) {
    return fail(Code::kInvalidArgument, "path_invalid", path + " is not a regular file");
  }
  return fd;
}

Result<std::size_t> read_fully(int fd, const std::string& path, std::uint64_t offset,
                               std::span<char> buffer) {
  std::size_t total = 0;
  while (total < buffer.size()) {
    const auto count = retry_interrupted([&] {
      return pread(fd, buffer.data() + total, buffer.size() - total,
                   static_cast<off_t>(offset + total));
    });
    if (count < 0) return file_failure("read", path);
    if (count == 0) break;
    total += static_cast<std::size_t>(count);
  }
  return total;
}

namespace {

Result<void> write_parts(int fd, const std::string& path, std::uint64_t offset,
                         std::span<const std::string_view> parts, int flags) {
  constexpr std::size_t kVectors = 64;
  std::size_t part = 0;
  std::size_t part_done = 0;
  while (part < parts.size()) {
    std::array<iovec, kVectors> vectors{};
    std::size_t used = 0;
    for (std::size_t i = part; i < parts.size() && used < kVectors; ++i) {
      const auto rest = parts[i].substr(i == part ? part_done : 0);
      // The kernel only reads from it; iovec has one type for both directions.
      vectors[used++] = {const_cast<char*>(rest.data()), rest.size()};
    }
    const auto count = retry_interrupted([&] {
      return pwritev2(fd, vectors.data(), static_cast<int>(used), static_cast<off_t>(offset),
                      flags);
    });
    if (count < 0) return file_failure("write", path);
    std::size_t left = static_cast<std::size_t>(count);
    bool moved = left > 0;
    offset += left;
    while (part < parts.size() && left >= parts[part].size() - part_done) {
      left -= parts[part].size() - part_done;
      part_done = 0;
      ++part;
      moved = true;
    }
    part_done += left;
    if (!moved) return fail(Code::kUnavailable, "io_error", "write " + path + " wrote nothing");
  }
  return {};
}

}  // namespace

Result<void> write_fully(int fd, const std::string& path, std::uint64_t offset,
                         std::span<const std::string_view> parts) {
  return write_parts(fd, path, offset, parts, 0);
}

Result<void> write_through(int fd, const std::string& path, std::uint64_t offset,
                           std::span<const std::string_view> parts) {
  const auto written = write_parts(fd, path, offset, parts, RWF_DSYNC);
  if (written || written.error().code() != Code::kResourceExhausted) return written;
  // Was it the write, or the sync behind it, that found no room? The write alone tells.
  BLX_TRY(write_fully(fd, path, offset, parts));
  return fail(Code::kUnavailable, "io_error", std::string(written.error().detail()));
}

Result<void> write_and_sync_all(int fd, const std::string& path, std::uint64_t offset,
                                std::span<const std::string_view> parts) {
  BLX_TRY(write_fully(fd, path, offset, parts));
  if (retry_interrupted([&] { return fdatasync(fd); }) == 0) return {};
  // Not the errno's code: "disk_full" would say that nothing was synced.
  const Error error = file_error(errno, "sync", path);
  return fail(Code::kUnavailable, "io_error", std::string(error.detail()));
}

Result<void> fill_with_zeros(int fd, const std::string& path, std::uint64_t size) {
  struct stat status{};
  if (fstat(fd, &status) != 0) return file_failure("stat", path);
  const auto end = static_cast<std::uint64_t>(status.st_size);
  if (end >= size) return {};
  // In one go first: where there is no room for all, nothing is written, and the blocks lie
  // together.
  int error = EINTR;
  while (error == EINTR)
    error = posix_fallocate(fd, status.st_size, static_cast<off_t>(size - end));
  if (error != 0) return std::unexpected(file_error(error, "preallocate", path));
  const std::string zeros(std::min<std::uint64_t>(size - end, kZerosAtOnce), '\0');
  for (std::uint64_t at = end; at < size; at += zeros.size()) {
    const std::array<std::string_view, 1> parts{std::string_view(zeros).substr(0, size - at)};
    BLX_TRY(write_fully(fd, path, at, parts));
  }
  return {};
}

Result<void> make_directories(const std::string& path) {
  for (std::size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
    const std::string part = path.substr(0, end);
    if (mkdir(part.c_str(), 0700) != 0 && errno != EEXIST) {
      // A parent that exists may refuse mkdir for another reason first (read-only, forbidden).
      struct stat status{};
      const int reason = errno;
      if (stat(part.c_str(), &status) != 0 || !S_ISDIR(status.st_mode)) {
        return std::unexpected(file_error(reason, "make directory", part));
      }
    }
    if (end == std::string::npos) break;
  }
  struct stat status{};
  if (stat(path.c_str(), &status) != 0) return file_failure("make directory", path);
  if (!S_ISDIR(status.st_mode)) {
    return fail(Code::kAlreadyExists, "file_exists", path + " is not a directory");
  }
  return {};
}

Result<std::vector<env::DirectoryEntry>> list_directory(const std::string& path) {
  BLX_TRY(const Directory directory, open_directory_at(AT_FDCWD, path.c_str(), path, 0));
  std::vector<env::DirectoryEntry> entries;
  while (true) {
    errno = 0;
    const dirent* entry = readdir(directory.get());
    if (entry == nullptr) {
      if (errno != 0) return file_failure("list", path);
      break;
    }
    const std::string name = entry->d_name;
    if (is_dots(name)) continue;
    if (entries.size() == limits::kDirectoryEntries) {
      return fail(Code::kResourceExhausted, "directory_too_large", path);
    }
    struct stat status{};
    if (fstatat(dirfd(directory.get()), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno == ENOENT) continue;  // removed meanwhile
      return file_failure("stat", env::join_path(path, name));
    }
    entries.push_back({.name = name,
                       .is_directory = S_ISDIR(status.st_mode),
                       .size = static_cast<std::uint64_t>(status.st_size)});
  }
  std::ranges::sort(entries, {}, &env::DirectoryEntry::name);
  return entries;
}

Result<void> remove_path(const std::string& path) {
  if (::remove(path.c_str()) != 0) return file_failure("remove", path);
  return {};
}

Result<void> remove_directory_tree(const std::string& path) {
  if (unlink(path.c_str()) == 0 || errno == ENOENT) return {};
  if (errno != EISDIR && errno != EPERM) return file_failure("remove", path);
  {
    BLX_TRY(const Directory directory, open_directory_at(AT_FDCWD, path.c_str(), path, O_NOFOLLOW));
    BLX_TRY(empty_directory(directory.get(), path, 0));
  }
  if (rmdir(path.c_str()) != 0 && errno != ENOENT) return file_failure("remove", path);
  return {};
}

Result<void> sync_directory_entries(const std::string& path) {
  const Fd fd(
      retry_interrupted([&] { return open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
  if (!fd) return file_failure("open", path);
  if (retry_interrupted([&] { return fsync(fd.get()); }) != 0) return file_failure("sync", path);
  return {};
}

Result<void> set_mode_and_owner(const std::string& path, std::uint32_t mode,
                                std::optional<env::Owner> owner) {
  // Through one descriptor of the object itself: a symbolic link put in its place is refused,
  // not followed.
  const Fd fd(open(path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) return file_failure("open", path);
  struct stat status{};
  if (fstat(fd.get(), &status) != 0) return file_failure("stat", path);
  if (S_ISLNK(status.st_mode)) {
    return fail(Code::kInvalidArgument, "path_invalid", path + " is a symbolic link");
  }
  // Owner first: a change of it clears the set-uid bits.
  if (owner && fchownat(fd.get(), "", owner->uid, owner->gid, AT_EMPTY_PATH) != 0) {
    return file_failure("change owner of", path);
  }
  const std::string itself = "/proc/self/fd/" + std::to_string(fd.get());
  if (chmod(itself.c_str(), mode & 07777) != 0) return file_failure("change mode of", path);
  return {};
}

Result<Fd> lock_directory(const std::string& path) {
  const std::string file = env::join_path(path, "lock");
  Fd fd(retry_interrupted([&] { return open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600); }));
  if (!fd) return file_failure("open", file);
  if (flock(fd.get(), LOCK_EX | LOCK_NB) == 0) return fd;
  if (errno == EWOULDBLOCK) {
    return fail(Code::kFailedPrecondition, "directory_in_use",
                path + " is used by another process");
  }
  return file_failure("lock", file);
}

}  // namespace blixard::linux_side

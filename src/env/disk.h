#pragma once

// Files and directories, with the promises a durable log can stand on:
//
// * What was written is there after a crash only once sync() on the file returned, and a new,
//   renamed or removed name only once sync_directory() on its directory returned.
// * rename() replaces atomically.
// * A failed sync() says nothing about what is on disk: the caller must stop (the page cache may
//   have dropped the data), never try again.
//
// Paths are absolute, '/'-separated. Errors everywhere: kNotFound, kPermissionDenied,
// kResourceExhausted "disk_full", kUnavailable "io_error". An operation under way is not cut short
// by cancellation; what it then answers is what really happened.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "env/task.h"

namespace blixard::env {

enum class OpenMode : std::uint8_t {
  kRead,
  kReadWrite,  // must exist
  kCreate,     // read and write; made if it is not there
  kCreateNew,  // errors: kAlreadyExists
};

class File {
 public:
  virtual ~File() = default;  // closes

  // Reads until the buffer is full or the file ends; returns what it read.
  virtual Task<Result<std::size_t>> read_at(std::uint64_t offset, std::span<char> buffer) = 0;
  // Writes all parts at `offset`, growing the file as needed.
  virtual Task<Result<void>> write_at(std::uint64_t offset,
                                      std::span<const std::string_view> parts) = 0;
  // Data, and of the metadata what is needed to read it back (fdatasync).
  virtual Task<Result<void>> sync() = 0;
  // Both, as one step: what a log does all the time. Errors: kResourceExhausted: the parts were
  // not written, or not all of them, and nothing was synced. Any other one: as of a failed sync.
  virtual Task<Result<void>> write_and_sync(std::uint64_t offset,
                                            std::span<const std::string_view> parts) = 0;
  virtual Task<Result<void>> resize(std::uint64_t size) = 0;  // grows with zeros
  // Makes later writes between the present end and `size` unable to fail for want of space. Reads
  // there give zeros, which are written, so that a later sync has data to write and no more.
  virtual Task<Result<void>> preallocate(std::uint64_t size) = 0;
  virtual Task<Result<std::uint64_t>> size() = 0;
};

struct DirectoryEntry {
  std::string name;
  bool is_directory = false;
  std::uint64_t size = 0;
};

// Held while it lives. Dies with the process.
class DirectoryLock {
 public:
  virtual ~DirectoryLock() = default;
};

struct DiskSpace {
  Bytes total;
  Bytes available;
};

// Numeric owner of a file or process.
struct Owner {
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
};

enum class Survives : std::uint8_t { kProcess, kPowerLoss };

class Disk {
 public:
  virtual ~Disk() = default;

  virtual Task<Result<std::unique_ptr<File>>> open(std::string path, OpenMode mode) = 0;
  // With parents; fine if it exists. New ones get mode 0700.
  virtual Task<Result<void>> make_directory(std::string path) = 0;
  virtual Task<Result<std::vector<DirectoryEntry>>> list(std::string path) = 0;  // by name
  virtual Task<Result<void>> rename(std::string from, std::string to) = 0;
  virtual Task<Result<void>> remove(std::string path) = 0;  // a file, socket or empty directory
  virtual Task<Result<void>> remove_tree(std::string path) = 0;  // fine if it is not there
  virtual Task<Result<void>> sync_directory(std::string path) = 0;
  virtual Task<Result<DiskSpace>> space(std::string path) = 0;
  virtual Task<Result<void>> set_mode(std::string path, std::uint32_t mode,
                                      std::optional<Owner> owner) = 0;

  // One holder at a time, of all processes. Errors: kFailedPrecondition "directory_in_use".
  virtual Task<Result<std::unique_ptr<DirectoryLock>>> lock(std::string directory) = 0;

  // The whole file. Errors: also kResourceExhausted "file_too_large".
  Task<Result<std::string>> read_file(std::string path, std::size_t size_max);
  // Beside, and renamed: whenever the process ends, the old or the new content is there. With
  // kPowerLoss also synced on the way, file and directory; without, after a loss of power, the file
  // may be the old, the new, cut short or gone.
  Task<Result<void>> replace_file(std::string path, std::string content,
                                  Survives survives = Survives::kPowerLoss);
};

// "/a/b" + "c" -> "/a/b/c"; the directory of "/a/b/c" is "/a/b", its last part "c".
std::string join_path(std::string_view directory, std::string_view name);
std::string_view parent_path(std::string_view path);
std::string_view last_part(std::string_view path);

}  // namespace blixard::env

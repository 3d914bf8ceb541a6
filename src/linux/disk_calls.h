#pragma once

// The blocking calls behind Disk and File. They run on threads of the pool and know nothing of
// the loop.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "env/disk.h"
#include "linux/descriptor.h"

namespace blixard::linux_side {

Result<Fd> open_file(const std::string& path, env::OpenMode mode);
Result<std::size_t> read_fully(int fd, const std::string& path, std::uint64_t offset,
                               std::span<char> buffer);
Result<void> write_fully(int fd, const std::string& path, std::uint64_t offset,
                         std::span<const std::string_view> parts);
// These are durable when they return: the parts alone, by one call, or all that was ever written to
// the file. Errors: "disk_full" only if nothing was synced.
Result<void> write_through(int fd, const std::string& path, std::uint64_t offset,
                           std::span<const std::string_view> parts);
Result<void> write_and_sync_all(int fd, const std::string& path, std::uint64_t offset,
                                std::span<const std::string_view> parts);
// Reserves the space up to `size` and writes zeros from the file's end on.
Result<void> fill_with_zeros(int fd, const std::string& path, std::uint64_t size);
Result<void> make_directories(const std::string& path);
Result<std::vector<env::DirectoryEntry>> list_directory(const std::string& path);
Result<void> remove_path(const std::string& path);
Result<void> remove_directory_tree(const std::string& path);
Result<void> sync_directory_entries(const std::string& path);
Result<void> set_mode_and_owner(const std::string& path, std::uint32_t mode,
                                std::optional<env::Owner> owner);
Result<Fd> lock_directory(const std::string& path);

std::unexpected<Error> file_failure(std::string_view operation, std::string_view path);  // errno

}  // namespace blixard::linux_side

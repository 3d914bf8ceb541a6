#include "sim/qemu/guest_memory.h"

#include <fmt/format.h>

#include "base/assert.h"
#include "sim/qemu/soul.h"

namespace blixard::sim {
namespace {

bool may_write(const Inode& file, const env::SpawnSpec& process) {
  constexpr std::uint32_t kOwnerMay = 0600;
  constexpr std::uint32_t kOthersMay = 0006;
  if (!process.run_as || process.run_as->uid == 0) return true;
  const std::uint32_t needed = file.owner.uid == process.run_as->uid ? kOwnerMay : kOthersMay;
  return (file.mode & needed) == needed;
}

}  // namespace

Result<void> GuestMemory::open(const std::string& path, const env::SpawnSpec& process) {
  if (line_.memory_file.empty()) return {};
  const auto refused = [this](std::string_view why) {
    return fail(
        Code::kInvalidArgument, "refused",
        fmt::format("can't open backing store {} for guest RAM: {}", line_.memory_file, why));
  };
  const auto file = files_.find(path);
  if (!file) return refused("No such file or directory");
  if ((*file)->kind != Inode::Kind::kFile) return refused("Is a directory");
  if (!may_write(**file, process)) return refused("Permission denied");
  const std::uint64_t size = (*file)->content.size();
  if (size != line_.memory.value) {
    return fail(Code::kInvalidArgument, "refused",
                fmt::format("ram0 backing store size {:#x} does not match 'size' option {:#x}",
                            size, line_.memory.value));
  }
  file_ = *file;
  return {};
}

bool GuestMemory::is_cut() const {
  return file_ != nullptr && file_->content.size() < line_.memory.value;
}

std::string GuestMemory::page() const {
  BLX_ASSERT(in_file());
  std::string page(kSoulBytes, '\0');
  file_->content.read(0, page);
  return page;
}

Result<void> GuestMemory::store(std::string_view page) {
  BLX_ASSERT(is_shared());
  return files_.write(*file_, 0, page);
}

}  // namespace blixard::sim

// The disk as one program sees it: the machine's file system, with the time an operation takes and
// its failures. As on Linux, an operation that began runs to its end whether its task is cancelled
// or not.

#include "env/disk.h"

#include "sim/host.h"

namespace blixard::sim {
namespace {

bool is_below(std::string_view path, const std::string& prefix) {
  return !prefix.empty() && path.starts_with(prefix);
}

// What a disk operation takes; its effect comes at the end.
Instant end_of(Incarnation& owner, Duration least, Duration most) {
  Host& host = owner.host();
  return host.engine.now() + host.disk_random.between(least, most) * host.disk_faults.slowdown;
}

Result<void> check(Incarnation& owner, std::string_view path) {
  if (!owner.alive()) return crashed();
  if (is_below(path, owner.host().disk_faults.io_error_below)) {
    return fail(Code::kUnavailable, "io_error", std::string(path));
  }
  return {};
}

// The path stays where it is until the end of it.
env::Task<Result<void>> access(Incarnation& owner, const std::string& path) {
  const DiskFaults& faults = owner.host().disk_faults;
  UncutPause operation(owner, end_of(owner, faults.access_min, faults.access_max));
  BLX_CO_TRY(co_await operation);
  co_return check(owner, path);
}

// A write that is under way when its program is killed: the kernel has taken some sectors of it. It
// takes page after page, each at once, and looks between them whether the program is to end.
class WriteAccess final : public env::CancelHook {
 public:
  WriteAccess(Incarnation& owner, Inode& file, std::uint64_t offset,
              std::span<const std::string_view> parts)
      : owner_(owner), file_(file), offset_(offset), parts_(parts) {
    if (owner.alive()) owner.death().add(*this);
  }
  ~WriteAccess() = default;

  // Lands elsewhere: see disk_faults.h. Before the write.
  Result<void> misdirect(std::uint64_t where) {
    FileSystem& files = owner_.host().files;
    const std::uint64_t end = offset_ + total();
    if (end > file_.content.size()) BLX_TRY(files.resize(file_, end));
    offset_ = FileSystem::wrong_offset(file_, offset_, where);
    return {};
  }

  Result<void> write(std::uint64_t bytes_max) {
    std::uint64_t at = offset_;
    for (const std::string_view part : parts_) {
      const std::string_view piece = part.substr(0, bytes_max);
      owner_.engine().trace().mix(piece);
      BLX_TRY(owner_.host().files.write(file_, at, piece));
      at += piece.size();
      bytes_max -= piece.size();
    }
    return {};
  }

  // Some sectors from the first on, not all.
  Result<void> write_part() {
    std::uint64_t bytes = owner_.host().disk_random.below(std::max<std::uint64_t>(total(), 1));
    bytes -= std::min(bytes, (offset_ + bytes) % kSectorBytes);
    return write(bytes);
  }

 private:
  [[nodiscard]] std::uint64_t total() const {
    std::uint64_t total = 0;
    for (const std::string_view part : parts_)
      total += part.size();
    return total;
  }
  void on_cancel() override {
    ignore(owner_.host().disk_random.below(total() + 1) == total() ? write(total()) : write_part(),
           "nobody is left to hear of it");
  }

  Incarnation& owner_;
  Inode& file_;
  std::uint64_t offset_;
  std::span<const std::string_view> parts_;
};

class SimFile final : public env::File {
 public:
  SimFile(Incarnation& owner, InodePtr inode, std::string path, bool writable)
      : owner_(owner), inode_(std::move(inode)), path_(std::move(path)), writable_(writable) {}

  env::Task<Result<std::size_t>> read_at(std::uint64_t offset, std::span<char> buffer) override {
    const observe::AllocationTag tag(observe::Subsystem::kSimulator);
    BLX_CO_TRY(co_await access(owner_, path_));
    co_return inode_->content.read(offset, buffer);
  }

  env::Task<Result<void>> write_at(std::uint64_t offset,
                                   std::span<const std::string_view> parts) override {
    const observe::AllocationTag tag(observe::Subsystem::kSimulator);
    if (!writable_) co_return fail(Code::kPermissionDenied, "permission_denied", path_);
    WriteAccess write(owner_, *inode_, offset, parts);
    BLX_CO_TRY(co_await access(owner_, path_));
    write.unlink();
    DiskFaults& faults = owner_.host().disk_faults;
    if (is_below(path_, faults.refuse_next_write_below)) {
      faults.refuse_next_write_below.clear();
      BLX_CO_TRY(write.write_part());
      co_return fail(Code::kResourceExhausted, "disk_full", path_);
    }
    if (is_below(path_, faults.misdirect_next_write_below)) {
      faults.misdirect_next_write_below.clear();
      BLX_CO_TRY(write.misdirect(faults.misdirect_where));
    }
    co_return write.write(UINT64_MAX);
  }

  env::Task<Result<void>> sync() override {
    const observe::AllocationTag tag(observe::Subsystem::kSimulator);
    DiskFaults& faults = owner_.host().disk_faults;
    const std::uint64_t covered = FileSystem::last_change(*inode_);
    UncutPause operation(owner_, end_of(owner_, faults.sync_min, faults.sync_max));
    BLX_CO_TRY(co_await operation);
    BLX_CO_TRY(check(owner_, path_));
    if (is_below(path_, faults.fail_next_sync_below)) {
      faults.fail_next_sync_below.clear();
      owner_.host().files.lose_unsynced(*inode_);
      co_return fail(Code::kUnavailable, "io_error", "sync " + path_);
    }
    FileSystem::make_durable(*inode_, covered);
    co_return Result<void>();
  }

  // One after the other, as the kernel does it: a crash finds the one or the other under way.
  env::Task<Result<void>> write_and_sync(std::uint64_t offset,
                                         std::span<const std::string_view> parts) override {
    const observe::AllocationTag tag(observe::Subsystem::kSimulator);
    BLX_CO_TRY(co_await write_at(offset, parts));
    co_return co_await sync();
  }

  env::Task<Result<void>> resize(std::uint64_t size) override {
    const observe::AllocationTag tag(observe::Subsystem::kSimulator);
    if (!writable_) co_return fail(Code::kPermissionDenied, "permission_denied", path_);
    BLX_CO_TRY(co_await access(owner_, path_));
    co_return owner_.host().files.resize(*inode_, size);
  }

  env::Task<Result<void>> preallocate(std::uint64_t size) override {
    if (!writable_) co_return fail(Code::kPermissionDenied, "permission_denied", path_);
    BLX_CO_TRY(co_await access(owner_, path_));
    co_return owner_.host().files.preallocate(*inode_, size);
  }

  env::Task<Result<std::uint64_t>> size() override {
    if (!owner_.alive()) co_return crashed();
    co_return inode_->content.size();
  }

 private:
  Incarnation& owner_;
  InodePtr inode_;
  std::string path_;
  bool writable_;
};

class SimLock final : public env::DirectoryLock {
 public:
  SimLock(Incarnation& owner, std::uint64_t inode) : owner_(owner), inode_(inode) {}
  SimLock(const SimLock&) = delete;
  SimLock& operator=(const SimLock&) = delete;
  ~SimLock() override {
    auto& locks = owner_.host().locks;
    const auto held = locks.find(inode_);
    if (held != locks.end() && held->second == &owner_) locks.erase(held);
  }

 private:
  Incarnation& owner_;
  std::uint64_t inode_;
};

class SimDisk final : public env::Disk {
 public:
  explicit SimDisk(Incarnation& owner) : owner_(owner) {}

  env::Task<Result<std::unique_ptr<env::File>>> open(std::string path,
                                                     env::OpenMode mode) override {
    const observe::AllocationTag tag(observe::Subsystem::kSimulator);
    BLX_CO_TRY(co_await access(owner_, path));
    BLX_CO_TRY(InodePtr inode, files().open(path, mode));
    co_return std::make_unique<SimFile>(owner_, std::move(inode), std::move(path),
                                        mode != env::OpenMode::kRead);
  }
  env::Task<Result<void>> make_directory(std::string path) override {
    const observe::AllocationTag tag(observe::Subsystem::kSimulator);
    BLX_CO_TRY(co_await access(owner_, path));
    co_return files().make_directory(path);
  }
  env::Task<Result<std::vector<env::DirectoryEntry>>> list(std::string path) override {
    const observe::AllocationTag tag(observe::Subsystem::kSimulator);
    BLX_CO_TRY(co_await access(owner_, path));
    co_return files().list(path);
  }
  env::Task<Result<void>> rename(std::string from, std::string to) override {
    const observe::AllocationTag tag(observe::Subsystem::kSimulator);
    BLX_CO_TRY(co_await access(owner_, to));
    co_return files().rename(from, to);
  }
  env::Task<Result<void>> remove(std::string path) override {
    const observe::AllocationTag tag(observe::Subsystem::kSimulator);
    BLX_CO_TRY(co_await access(owner_, path));
    co_return files().remove(path);
  }
  env::Task<Result<void>> remove_tree(std::string path) override {
    BLX_CO_TRY(co_await access(owner_, path));
    co_return files().remove_tree(path);
  }
  env::Task<Result<void>> sync_directory(std::string path) override {
    const observe::AllocationTag tag(observe::Subsystem::kSimulator);
    const DiskFaults& faults = owner_.host().disk_faults;
    UncutPause operation(owner_, end_of(owner_, faults.sync_min, faults.sync_max));
    BLX_CO_TRY(co_await operation);
    BLX_CO_TRY(check(owner_, path));
    co_return files().sync_directory(path);
  }
  env::Task<Result<env::DiskSpace>> space(std::string path) override {
    BLX_CO_TRY(co_await access(owner_, path));
    BLX_CO_TRY(files().find(path));
    const std::uint64_t used = std::min(files().used(), files().capacity);
    co_return env::DiskSpace{.total = Bytes(files().capacity),
                             .available = Bytes(files().capacity - used)};
  }
  env::Task<Result<void>> set_mode(std::string path, std::uint32_t mode,
                                   std::optional<env::Owner> owner) override {
    BLX_CO_TRY(co_await access(owner_, path));
    BLX_CO_TRY(const InodePtr inode, files().find(path));
    inode->mode = mode;
    if (owner) inode->owner = *owner;
    co_return Result<void>();
  }
  env::Task<Result<std::unique_ptr<env::DirectoryLock>>> lock(std::string directory) override {
    BLX_CO_TRY(co_await access(owner_, directory));
    BLX_CO_TRY(const InodePtr inode, files().find(directory));
    if (!owner_.host().locks.emplace(inode->id, &owner_).second) {
      co_return fail(Code::kFailedPrecondition, "directory_in_use",
                     directory + " is used by another process");
    }
    co_return std::make_unique<SimLock>(owner_, inode->id);
  }

 private:
  FileSystem& files() { return owner_.host().files; }

  Incarnation& owner_;
};

}  // namespace

std::unique_ptr<env::Disk> make_disk(Incarnation& owner) {
  return std::make_unique<SimDisk>(owner);
}

}  // namespace blixard::sim

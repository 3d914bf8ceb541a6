#include "node/image/store.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "base/limits.h"
#include "base/unwritten.h"
#include "core/image/digest.h"
#include "env/failpoint.h"
#include "node/zstd/unpacker.h"
#include "observe/allocations.h"

namespace blixard::image {
namespace {

constexpr std::size_t kPieceBytes = std::size_t{1} << 20;
constexpr std::string_view kTemporaryPrefix = ".import-";
constexpr std::uint64_t kSpareBytes = std::uint64_t{16} << 20;  // of the disk, for everybody else

std::unexpected<Error> damaged(std::string detail) {
  return fail(Code::kDataLoss, "image_damaged", std::move(detail));
}

// What unpacking it says, but for a lack of memory, which is not its fault.
std::unexpected<Error> kernel_damaged(const Error& error) {
  if (error.code() != Code::kDataLoss) return std::unexpected(error);
  return damaged(fmt::format("the packed kernel: {}", error.detail()));
}

env::Task<Result<void>> append(env::File& file, std::uint64_t& size, std::string_view piece) {
  const std::array<std::string_view, 1> parts{piece};
  BLX_CO_TRY(co_await file.write_at(size, parts));
  size += piece.size();
  co_return Result<void>();
}

// Opens a file of the image folder that must have this size.
env::Task<Result<std::unique_ptr<env::File>>> open_source(env::Disk& disk, std::string path,
                                                          std::uint64_t bytes) {
  auto file = co_await disk.open(path, env::OpenMode::kRead);
  if (!file && file.error().code() == Code::kNotFound) {
    co_return fail(Code::kNotFound, "image_incomplete", path + " is missing");
  }
  if (!file) co_return file;
  BLX_CO_TRY(const std::uint64_t size, co_await (*file)->size());
  if (size != bytes) {
    co_return damaged(fmt::format("{} has {} bytes, image.json says {}", path, size, bytes));
  }
  co_return file;
}

const cluster::ImageFile* file_named(const cluster::Image& image, std::string_view name) {
  const auto found = std::ranges::find(image.files, name, &cluster::ImageFile::name);
  return found == image.files.end() ? nullptr : &*found;
}

}  // namespace

std::optional<Digest> digest_in(const cluster::Image& image, std::string_view name) {
  const cluster::ImageFile* file = file_named(image, name);
  if (file == nullptr) return std::nullopt;
  return file->digest;
}

// Held while it lives.
class Store::Turn {
 public:
  explicit Turn(Store& store) : store_(store) { store_.busy_ = true; }
  ~Turn() {
    store_.busy_ = false;
    store_.changed_.notify_all();
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  Store& store_;
};

Store::Store(env::Env env, std::string root)
    : env_(env), root_(std::move(root)), changed_(env.executor), news_(env.executor) {}

env::Task<Result<std::unique_ptr<Store>>> Store::open(env::Env env, std::string root) {
  std::unique_ptr<Store> store(new Store(env, root));
  BLX_CO_TRY(co_await env.disk.make_directory(root));
  BLX_CO_TRY(co_await env.disk.set_mode(root, 0755, std::nullopt));
  // Its own name must last too; the directory above is the caller's.
  BLX_CO_TRY(co_await env.disk.sync_directory(std::string(env::parent_path(root))));
  BLX_CO_TRY(co_await store->sweep());
  co_return std::move(store);
}

env::Task<Result<void>> Store::sweep() {
  const observe::AllocationTag tag(observe::Subsystem::kImage);
  BLX_CO_TRY(const auto entries, co_await env_.disk.list(root_));
  for (const auto& entry : entries) {
    if (!entry.name.starts_with(kTemporaryPrefix)) {
      present_.insert(env::join_path(root_, entry.name));
      continue;
    }
    BLX_CO_TRY(co_await env_.disk.remove_tree(env::join_path(root_, entry.name)));
    BLX_LOG(env_.log, kInfo, "removed {}, left by an import that was cut short", entry.name);
  }
  co_return Result<void>();
}

env::Task<Result<void>> Store::take_turn() {
  while (busy_)
    BLX_CO_TRY(co_await changed_.wait());
  co_return Result<void>();
}

std::string Store::directory_of(const cluster::Image& image) const {
  Hasher hasher;
  for (const auto& file : image.files) {
    hasher.update(fmt::format("{} {} {}\n", file.name, file.size.value, digest_text(file.digest)));
  }
  return env::join_path(
      root_, fmt::format("{}-{}", image.name, digest_text(hasher.finish()).substr(0, 16)));
}

bool Store::has(const cluster::Image& image) const {
  return present_.contains(directory_of(image));
}

env::Task<Result<cluster::Image>> Store::import(std::string folder, std::string name) {
  const observe::AllocationTag tag(observe::Subsystem::kImage);
  if (!folder.starts_with('/') || folder.size() > limits::kImagePathBytes ||
      folder.contains('\0')) {
    co_return fail(Code::kInvalidArgument, "image_path_invalid",
                   "the path must be absolute and of at most 4096 bytes");
  }
  BLX_CO_TRY(co_await take_turn());
  const Turn turn(*this);
  const std::string temporary =
      env::join_path(root_, std::string(kTemporaryPrefix) + env_.random.hex(8));
  auto image = co_await import_into(std::move(folder), std::move(name), temporary);
  if (!image) {
    // Also when it was cancelled: then above all nothing may stay behind.
    env::Cancellation none;
    ignore(co_await env_.disk.remove_tree(temporary).under(none), "swept by the next open()");
  }
  co_return image;
}

env::Task<Result<cluster::Image>> Store::import_into(std::string folder, std::string name,
                                                     std::string temporary) {
  BLX_CO_FAILPOINT(env_, "image::import", kResourceExhausted, "disk_full");
  const std::string about = env::join_path(folder, "image.json");
  auto json = co_await env_.disk.read_file(about, limits::kImageJsonBytes);
  if (!json && json.error().code() == Code::kNotFound) {
    co_return fail(Code::kNotFound, "image_json_missing", about + " is missing");
  }
  if (!json && json.error().reason() == "file_too_large") {
    co_return fail(Code::kInvalidArgument, "image_json_invalid", about + " is too large");
  }
  if (!json) co_return std::unexpected(json.error());
  BLX_CO_TRY(const Source source, parse_source(*json));
  cluster::Image image{.name = Name(name.empty() ? source.name : name),
                       .architecture = source.architecture,
                       .kernel_version = source.kernel_version,
                       .cmdline = source.cmdline};
  BLX_CO_TRY(cluster::check_name(image.name));
  BLX_CO_TRY(const auto space, co_await env_.disk.space(root_));
  const std::uint64_t needed = source.kernel.unpacked_bytes + source.initrd.bytes + kSpareBytes;
  if (space.available.value < needed) {
    co_return fail(Code::kResourceExhausted, "disk_full",
                   fmt::format("the image needs {} MiB, {} has {} MiB free", needed >> 20, root_,
                               space.available.mib()));
  }
  BLX_CO_TRY(co_await env_.disk.make_directory(temporary));
  // In order of their names, as the cluster keeps them.
  BLX_CO_TRY(auto initrd, co_await copy(env::join_path(folder, kInitrdName),
                                        env::join_path(temporary, kInitrdName), source.initrd));
  BLX_CO_TRY(auto kernel, co_await unpack(env::join_path(folder, "vmlinux.zst"),
                                          env::join_path(temporary, kKernelName), source.kernel));
  image.files.push_back(std::move(initrd));
  image.files.push_back(std::move(kernel));
  BLX_CO_TRY(cluster::check_image(image));
  BLX_CO_TRY(co_await settle(image, temporary));
  co_return image;
}

env::Task<Result<cluster::ImageFile>> Store::copy(std::string from, std::string to,
                                                  SourceFile about) {
  BLX_CO_TRY(const auto source, co_await open_source(env_.disk, from, about.bytes));
  BLX_CO_TRY(const auto target, co_await env_.disk.open(to, env::OpenMode::kCreateNew));
  std::string buffer;
  resize_unwritten(buffer, kPieceBytes);
  Hasher hasher;
  std::uint64_t size = 0;
  while (size < about.bytes) {
    BLX_CO_TRY(const std::size_t count, co_await source->read_at(size, buffer));
    if (count == 0) co_return damaged(from + " became shorter while it was read");
    const auto piece = std::string_view(buffer).substr(0, std::min(count, about.bytes - size));
    hasher.update(piece);
    BLX_CO_TRY(co_await append(*target, size, piece));
  }
  BLX_CO_TRY(co_await target->sync());
  BLX_CO_TRY(co_await env_.disk.set_mode(to, 0444, std::nullopt));
  co_return cluster::ImageFile{std::string(env::last_part(to)), Bytes(size), hasher.finish()};
}

env::Task<Result<cluster::ImageFile>> Store::unpack(std::string from, std::string to,
                                                    SourceFile about) {
  BLX_CO_TRY(const auto source, co_await open_source(env_.disk, from, about.bytes));
  BLX_CO_TRY(const auto target, co_await env_.disk.open(to, env::OpenMode::kCreateNew));
  std::string buffer;
  resize_unwritten(buffer, kPieceBytes);
  zstd::Unpacker unpacker(about.unpacked_bytes);
  Hasher hasher;
  std::uint64_t size = 0;
  for (std::uint64_t read = 0; read < about.bytes;) {
    BLX_CO_TRY(const std::size_t count, co_await source->read_at(read, buffer));
    if (count == 0) co_return damaged(from + " became shorter while it was read");
    auto packed = std::string_view(buffer).substr(0, std::min(count, about.bytes - read));
    read += packed.size();
    while (true) {
      const bool had_input = !packed.empty();
      const auto piece = unpacker.next(packed);
      if (!piece) co_return kernel_damaged(piece.error());
      if (!piece->empty()) {
        hasher.update(*piece);
        BLX_CO_TRY(co_await append(*target, size, *piece));
      } else if (!had_input || packed.empty()) {
        break;
      }
    }
  }
  BLX_CO_FAILPOINT(env_, "image::unpack", kDataLoss, "image_damaged");
  if (const auto whole = unpacker.finish(); !whole) co_return kernel_damaged(whole.error());
  if (size != about.unpacked_bytes) {
    co_return damaged(
        fmt::format("the kernel unpacks to {} bytes, not {}", size, about.unpacked_bytes));
  }
  BLX_CO_TRY(co_await target->sync());
  BLX_CO_TRY(co_await env_.disk.set_mode(to, 0444, std::nullopt));
  co_return cluster::ImageFile{std::string(env::last_part(to)), Bytes(size), hasher.finish()};
}

// Gives the folder its final name. One that is there and sound stays: guests may be booting it.
env::Task<Result<void>> Store::settle(const cluster::Image& image, std::string temporary) {
  const std::string directory = directory_of(image);
  if (co_await check(image)) {
    present_.insert(directory);
    checked_.insert(directory);
    co_return co_await env_.disk.remove_tree(temporary);
  }
  BLX_CO_TRY(co_await env_.disk.set_mode(temporary, 0755, std::nullopt));
  BLX_CO_TRY(co_await env_.disk.sync_directory(temporary));
  BLX_CO_TRY(co_await env_.disk.remove_tree(directory));
  BLX_CO_TRY(co_await env_.disk.rename(temporary, directory));
  BLX_CO_TRY(co_await env_.disk.sync_directory(root_));
  present_.insert(directory);
  checked_.insert(directory);
  co_return Result<void>();
}

env::Task<Result<void>> Store::check(const cluster::Image& image) {
  const observe::AllocationTag tag(observe::Subsystem::kImage);
  const std::string directory = directory_of(image);
  std::string buffer;
  resize_unwritten(buffer, kPieceBytes);
  for (const auto& about : image.files) {
    const std::string path = env::join_path(directory, about.name);
    auto file = co_await env_.disk.open(path, env::OpenMode::kRead);
    if (!file && file.error().code() == Code::kNotFound) {
      co_return fail(Code::kNotFound, "image_file_missing", path + " is not on this node");
    }
    if (!file) co_return std::unexpected(file.error());
    Hasher hasher;
    std::uint64_t size = 0;
    while (size <= about.size.value) {
      BLX_CO_TRY(const std::size_t count, co_await (*file)->read_at(size, buffer));
      if (count == 0) break;
      hasher.update(std::string_view(buffer).substr(0, count));
      size += count;
    }
    if (size != about.size.value || hasher.finish() != about.digest) {
      co_return damaged(path + " is not what was imported");
    }
  }
  co_return Result<void>();
}

env::Task<Result<Paths>> Store::paths(cluster::Image image) {
  const observe::AllocationTag tag(observe::Subsystem::kImage);
  if (file_named(image, kKernelName) == nullptr || file_named(image, kInitrdName) == nullptr) {
    co_return fail(Code::kNotFound, "image_file_missing",
                   image.name.text() + " has no kernel or no initrd");
  }
  const std::string directory = directory_of(image);
  if (!checked_.contains(directory)) {
    BLX_CO_TRY(co_await take_turn());
    const Turn turn(*this);
    BLX_CO_TRY(co_await check(image));
    checked_.insert(directory);
  }
  co_return Paths{env::join_path(directory, kKernelName), env::join_path(directory, kInitrdName)};
}

env::Task<Result<void>> Store::remove(cluster::Image image) {
  const observe::AllocationTag tag(observe::Subsystem::kImage);
  BLX_CO_TRY(co_await take_turn());
  const Turn turn(*this);
  const std::string directory = directory_of(image);
  BLX_CO_FAILPOINT(env_, "image::remove", kUnavailable, "io_error");
  present_.erase(directory);
  checked_.erase(directory);
  BLX_CO_TRY(co_await env_.disk.remove_tree(directory));
  co_return co_await env_.disk.sync_directory(root_);
}

}  // namespace blixard::image

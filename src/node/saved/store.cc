#include "node/saved/store.h"

#include <algorithm>
#include <array>
#include <span>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/limits.h"
#include "base/unwritten.h"
#include "env/scope.h"
#include "node/zstd/packer.h"
#include "node/zstd/unpacker.h"
#include "observe/allocations.h"

namespace blixard::saved {
namespace {

constexpr std::string_view kMakingPrefix = ".making-";
constexpr std::size_t kPieceBytes = std::size_t{1} << 20;  // also of what another node is given
// What is packed and unpacked between two looks at everything else that waits: about 1 ms.
constexpr std::size_t kPackedPieceBytes = std::size_t{256} << 10;
constexpr int kLevel = 1;                                        // a quarter of it, at 250 MB/s
constexpr std::uint64_t kSpareBytes = std::uint64_t{256} << 20;  // of the disk, for everybody else

std::unexpected<Error> damaged(std::string what) {
  return fail(Code::kDataLoss, "saved_guest_damaged", std::move(what));
}

std::unexpected<Error> not_here(const image::Digest& digest) {
  return fail(Code::kNotFound, "saved_guest_not_here",
              fmt::format("this node does not have {}", image::digest_text(digest)));
}

// A file that grows, and its digest.
class Growing {
 public:
  explicit Growing(std::unique_ptr<env::File> file) : file_(std::move(file)) {}

  env::Task<Result<void>> append(std::string_view bytes) {
    const std::array<std::string_view, 1> parts{bytes};
    BLX_CO_TRY(co_await file_->write_at(size_, parts));
    hasher_.update(bytes);
    size_ += bytes.size();
    co_return Result<void>();
  }
  env::Task<Result<Saved>> finish() {
    BLX_CO_TRY(co_await file_->sync());
    co_return Saved{hasher_.finish(), Bytes(size_)};
  }
  [[nodiscard]] std::uint64_t size() const { return size_; }

 private:
  std::unique_ptr<env::File> file_;
  image::Hasher hasher_;
  std::uint64_t size_ = 0;
};

}  // namespace

class Store::FileWriter final : public Writer {
 public:
  FileWriter(Store& store, std::unique_ptr<env::File> file, std::string path, VmId vm)
      : store_(store), file_(std::move(file)), path_(std::move(path)), vm_(vm), packer_(kLevel) {}

  env::Task<Result<void>> begin(const Header& header) { return append(encode(header)); }

  env::Task<Result<void>> write(std::string_view piece) override {
    while (!piece.empty()) {
      const auto part = piece.substr(0, kPackedPieceBytes);
      piece.remove_prefix(part.size());
      packed_.clear();
      BLX_CO_TRY(packer_.add(part, packed_));
      BLX_CO_TRY(co_await file_.append(packed_));
    }
    co_return Result<void>();
  }

  env::Task<Result<Saved>> finish() override {
    packed_.clear();
    BLX_CO_TRY(packer_.finish(packed_));
    BLX_CO_TRY(co_await file_.append(packed_));
    BLX_CO_TRY(const Saved saved, co_await file_.finish());
    BLX_CO_TRY(co_await store_.settle(path_, saved, vm_));
    co_return saved;
  }

  env::Task<void> discard() override { return store_.give_up(path_); }

 private:
  env::Task<Result<void>> append(std::string bytes) { co_return co_await file_.append(bytes); }

  Store& store_;
  Growing file_;
  std::string path_;
  VmId vm_;
  zstd::Packer packer_;
  std::string packed_;
};

class Store::FileReader final : public vm::StateSource {
 public:
  FileReader(std::unique_ptr<env::File> file, image::Digest digest, const Decoded& head)
      : file_(std::move(file)),
        digest_(digest),
        header_left_(head.bytes),
        unpacker_(head.header.memory.value + limits::kSavedOverheadBytes) {}

  env::Task<Result<std::size_t>> read(std::span<char> buffer) override {
    while (ready_.empty()) {
      BLX_CO_TRY(ready_, next_ready());
      if (!ready_.empty() || !packed_.empty()) continue;
      BLX_CO_TRY(const bool has_more, co_await fill());
      if (!has_more) co_return end();
    }
    const std::size_t count = std::min(buffer.size(), ready_.size());
    std::ranges::copy(ready_.substr(0, count), buffer.begin());
    ready_.remove_prefix(count);
    co_return count;
  }

 private:
  // What the unpacker gives of `packed_`, which may be "" although there is more.
  Result<std::string_view> next_ready() {
    auto unpacked = unpacker_.next(packed_);
    if (!unpacked && unpacked.error().code() == Code::kDataLoss) {
      return damaged(std::string(unpacked.error().detail()));
    }
    return unpacked;
  }

  // The next of the file; false at its end.
  env::Task<Result<bool>> fill() {
    resize_unwritten(buffer_, kPackedPieceBytes);
    BLX_CO_TRY(const std::size_t count, co_await file_->read_at(offset_, buffer_));
    offset_ += count;
    packed_ = std::string_view(buffer_).substr(0, count);
    hasher_.update(packed_);
    const std::size_t skipped = std::min(header_left_, packed_.size());
    packed_.remove_prefix(skipped);
    header_left_ -= skipped;
    co_return count != 0;
  }

  Result<std::size_t> end() {
    if (hasher_.finish() != digest_) return damaged("it is not what was saved");
    if (const auto whole = unpacker_.finish(); !whole) {
      return damaged(std::string(whole.error().detail()));
    }
    return 0;
  }

  std::unique_ptr<env::File> file_;
  image::Digest digest_;
  std::size_t header_left_;
  zstd::Unpacker unpacker_;
  image::Hasher hasher_;
  std::string buffer_;
  std::uint64_t offset_ = 0;
  std::string_view packed_;
  std::string_view ready_;
};

Store::Store(env::Env env, std::string root, std::string cluster)
    : env_(env), root_(std::move(root)), cluster_(std::move(cluster)) {}

env::Task<Result<std::unique_ptr<Store>>> Store::open(env::Env env, std::string root,
                                                      std::string cluster) {
  std::unique_ptr<Store> store(new Store(env, std::move(root), std::move(cluster)));
  BLX_CO_TRY(co_await store->load());
  co_return std::move(store);
}

env::Task<Result<void>> Store::load() {
  const observe::AllocationTag tag(observe::Subsystem::kVm);
  BLX_CO_TRY(co_await env_.disk.make_directory(root_));
  BLX_CO_TRY(co_await env_.disk.sync_directory(std::string(env::parent_path(root_))));
  BLX_CO_TRY(const auto entries, co_await env_.disk.list(root_));
  for (const env::DirectoryEntry& entry : entries) {
    const std::string path = env::join_path(root_, entry.name);
    if (entry.name.starts_with(kMakingPrefix)) {
      BLX_CO_TRY(co_await env_.disk.remove(path));
      continue;
    }
    const auto digest = image::parse_digest(entry.name);
    if (!digest) continue;
    BLX_CO_TRY(const auto file, co_await env_.disk.open(path, env::OpenMode::kRead));
    const auto head = co_await read_header(*file);
    // Whose it is cannot be told, so neither that nobody needs it: whoever does is told the same.
    if (!head) BLX_LOG(env_.log, kError, "saved guest {}: {}", entry.name, head.error().message());
    here_.emplace(*digest, Kept{.vm = head ? head->header.vm : VmId(), .size = Bytes(entry.size)});
  }
  co_return Result<void>();
}

std::string Store::path_of(const image::Digest& digest) const {
  return env::join_path(root_, image::digest_text(digest));
}

std::string Store::next_making() {
  return env::join_path(root_, fmt::format("{}{}", kMakingPrefix, ++made_));
}

env::Task<Result<Decoded>> Store::read_header(env::File& file) {
  std::string beginning;
  resize_unwritten(beginning, kHeaderBytesMax);
  BLX_CO_TRY(const std::size_t count, co_await file.read_at(0, beginning));
  co_return decode(std::string_view(beginning).substr(0, count));
}

env::Task<Result<void>> Store::check_space(Bytes needed) {
  BLX_CO_TRY(const env::DiskSpace space, co_await env_.disk.space(root_));
  if (space.available.value >= needed.value + kSpareBytes) co_return Result<void>();
  co_return fail(Code::kResourceExhausted, "disk_full",
                 fmt::format("the saved guest may need {} MiB, {} has {} MiB free", needed.mib(),
                             root_, space.available.mib()));
}

env::Task<Result<std::shared_ptr<Writer>>> Store::create(Header header) {
  header.cluster = cluster_;
  BLX_CO_TRY(co_await check_space(header.memory));
  std::string path = next_making();
  BLX_CO_TRY(auto file, co_await env_.disk.open(path, env::OpenMode::kCreateNew));
  auto writer = std::make_shared<FileWriter>(*this, std::move(file), std::move(path), header.vm);
  BLX_CO_TRY(co_await writer->begin(header));
  co_return writer;
}

env::Task<Result<void>> Store::settle(std::string making, Saved saved, VmId vm) {
  BLX_CO_TRY(co_await env_.disk.rename(std::move(making), path_of(saved.digest)));
  BLX_CO_TRY(co_await env_.disk.sync_directory(root_));
  here_.insert_or_assign(saved.digest, Kept{.vm = vm, .size = saved.size});
  co_return Result<void>();
}

env::Task<Result<Opened>> Store::read(image::Digest digest) {
  if (!has(digest)) co_return not_here(digest);
  auto file = co_await env_.disk.open(path_of(digest), env::OpenMode::kRead);
  if (!file && file.error().code() == Code::kNotFound) co_return not_here(digest);
  if (!file) co_return std::unexpected(file.error());
  BLX_CO_TRY(const Decoded head, co_await read_header(**file));
  if (head.header.cluster != cluster_) {
    co_return fail(Code::kFailedPrecondition, "saved_guest_foreign", "it is of another cluster");
  }
  co_return Opened{head.header, std::make_shared<FileReader>(*std::move(file), digest, head)};
}

env::Task<Result<void>> Store::check(image::Digest digest) {
  if (!has(digest)) co_return not_here(digest);
  BLX_CO_TRY(const auto file, co_await env_.disk.open(path_of(digest), env::OpenMode::kRead));
  image::Hasher hasher;
  std::string buffer;
  resize_unwritten(buffer, kPackedPieceBytes);
  for (std::uint64_t offset = 0;;) {
    BLX_CO_TRY(const std::size_t count, co_await file->read_at(offset, buffer));
    if (count == 0) break;
    hasher.update(std::string_view(buffer).substr(0, count));
    offset += count;
  }
  if (hasher.finish() != digest) co_return damaged("it is not what was saved");
  co_return Result<void>();
}

env::Task<Result<void>> Store::fetch(Saved wanted, Pieces pieces) {
  if (has(wanted.digest)) co_return Result<void>();
  BLX_CO_TRY(co_await check_space(wanted.size));
  const std::string path = next_making();
  const auto vm = co_await copy(path, wanted, std::move(pieces));
  if (vm) co_return co_await settle(path, wanted, *vm);
  co_await give_up(path);
  co_return std::unexpected(vm.error());
}

env::Task<Result<VmId>> Store::copy(std::string path, Saved wanted, Pieces pieces) {
  BLX_CO_TRY(auto file, co_await env_.disk.open(path, env::OpenMode::kCreateNew));
  Growing copied(std::move(file));
  while (copied.size() < wanted.size.value) {
    BLX_CO_TRY(const std::string piece, co_await pieces(copied.size()));
    if (piece.empty() || piece.size() > wanted.size.value - copied.size()) {
      co_return damaged("the other node's copy has another size");
    }
    BLX_CO_TRY(co_await copied.append(piece));
    fetched_ = Bytes(fetched_.value + piece.size());
  }
  BLX_CO_TRY(const Saved got, co_await copied.finish());
  if (got.digest != wanted.digest) co_return damaged("the other node's copy is damaged");
  BLX_CO_TRY(file, co_await env_.disk.open(path, env::OpenMode::kRead));
  BLX_CO_TRY(const Decoded head, co_await read_header(*file));
  co_return head.header.vm;
}

env::Task<void> Store::give_up(std::string making) {
  env::Cancellation none;
  ignore(co_await env_.disk.remove(std::move(making)).under(none), "the next open() sweeps it");
}

env::Task<Result<std::string>> Store::piece(image::Digest digest, std::uint64_t offset) {
  if (!has(digest)) co_return not_here(digest);
  const auto file = co_await env_.disk.open(path_of(digest), env::OpenMode::kRead);
  if (!file && file.error().code() == Code::kNotFound) co_return not_here(digest);
  if (!file) co_return std::unexpected(file.error());
  std::string piece;
  resize_unwritten(piece, kPieceBytes);
  BLX_CO_TRY(const std::size_t count, co_await (*file)->read_at(offset, piece));
  piece.resize(count);
  given_ = Bytes(given_.value + count);
  co_return std::move(piece);
}

env::Task<void> Store::keep_only(
    std::function<bool(VmId vm, const image::Digest& digest)> is_named) {
  std::vector<image::Digest> unneeded;
  for (const auto& [digest, kept] : here_)
    if (kept.vm && !is_named(kept.vm, digest)) unneeded.push_back(digest);
  // All at once: nobody finds one here that is about to go.
  for (const image::Digest& digest : unneeded)
    here_.erase(digest);
  for (const image::Digest& digest : unneeded) {
    if (has(digest)) continue;  // it came again meanwhile
    const auto removed = co_await env_.disk.remove(path_of(digest));
    if (!removed) {
      BLX_LOG(env_.log, kWarn, "saved guest {} cannot be removed: {}", image::digest_text(digest),
              removed.error().message());
    }
  }
}

void Store::register_metrics(observe::Metrics& metrics, const Store* of) {
  const auto source = [of](void (*tell)(const Store&, observe::Answer&)) {
    return [of, tell](observe::Answer& answer) {
      if (of != nullptr) tell(*of, answer);
    };
  };
  metrics.computed_gauge("blixard_saved_guests",
                         "Guests of suspended VMs, and snapshots, on the disk of this node.",
                         source([](const Store& store, observe::Answer& answer) {
                           answer(static_cast<double>(store.here_.size()));
                         }));
  metrics.computed_gauge("blixard_saved_guests_bytes", "What these take of the disk.",
                         source([](const Store& store, observe::Answer& answer) {
                           double bytes = 0;
                           for (const auto& [digest, kept] : store.here_)
                             bytes += static_cast<double>(kept.size.value);
                           answer(bytes);
                         }));
  metrics.computed_counter("blixard_saved_guests_transferred_bytes_total",
                           "Bytes of saved guests that came from other nodes, or went there.",
                           source([](const Store& store, observe::Answer& answer) {
                             answer({"received"}, static_cast<double>(store.fetched_.value));
                             answer({"sent"}, static_cast<double>(store.given_.value));
                           }),
                           {"direction"});
}

}  // namespace blixard::saved

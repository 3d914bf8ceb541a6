#include "sim/file_system.h"

#include <algorithm>
#include <array>
#include <set>

#include <boost/container/small_vector.hpp>

namespace blixard::sim {
namespace {

constexpr std::uint64_t kFileBytesMax = std::uint64_t{1} << 44;

std::unexpected<Error> not_found(std::string_view path) {
  return fail(Code::kNotFound, "file_missing", std::string(path) + " does not exist");
}

using Parts = boost::container::small_vector<std::string_view, 8>;

// The parts of an absolute path; empty for "/". Errors: kInvalidArgument.
Result<Parts> split(std::string_view path) {
  if (!path.starts_with('/')) {
    return fail(Code::kInvalidArgument, "path_invalid", std::string(path) + " is not absolute");
  }
  Parts parts;
  while (!path.empty()) {
    const auto slash = std::min(path.find('/'), path.size());
    const auto part = path.substr(0, slash);
    if (part == "." || part == "..") {
      return fail(Code::kInvalidArgument, "path_invalid", "a path may not have . or .. in it");
    }
    if (!part.empty()) parts.push_back(part);
    path.remove_prefix(std::min(slash + 1, path.size()));
  }
  return parts;
}

void apply(Content& content, const Inode::Change& change) {
  if (change.bytes) {
    content.write(change.offset, *change.bytes);
  } else {
    content.resize(change.offset);
  }
}

}  // namespace

Inode::Inode(FileSystem& owner_of_it, Kind kind_of_it, std::uint64_t number)
    : files(owner_of_it), kind(kind_of_it), id(number) {}

Inode::~Inode() { files.used_ -= allocated(); }

std::uint64_t Inode::allocated() const {
  return std::max(reserved, content.pages() * Content::kPageBytes);
}

FileSystem::FileSystem(std::uint64_t seed) : random_(seed) { make_first_directories(); }

void FileSystem::make_first_directories() {
  root_ = make_inode(Inode::Kind::kDirectory, 0755);
  for (const char* path : {"/etc", "/run", "/tmp", "/usr", "/var", "/var/lib", "/var/log"}) {
    ignore(make_directory(path), "a new file system takes it");
    ignore(sync_directory(env::parent_path(path)), "a new file system takes it");
  }
}

FileSystem::~FileSystem() {
  unsynced_names_.clear();
  root_.reset();  // while the rest is there for ~Inode
}

InodePtr FileSystem::make_inode(Inode::Kind kind, std::uint32_t mode) {
  auto inode = std::make_shared<Inode>(*this, kind, ++next_inode_);
  inode->mode = mode;
  return inode;
}

Result<InodePtr> FileSystem::find(std::string_view path) const {
  BLX_TRY(const auto parts, split(path));
  InodePtr inode = root_;
  for (const auto part : parts) {
    const auto entry = inode->names.find(part);
    if (entry == inode->names.end()) return not_found(path);
    inode = entry->second;
  }
  return inode;
}

InodePtr FileSystem::find_durable(std::string_view path) const {
  const auto parts = split(path);
  if (!parts) return nullptr;
  InodePtr inode = root_;
  for (const auto part : *parts) {
    const auto entry = inode->durable_names.find(part);
    if (entry == inode->durable_names.end()) return nullptr;
    inode = entry->second;
  }
  return inode;
}

Result<FileSystem::Place> FileSystem::place(std::string_view path) const {
  BLX_TRY(const auto parts, split(path));
  if (parts.empty()) return fail(Code::kInvalidArgument, "path_invalid", "/ has no name");
  InodePtr inode = root_;
  for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
    const auto entry = inode->names.find(parts[i]);
    if (entry == inode->names.end()) return not_found(path);
    inode = entry->second;
  }
  if (inode->kind != Inode::Kind::kDirectory) return not_found(path);
  return Place{inode, std::string(parts.back())};
}

Result<InodePtr> FileSystem::open(std::string_view path, env::OpenMode mode) {
  BLX_TRY(const Place where, place(path));
  const auto entry = where.directory->names.find(where.name);
  if (entry != where.directory->names.end()) {
    if (mode == env::OpenMode::kCreateNew) {
      return fail(Code::kAlreadyExists, "file_exists", std::string(path) + " exists");
    }
    if (entry->second->kind != Inode::Kind::kFile) {
      return fail(Code::kInvalidArgument, "path_invalid",
                  std::string(path) + " is not a regular file");
    }
    return entry->second;
  }
  if (mode == env::OpenMode::kRead || mode == env::OpenMode::kReadWrite) return not_found(path);
  InodePtr file = make_inode(Inode::Kind::kFile, 0600);
  change_names({.entered = where.directory, .entered_name = where.name, .target = file});
  return file;
}

Result<InodePtr> FileSystem::make_socket(std::string_view path, env::Owner owner) {
  BLX_TRY(const Place where, place(path));
  InodePtr socket = make_inode(Inode::Kind::kSocket, 0600);
  socket->owner = owner;
  change_names({.entered = where.directory, .entered_name = where.name, .target = socket});
  return socket;
}

Result<void> FileSystem::make_directory(std::string_view path) {
  BLX_TRY(const auto parts, split(path));
  InodePtr inode = root_;
  for (const auto part : parts) {
    const auto entry = inode->names.find(part);
    if (entry != inode->names.end()) {
      inode = entry->second;
      if (inode->kind == Inode::Kind::kDirectory) continue;
      return fail(Code::kAlreadyExists, "file_exists", std::string(path) + " is not a directory");
    }
    InodePtr made = make_inode(Inode::Kind::kDirectory, 0700);
    change_names({.entered = inode, .entered_name = std::string(part), .target = made});
    inode = made;
  }
  return {};
}

Result<std::vector<env::DirectoryEntry>> FileSystem::list(std::string_view path) const {
  BLX_TRY(const InodePtr directory, find(path));
  if (directory->kind != Inode::Kind::kDirectory) return not_found(path);
  std::vector<env::DirectoryEntry> entries;
  for (const auto& [name, inode] : directory->names) {
    entries.push_back({.name = name,
                       .is_directory = inode->kind == Inode::Kind::kDirectory,
                       .size = inode->content.size()});
  }
  return entries;
}

Result<void> FileSystem::rename(std::string_view from, std::string_view to) {
  BLX_TRY(const InodePtr moved, find(from));
  BLX_TRY(const Place source, place(from));
  BLX_TRY(const Place target, place(to));
  const bool moves_directory = moved->kind == Inode::Kind::kDirectory;
  if (moves_directory && to.starts_with(std::string(from) + "/")) {
    return fail(Code::kInvalidArgument, "path_invalid", "a directory cannot move into itself");
  }
  const auto replaced = target.directory->names.find(target.name);
  if (replaced != target.directory->names.end()) {
    const Inode& old = *replaced->second;
    if (&old == moved.get()) return {};
    const bool replaces_directory = old.kind == Inode::Kind::kDirectory;
    if (moves_directory != replaces_directory || !old.names.empty()) {
      return fail(Code::kFailedPrecondition, "rename_refused", std::string(to) + " is in the way");
    }
  }
  change_names({.left = source.directory,
                .left_name = source.name,
                .entered = target.directory,
                .entered_name = target.name,
                .target = moved});
  return {};
}

Result<void> FileSystem::remove(std::string_view path) {
  BLX_TRY(const InodePtr inode, find(path));
  BLX_TRY(const Place where, place(path));
  if (!inode->names.empty()) {
    return fail(Code::kFailedPrecondition, "directory_not_empty",
                std::string(path) + " is not empty");
  }
  change_names({.left = where.directory, .left_name = where.name});
  return {};
}

Result<void> FileSystem::remove_tree(std::string_view path) {
  const auto inode = find(path);
  if (!inode) {
    if (inode.error().code() == Code::kNotFound) return {};
    return std::unexpected(inode.error());
  }
  while (!(*inode)->names.empty())
    BLX_TRY(remove_tree(env::join_path(path, (*inode)->names.begin()->first)));
  return remove(path);
}

void FileSystem::change_names(NameChange change) {
  if (change.left) change.left->names.erase(change.left_name);
  if (change.entered) change.entered->names[change.entered_name] = change.target;
  unsynced_names_.push_back(std::move(change));
}

void FileSystem::make_durable(const NameChange& change) {
  if (change.left) change.left->durable_names.erase(change.left_name);
  if (change.entered) change.entered->durable_names[change.entered_name] = change.target;
}

Result<void> FileSystem::sync_directory(std::string_view path) {
  BLX_TRY(const InodePtr directory, find(path));
  if (directory->kind != Inode::Kind::kDirectory) return not_found(path);
  if (unsynced_names_.empty()) return {};
  // A rename between directories takes all that came before it in the other one along.
  boost::container::small_vector<const Inode*, 8> reached{directory.get()};
  const auto is_reached = [&](const Inode* inode) {
    return std::ranges::find(reached, inode) != reached.end();
  };
  std::vector<bool> covered(unsynced_names_.size());
  for (std::size_t i = unsynced_names_.size(); i-- > 0;) {
    const std::array directories{unsynced_names_[i].left.get(), unsynced_names_[i].entered.get()};
    covered[i] = std::ranges::any_of(directories, is_reached);
    if (!covered[i]) continue;
    for (const Inode* inode : directories)
      if (inode != nullptr && !is_reached(inode)) reached.push_back(inode);
  }
  std::size_t kept = 0;
  for (std::size_t i = 0; i < unsynced_names_.size(); ++i) {
    if (covered[i]) {
      make_durable(unsynced_names_[i]);
    } else {
      if (kept != i) unsynced_names_[kept] = std::move(unsynced_names_[i]);
      ++kept;
    }
  }
  unsynced_names_.resize(kept);
  return {};
}

Result<void> FileSystem::reserve(const Inode& file, std::uint64_t more_bytes) const {
  const std::uint64_t needed = file.content.pages() * Content::kPageBytes + more_bytes;
  const std::uint64_t growth = needed > file.allocated() ? needed - file.allocated() : 0;
  if (growth > 0 && used_ + growth > capacity) return fail(Code::kResourceExhausted, "disk_full");
  return {};
}

void FileSystem::settle(Inode& file, std::uint64_t allocated_before) {
  used_ += file.allocated() - allocated_before;
}

Result<void> FileSystem::write(Inode& file, std::uint64_t offset, std::string_view bytes) {
  if (bytes.empty()) return {};
  if (offset > kFileBytesMax - bytes.size()) {
    return fail(Code::kInvalidArgument, "offset_invalid");
  }
  BLX_TRY(reserve(file, file.content.pages_missing(offset, bytes.size()) * Content::kPageBytes));
  change_content(file, offset, std::string(bytes));
  return {};
}

Result<void> FileSystem::resize(Inode& file, std::uint64_t size) {
  if (size > kFileBytesMax) return fail(Code::kInvalidArgument, "offset_invalid");
  if (size != file.content.size()) change_content(file, size, std::nullopt);
  return {};
}

Result<void> FileSystem::preallocate(Inode& file, std::uint64_t size) {
  if (size > kFileBytesMax) return fail(Code::kInvalidArgument, "offset_invalid");
  const std::uint64_t before = file.allocated();
  const std::uint64_t rounded =
      (size + Content::kPageBytes - 1) / Content::kPageBytes * Content::kPageBytes;
  if (rounded > before && used_ + (rounded - before) > capacity) {
    return fail(Code::kResourceExhausted, "disk_full");
  }
  file.reserved = std::max(file.reserved, rounded);
  settle(file, before);
  if (size > file.content.size()) return resize(file, size);
  return {};
}

void FileSystem::change_content(Inode& file, std::uint64_t offset,
                                std::optional<std::string> bytes) {
  const std::uint64_t before = file.allocated();
  if (!bytes && offset < file.content.size()) file.reserved = std::min(file.reserved, offset);
  file.unsynced.push_back({++next_change_, offset, std::move(bytes)});
  apply(file.content, file.unsynced.back());
  settle(file, before);
}

std::uint64_t FileSystem::last_change(const Inode& file) {
  return file.unsynced.empty() ? 0 : file.unsynced.back().sequence;
}

void FileSystem::make_durable(Inode& file, std::uint64_t last) {
  while (!file.unsynced.empty() && file.unsynced.front().sequence <= last) {
    apply(file.durable, file.unsynced.front());
    file.unsynced.pop_front();
  }
}

void FileSystem::tear(Inode& file, const Inode::Change& change) {
  std::string_view rest = *change.bytes;
  std::uint64_t offset = change.offset;
  while (!rest.empty()) {
    const std::size_t count =
        std::min<std::size_t>(kSectorBytes - offset % kSectorBytes, rest.size());
    if (random_.one_in(2)) file.durable.write(offset, rest.substr(0, count));
    rest.remove_prefix(count);
    offset += count;
  }
}

void FileSystem::lose_unsynced(Inode& file) {
  for (const Inode::Change& change : file.unsynced) {
    switch (random_.below(3)) {
      case 0:
        break;
      case 1:
        apply(file.durable, change);
        break;
      default:
        if (change.bytes) tear(file, change);
    }
  }
  file.unsynced.clear();
}

void FileSystem::lose_power() {
  std::set<std::uint64_t> lost_in;
  for (const NameChange& change : unsynced_names_) {
    const auto touches_lost = [&](const InodePtr& directory) {
      return directory && lost_in.contains(directory->id);
    };
    if (touches_lost(change.left) || touches_lost(change.entered) || random_.one_in(2)) {
      if (change.left) lost_in.insert(change.left->id);
      if (change.entered) lost_in.insert(change.entered->id);
    } else {
      make_durable(change);
    }
  }
  unsynced_names_.clear();
  if (const auto run = root_->durable_names.find("run"); run != root_->durable_names.end()) {
    run->second->durable_names.clear();
  }
  recover(*root_);
}

void FileSystem::recover(Inode& inode) {
  const std::uint64_t before = inode.allocated();
  lose_unsynced(inode);
  inode.content = inode.durable;
  inode.reserved = std::min(inode.reserved, inode.content.size());
  settle(inode, before);
  inode.names = inode.durable_names;
  for (const auto& [name, child] : inode.names)
    recover(*child);
}

void FileSystem::format() {
  unsynced_names_.clear();
  make_first_directories();
}

Result<void> FileSystem::flip_byte(std::string_view path, std::uint64_t offset) {
  BLX_TRY(const InodePtr file, find(path));
  for (Content* content : {&file->content, &file->durable}) {
    char byte = 0;
    if (content->read(offset, {&byte, 1}) == 0) continue;
    byte = static_cast<char>(byte ^ 0x40);
    content->write(offset, {&byte, 1});
  }
  return {};
}

namespace {

struct Stored {
  std::string path;
  Inode* file;
};

void collect(const std::string& path, Inode& inode, std::vector<Stored>& found) {
  if (inode.kind == Inode::Kind::kFile && inode.durable.pages() > 0)
    found.push_back({path, &inode});
  for (const auto& [name, child] : inode.names)
    collect(env::join_path(path, name), *child, found);
}

}  // namespace

std::optional<std::string> FileSystem::rot(std::string_view below, std::uint64_t where) {
  const auto top = find(below);
  if (!top) return std::nullopt;
  std::vector<Stored> found;
  collect(std::string(below), **top, found);
  if (found.empty()) return std::nullopt;
  SeededRandom choice(where);
  const Stored& chosen = found[choice.below(found.size())];
  Content& durable = chosen.file->durable;
  const auto [begin, size] = durable.stored(choice.below(durable.pages()));
  const std::uint64_t offset = begin + choice.below(size);
  char byte = 0;
  char shown = 0;
  durable.read(offset, {&byte, 1});
  const bool is_shown =
      chosen.file->content.read(offset, {&shown, 1}) == 1 && shown == byte;  // not overwritten
  byte = static_cast<char>(byte ^ 1 << choice.below(8));
  durable.write(offset, {&byte, 1});
  if (is_shown) chosen.file->content.write(offset, {&byte, 1});
  return chosen.path;
}

std::uint64_t FileSystem::wrong_offset(const Inode& file, std::uint64_t offset,
                                       std::uint64_t where) {
  SeededRandom choice(where);
  const std::uint64_t own = offset / kSectorBytes;
  std::uint64_t sector = choice.below(file.content.size() / kSectorBytes + 1);
  if (file.content.pages() > 0) {
    const auto [begin, size] = file.content.stored(choice.below(file.content.pages()));
    sector = (begin + choice.below(size)) / kSectorBytes;
  }
  if (sector == own) sector = own > 0 ? own - 1 : 1;
  return sector * kSectorBytes + offset % kSectorBytes;
}

}  // namespace blixard::sim

#pragma once

// The files of one simulated machine, in two versions: what programs see (the page cache) and
// what is on the disk. A crash of a program changes neither; a loss of power leaves the disk's.
//
// What may be lost, by the seed, at a loss of power:
//   * each write that no sync() of its file covered, on its own: kept, lost or torn, that is, any
//     of its sectors of 512 bytes kept and the others not;
//   * the changes of names (create, rename, remove) of a directory since its last sync: a first
//     part of them is kept, since file systems journal names in order. A rename between two
//     directories is kept in both or in neither;
//   * everything below /run, which is memory.
// What was synced is always there.
//
// Everything here happens at once; disk.cc adds the time it takes and its failures.

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "env/disk.h"
#include "sim/content.h"
#include "sim/random.h"

namespace blixard::sim {

inline constexpr std::size_t kSectorBytes = 512;

class FileSystem;

struct Inode {
  enum class Kind : std::uint8_t { kFile, kDirectory, kSocket };
  using Names = std::map<std::string, std::shared_ptr<Inode>, std::less<>>;

  struct Change {
    std::uint64_t sequence = 0;
    std::uint64_t offset = 0;  // of the bytes, or the new size
    std::optional<std::string> bytes;
  };

  Inode(FileSystem& owner, Kind kind_of_it, std::uint64_t number);
  Inode(const Inode&) = delete;
  Inode& operator=(const Inode&) = delete;
  ~Inode();
  [[nodiscard]] std::uint64_t allocated() const;

  FileSystem& files;
  Kind kind;
  std::uint64_t id;
  std::uint32_t mode = 0;
  env::Owner owner;

  Content content;
  Content durable;
  std::deque<Change> unsynced;
  std::uint64_t reserved = 0;  // preallocated bytes

  Names names;  // of a directory
  Names durable_names;
};

using InodePtr = std::shared_ptr<Inode>;

class FileSystem {
 public:
  explicit FileSystem(std::uint64_t seed);
  FileSystem(const FileSystem&) = delete;
  FileSystem& operator=(const FileSystem&) = delete;
  ~FileSystem();

  Result<InodePtr> find(std::string_view path) const;
  // By the names on the disk; null: not there.
  [[nodiscard]] InodePtr find_durable(std::string_view path) const;
  Result<InodePtr> open(std::string_view path, env::OpenMode mode);
  Result<void> make_directory(std::string_view path);
  Result<std::vector<env::DirectoryEntry>> list(std::string_view path) const;
  Result<void> rename(std::string_view from, std::string_view to);
  Result<void> remove(std::string_view path);
  Result<void> remove_tree(std::string_view path);
  Result<void> sync_directory(std::string_view path);
  // The name must be free. A unix socket, as bind() makes it.
  Result<InodePtr> make_socket(std::string_view path, env::Owner owner);

  Result<void> write(Inode& file, std::uint64_t offset, std::string_view bytes);
  Result<void> resize(Inode& file, std::uint64_t size);
  Result<void> preallocate(Inode& file, std::uint64_t size);

  // A sync covers the changes up to the one that was last when it began.
  [[nodiscard]] static std::uint64_t last_change(const Inode& file);
  static void make_durable(Inode& file, std::uint64_t last);
  void lose_unsynced(Inode& file);  // a failed sync: each change reached the disk or did not

  void lose_power();
  void format();  // as with a new disk
  Result<void> flip_byte(std::string_view path, std::uint64_t offset);

  // Flips one bit that is on the disk, of one file below the path; see Machine::rot().
  std::optional<std::string> rot(std::string_view below, std::uint64_t where);
  // Another place in the file, a whole number of sectors away.
  static std::uint64_t wrong_offset(const Inode& file, std::uint64_t offset, std::uint64_t where);

  [[nodiscard]] std::uint64_t used() const { return used_; }
  std::uint64_t capacity = std::uint64_t{100} << 30;

 private:
  friend struct Inode;
  // One step of a directory's history: a name goes, a name comes, or both at once.
  struct NameChange {
    InodePtr left;  // the directory that loses `left_name`; null: none
    std::string left_name;
    InodePtr entered;  // the directory where `entered_name` now is `target`; null: none
    std::string entered_name;
    InodePtr target;
  };
  struct Place {
    InodePtr directory;
    std::string name;
  };

  void make_first_directories();
  InodePtr make_inode(Inode::Kind kind, std::uint32_t mode);
  Result<Place> place(std::string_view path) const;  // the parent must exist
  void change_names(NameChange change);
  static void make_durable(const NameChange& change);
  void change_content(Inode& file, std::uint64_t offset, std::optional<std::string> bytes);
  Result<void> reserve(const Inode& file, std::uint64_t more_bytes) const;
  void settle(Inode& file, std::uint64_t allocated_before);
  void recover(Inode& inode);
  void tear(Inode& file, const Inode::Change& change);

  SeededRandom random_;
  std::uint64_t next_inode_ = 0;
  std::uint64_t next_change_ = 0;
  std::uint64_t used_ = 0;
  InodePtr root_;
  std::deque<NameChange> unsynced_names_;
};

}  // namespace blixard::sim

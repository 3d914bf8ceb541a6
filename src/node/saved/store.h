#pragma once

// The saved guests on this node's disk: what suspended VMs and snapshots go on from. Each is one
// file under the digest of all its bytes,
//
//   ROOT/<64 hex digits>       mark, header, packed state (docs/formats/saved-guest.md)
//   ROOT/.making-<number>      on its way; what was cut short goes at the next open()
//
// A file is synced before it has its name: a suspended VM lives nowhere else. Which ones are still
// needed is the cluster's to say (keep_only()).
//
// Invariants:
// * Nothing that is read is believed before its digest was right: a Reader says so at its end.
// * Nothing with a name is written again.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/result.h"
#include "base/units.h"
#include "core/image/digest.h"
#include "env/env.h"
#include "env/task.h"
#include "node/saved/header.h"
#include "node/vm/driver.h"
#include "observe/metrics.h"

namespace blixard::saved {

struct Saved {
  image::Digest digest{};
  Bytes size;
};

// A guest on its way to the disk.
class Writer : public vm::StateSink {
 public:
  // Synced, and named. Errors: of the disk.
  virtual env::Task<Result<Saved>> finish() = 0;
  // Instead, or after finish() failed.
  virtual env::Task<void> discard() = 0;
};

struct Opened {
  Header header;
  std::shared_ptr<vm::StateSource> state;  // ends with kDataLoss "saved_guest_damaged" if it is
};

// Bytes of such a file of another node, from `offset` on; "" at its end.
using Pieces = std::function<env::Task<Result<std::string>>(std::uint64_t offset)>;

class Store {
 public:
  // `cluster`: whose guests these are.
  static env::Task<Result<std::unique_ptr<Store>>> open(env::Env env, std::string root,
                                                        std::string cluster);

  // Errors: kResourceExhausted "disk_full" when a guest of that memory may not fit.
  env::Task<Result<std::shared_ptr<Writer>>> create(Header header);

  // Errors: kNotFound "saved_guest_not_here", kDataLoss "saved_guest_damaged", kFailedPrecondition
  // "saved_guest_newer", "saved_guest_foreign".
  env::Task<Result<Opened>> read(image::Digest digest);

  // Reads it through, whatever its header says. Errors: kNotFound "saved_guest_not_here", kDataLoss
  // "saved_guest_damaged", of the disk.
  env::Task<Result<void>> check(image::Digest digest);

  // Copies it from another node, if it is not here. Errors: those of `pieces`, of the disk,
  // kDataLoss "saved_guest_damaged" when what came is something else.
  env::Task<Result<void>> fetch(Saved wanted, Pieces pieces);
  // For another node's fetch(). Errors: kNotFound "saved_guest_not_here".
  env::Task<Result<std::string>> piece(image::Digest digest, std::uint64_t offset);

  [[nodiscard]] bool has(const image::Digest& digest) const { return here_.contains(digest); }
  [[nodiscard]] std::size_t count() const { return here_.size(); }
  // On this node's disk; none: the metrics are only declared. It outlives the readings.
  static void register_metrics(observe::Metrics& metrics, const Store* of);
  // Removes those that nobody names.
  env::Task<void> keep_only(std::function<bool(VmId vm, const image::Digest& digest)> is_named);

 private:
  class FileWriter;
  class FileReader;

  Store(env::Env env, std::string root, std::string cluster);
  env::Task<Result<void>> load();
  env::Task<Result<Decoded>> read_header(env::File& file);
  env::Task<Result<void>> check_space(Bytes needed);
  struct Kept {
    VmId vm;  // none: its header cannot be read
    Bytes size;
  };

  env::Task<Result<void>> settle(std::string making, Saved saved, VmId vm);
  env::Task<Result<VmId>> copy(std::string path, Saved wanted, Pieces pieces);
  env::Task<void> give_up(std::string making);
  [[nodiscard]] std::string path_of(const image::Digest& digest) const;
  [[nodiscard]] std::string next_making();

  env::Env env_;
  std::string root_;
  std::string cluster_;
  std::map<image::Digest, Kept> here_;
  std::uint64_t made_ = 0;
  Bytes fetched_;
  Bytes given_;
};

}  // namespace blixard::saved

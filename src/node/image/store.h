#pragma once

// The images on this node's disk, ready to boot: unpacked, with digests that were checked.
//
// An image arrives as a folder (docs/formats/image.md) and is kept as
//
//   ROOT/<name>-<16 hex digits of its content>/vmlinux    unpacked kernel
//   ROOT/<name>-<16 hex digits of its content>/initrd
//
// written beside under a name that begins with ".import-", synced, and renamed, so a folder with a
// final name is whole; what an interrupted import left is removed by open(). Two contents of one
// name never share a folder. Guests' processes read the files as another user, so they are
// readable by all (0444 in 0755); they hold no secrets.
//
// The identity of a file in the cluster is its BLAKE3 digest. image.json also names SHA-256 sums,
// for people with sha256sum; they are not checked here, because a sum that comes with the file
// proves no more than the sizes and zstd's own checks do, and node/ has no SHA-256.

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "core/cluster/model.h"
#include "core/image/digest.h"
#include "env/env.h"
#include "env/sync.h"
#include "env/task.h"
#include "node/image/source.h"

namespace blixard::image {

inline constexpr const char* kKernelName = "vmlinux";
inline constexpr const char* kInitrdName = "initrd";

// Of the file of that name; none: the image has no such file.
std::optional<Digest> digest_in(const cluster::Image& image, std::string_view name);

struct Paths {
  std::string kernel;
  std::string initrd;
};

class Store {
 public:
  // Makes `root` if it is not there and sweeps half-imported folders. What holds `root` must be
  // there to stay.
  static env::Task<Result<std::unique_ptr<Store>>> open(env::Env env, std::string root);

  // Takes a copy of the image in `folder`, as `name` (empty: its own name), and answers with what
  // the cluster keeps of it, without id and time. The same image again is checked, not copied.
  // Errors: kInvalidArgument "image_path_invalid", "image_json_invalid", "name_invalid"; kNotFound
  // "image_json_missing", "image_incomplete"; kFailedPrecondition "image_format_unknown";
  // kResourceExhausted "image_too_large", "disk_full"; kDataLoss "image_damaged"; disk errors.
  // Nothing is left behind then.
  env::Task<Result<cluster::Image>> import(std::string folder, std::string name);

  // Files to boot from. Their digests are checked once in the life of the process. Errors:
  // kNotFound "image_file_missing", kDataLoss "image_damaged".
  env::Task<Result<Paths>> paths(cluster::Image image);

  // Whether its files are here; nothing is read.
  [[nodiscard]] bool has(const cluster::Image& image) const;

  // Notified when the cluster has heard of an image that was imported or removed here.
  [[nodiscard]] env::Signal& news() { return news_; }

  // Fine if it is not there.
  env::Task<Result<void>> remove(cluster::Image image);

 private:
  class Turn;

  Store(env::Env env, std::string root);
  env::Task<Result<void>> sweep();
  env::Task<Result<void>> take_turn();
  env::Task<Result<cluster::Image>> import_into(std::string folder, std::string name,
                                                std::string temporary);
  env::Task<Result<cluster::ImageFile>> copy(std::string from, std::string to, SourceFile about);
  env::Task<Result<cluster::ImageFile>> unpack(std::string from, std::string to, SourceFile about);
  env::Task<Result<void>> settle(const cluster::Image& image, std::string temporary);
  env::Task<Result<void>> check(const cluster::Image& image);
  [[nodiscard]] std::string directory_of(const cluster::Image& image) const;

  env::Env env_;
  std::string root_;
  std::set<std::string> present_;  // directories
  std::set<std::string> checked_;  // those whose digests were right
  bool busy_ = false;              // one import, check or removal at a time
  env::Signal changed_;            // of busy_
  env::Signal news_;
};

}  // namespace blixard::image

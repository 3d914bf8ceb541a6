#pragma once

// What a trial guest told about KVM on this host, and where that is remembered.
//
// Timing a loop of guest code (env::KvmReport) cannot show that a kernel boots; one real boot can,
// and costs seconds. So its outcome is kept, for as long as everything it depends on is the same:
// the host's boot, QEMU's version and the KVM module. A file that cannot be read, or is of another
// key, counts as no verdict: the trial is held again.

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "env/disk.h"
#include "env/task.h"

namespace blixard::qemu {

struct KvmKey {
  std::string boot_id;
  std::string version;  // of QEMU
  std::string module;
  friend bool operator==(const KvmKey&, const KvmKey&) = default;
};

struct KvmVerdict {
  KvmKey key;
  bool boots = false;
  std::string finding;  // if it does not: what the trial saw, one line

  [[nodiscard]] std::string encode() const;                  // JSON
  static Result<KvmVerdict> decode(std::string_view bytes);  // errors: kDataLoss "verdict_invalid"
};

// None: nothing is stored for this key.
env::Task<std::optional<KvmVerdict>> load_verdict(env::Disk& disk, std::string path, KvmKey key);
env::Task<Result<void>> store_verdict(env::Disk& disk, std::string path, KvmVerdict verdict);

}  // namespace blixard::qemu

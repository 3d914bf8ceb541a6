#pragma once

// A state in a file of ours, as a template keeps it: written from its begin, and read only as what
// a digest says.

#include <cstdint>

#include "core/image/digest.h"
#include "env/disk.h"
#include "node/vm/driver.h"

namespace blixard::qemu {

// Into the empty `file`, which outlives it.
class FileSink final : public vm::StateSink {
 public:
  explicit FileSink(env::File& file) : file_(file) {}
  env::Task<Result<void>> write(std::string_view piece) override;

 private:
  env::File& file_;
  std::uint64_t size_ = 0;
};

// Of `file`, which outlives it. Errors: also kDataLoss "state_damaged".
class FileSource final : public vm::StateSource {
 public:
  FileSource(env::File& file, const image::Digest& digest) : file_(file), digest_(digest) {}
  env::Task<Result<std::size_t>> read(std::span<char> buffer) override;

 private:
  env::File& file_;
  image::Digest digest_;
  image::Hasher hasher_;
  std::uint64_t read_ = 0;
};

}  // namespace blixard::qemu

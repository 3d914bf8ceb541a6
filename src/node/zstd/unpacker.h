#pragma once

// zstd, piece by piece and never past a size: a small file that unpacks to more than was promised
// is damaged or means harm.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace blixard::zstd {

class Unpacker {
 public:
  explicit Unpacker(std::uint64_t bytes_most);
  ~Unpacker();

  // Some of what `packed` unpacks to, valid until the next call; `packed` is cut by what was used.
  // "" with an empty `packed`: more input is needed. Errors: kDataLoss "packed_damaged" with what
  // is wrong, kResourceExhausted "out_of_memory".
  Result<std::string_view> next(std::string_view& packed);

  // At the end of input. Errors: kDataLoss "packed_damaged" when something is missing.
  [[nodiscard]] Result<void> finish() const;

 private:
  struct Context;
  std::unique_ptr<Context> context_;
  std::string buffer_;
  std::uint64_t bytes_most_;
  std::uint64_t bytes_ = 0;
  bool frame_done_ = false;
};

}  // namespace blixard::zstd

#pragma once

// zstd, piece by piece: one frame.

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace blixard::zstd {

class Packer {
 public:
  // `level`: of zstd; 1 is fast.
  explicit Packer(int level);
  ~Packer();

  // Appends what is ready to `packed`. Errors: kResourceExhausted "out_of_memory".
  Result<void> add(std::string_view bytes, std::string& packed);
  // Appends the rest. Nothing may be added after it.
  Result<void> finish(std::string& packed);

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

}  // namespace blixard::zstd

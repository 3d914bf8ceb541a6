#pragma once

// env::Random from the kernel's generator: fit for keys and tokens. Values are fetched in blocks
// and erased as they are handed out.

#include <array>
#include <cstdint>
#include <memory>
#include <string_view>

#include "env/random.h"

namespace blixard::linux_side {

class Random final : public env::Random {
 public:
  std::uint64_t next() override;
  std::unique_ptr<env::Random> fork(std::string_view name) override;

 private:
  std::array<std::uint64_t, 32> block_{};  // 256 bytes: getrandom gives these whole
  std::size_t used_ = 32;
};

}  // namespace blixard::linux_side

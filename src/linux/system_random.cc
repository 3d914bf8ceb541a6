#include "linux/system_random.h"

#include <sys/random.h>

#include <utility>

#include "base/assert.h"
#include "linux/descriptor.h"

namespace blixard::linux_side {

std::uint64_t Random::next() {
  if (used_ == block_.size()) {
    const auto count =
        retry_interrupted([this] { return getrandom(block_.data(), sizeof block_, 0); });
    BLX_ASSERT(count == static_cast<ssize_t>(sizeof block_));
    used_ = 0;
  }
  return std::exchange(block_[used_++], 0);
}

std::unique_ptr<env::Random> Random::fork(std::string_view /*name*/) {
  return std::make_unique<Random>();
}

}  // namespace blixard::linux_side

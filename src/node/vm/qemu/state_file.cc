#include "node/vm/qemu/state_file.h"

#include <array>

#include "base/bug.h"

namespace blixard::qemu {

env::Task<Result<void>> FileSink::write(std::string_view piece) {
  const std::array<std::string_view, 1> parts{piece};
  BLX_CO_TRY(co_await file_.write_at(size_, parts));
  size_ += piece.size();
  co_return Result<void>();
}

env::Task<Result<std::size_t>> FileSource::read(std::span<char> buffer) {
  BLX_CO_TRY(const std::size_t count, co_await file_.read_at(read_, buffer));
  hasher_.update({buffer.data(), count});
  read_ += count;
  if (count == 0 && hasher_.finish() != digest_ && !BLX_BUG(kBelievesTemplates)) {
    co_return fail(Code::kDataLoss, "state_damaged", "the saved state is not what was saved");
  }
  co_return count;
}

}  // namespace blixard::qemu

#pragma once

// What is said over one connection, in the order of say(). Several tasks may have something to
// say; one at a time writes. Shared by those tasks, since the connection may go first.

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"
#include "env/network.h"
#include "env/task.h"

namespace blixard::sim {

class Outbox {
 public:
  explicit Outbox(std::unique_ptr<env::Stream> stream) : stream_(std::move(stream)) {}

  [[nodiscard]] env::Stream& stream() { return *stream_; }
  // Without its newline. Lost where the other end takes nothing.
  void say(std::string_view line) {
    constexpr std::size_t kWaitingMax = std::size_t{4} << 20;
    if (waiting_.size() + line.size() >= kWaitingMax) return;
    waiting_ += line;
    waiting_ += '\n';
  }
  // Returns when all is written, or at once if another task is at it.
  static env::Task<Result<void>> flush(std::shared_ptr<Outbox> box) {
    if (box->is_writing_) co_return Result<void>();
    box->is_writing_ = true;
    Result<void> written;
    while (written && !box->waiting_.empty()) {
      const std::string now = std::exchange(box->waiting_, {});
      written = co_await box->stream_->write_all(now);
    }
    box->is_writing_ = false;
    co_return written;
  }

 private:
  std::unique_ptr<env::Stream> stream_;
  std::string waiting_;
  bool is_writing_ = false;
};

}  // namespace blixard::sim

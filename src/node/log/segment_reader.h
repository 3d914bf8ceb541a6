#pragma once

// Reads a segment in pieces when the log is opened: only the piece that is looked at is in memory.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "env/disk.h"
#include "env/task.h"
#include "node/log/format.h"

namespace blixard::log {

class SegmentReader {
 public:
  SegmentReader(std::shared_ptr<env::File> file, std::uint64_t bytes, const Uuid& log_id)
      : file_(std::move(file)), bytes_(bytes), log_id_(log_id) {}

  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }

  // What is at `offset`: `count` bytes, fewer at the end of the file. Valid until the next call of
  // any function.
  env::Task<Result<std::string_view>> view(std::uint64_t offset, std::uint64_t count);
  // The sound batch at `offset`, if one is there. As valid as a view.
  env::Task<Result<std::optional<Batch>>> batch_at(std::uint64_t offset);

  struct Rest {
    std::uint64_t end = 0;  // of what is not zeros, `offset` at least
    bool has_batch = false;
  };
  // What is behind `offset`; a sound batch there with a number of at least `number` ends the
  // search.
  env::Task<Result<Rest>> look_behind(std::uint64_t offset, std::uint64_t number);

 private:
  [[nodiscard]] std::uint64_t in_window_behind(std::uint64_t offset) const;

  std::shared_ptr<env::File> file_;
  std::uint64_t bytes_;
  Uuid log_id_;
  std::string window_;
  std::uint64_t window_begin_ = 0;
};

}  // namespace blixard::log

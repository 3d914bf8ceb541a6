#include "node/log/segment_reader.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/unwritten.h"

namespace blixard::log {
namespace {

constexpr std::uint64_t kPieceBytes = std::uint64_t{1} << 20;

// What consists of one byte is equal to itself moved by one.
bool is_zero(std::string_view block) {
  return block.front() == '\0' &&
         std::memcmp(block.data(), block.data() + 1, block.size() - 1) == 0;
}

// Where the zeros begin that `piece` ends with. By blocks: nearly all of a segment may be zeros,
// and every start looks at them.
std::size_t end_of_data(std::string_view piece) {
  constexpr std::size_t kBlockBytes = 4096;
  std::size_t end = piece.size();
  while (end >= kBlockBytes && is_zero(piece.substr(end - kBlockBytes, kBlockBytes)))
    end -= kBlockBytes;
  while (end > 0 && piece[end - 1] == '\0')
    --end;
  return end;
}

}  // namespace

env::Task<Result<std::string_view>> SegmentReader::view(std::uint64_t offset, std::uint64_t count) {
  count = std::min(count, bytes_ - std::min(offset, bytes_));
  const bool is_there = offset >= window_begin_ && offset + count <= window_begin_ + window_.size();
  if (!is_there) {
    const std::uint64_t size = std::min(std::max(count, kPieceBytes), bytes_ - offset);
    resize_unwritten(window_, size);
    window_begin_ = offset;
    const auto read = co_await file_->read_at(offset, window_);
    window_.resize(read.value_or(0));
    if (!read) co_return std::unexpected(read.error());
    count = std::min<std::uint64_t>(count, *read);
  }
  co_return std::string_view(window_).substr(offset - window_begin_, count);
}

std::uint64_t SegmentReader::in_window_behind(std::uint64_t offset) const {
  const std::uint64_t end = window_begin_ + window_.size();
  return offset >= window_begin_ && offset < end ? end - offset : 0;
}

env::Task<Result<std::optional<Batch>>> SegmentReader::batch_at(std::uint64_t offset) {
  BLX_CO_TRY(const std::string_view header, co_await view(offset, kBatchHeaderBytes));
  const auto size = batch_bytes(header, log_id_);
  if (!size) co_return std::optional<Batch>();
  BLX_CO_TRY(const std::string_view bytes, co_await view(offset, *size));
  co_return decode_batch(bytes, log_id_);
}

env::Task<Result<SegmentReader::Rest>> SegmentReader::look_behind(std::uint64_t offset,
                                                                  std::uint64_t number) {
  Rest rest{.end = offset};
  for (std::uint64_t at = offset; at < bytes_;) {
    // What the window has is looked at before more is read.
    const std::uint64_t known = in_window_behind(at);
    BLX_CO_TRY(const std::string_view piece,
               co_await view(at, known >= kBatchHeaderBytes ? known : kPieceBytes));
    if (piece.empty()) break;
    const std::size_t end = end_of_data(piece);
    if (end > 0) rest.end = std::max(rest.end, at + end);
    // A batch begins with what is not zero, and its header may end with zeros.
    const std::string_view data = piece.substr(0, end + kBatchHeaderBytes);
    std::vector<std::uint64_t> candidates;
    for (auto found = find_batch(data, 0, log_id_); found;
         found = find_batch(data, *found + 1, log_id_)) {
      candidates.push_back(at + *found);
    }
    // A header that this piece cuts is whole in the next one.
    const bool is_last = at + piece.size() >= bytes_;
    at += is_last || piece.size() < kBatchHeaderBytes ? piece.size()
                                                      : piece.size() - kBatchHeaderBytes + 1;
    for (const std::uint64_t candidate : candidates) {
      BLX_CO_TRY(const auto batch, co_await batch_at(candidate));
      if (!batch || batch->number < number) continue;
      rest.has_batch = true;
      co_return rest;
    }
  }
  co_return rest;
}

}  // namespace blixard::log

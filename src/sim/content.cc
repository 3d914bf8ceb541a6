#include "sim/content.h"

#include <algorithm>
#include <cstring>

namespace blixard::sim {

std::size_t Content::read(std::uint64_t offset, std::span<char> buffer) const {
  if (offset >= size_) return 0;
  const std::size_t total = std::min<std::uint64_t>(buffer.size(), size_ - offset);
  for (std::size_t done = 0; done < total;) {
    const std::uint64_t at = offset + done;
    const std::size_t within = at % kPageBytes;
    const std::size_t count = std::min<std::size_t>(kPageBytes - within, total - done);
    const auto page = pages_.find(at / kPageBytes);
    if (page == pages_.end()) {
      std::memset(buffer.data() + done, 0, count);
    } else {
      std::memcpy(buffer.data() + done, page->second.data() + within, count);
    }
    done += count;
  }
  return total;
}

void Content::write(std::uint64_t offset, std::string_view bytes) {
  size_ = std::max<std::uint64_t>(size_, offset + bytes.size());
  while (!bytes.empty()) {
    const std::size_t within = offset % kPageBytes;
    const std::size_t count = std::min<std::size_t>(kPageBytes - within, bytes.size());
    std::string& page = pages_[offset / kPageBytes];
    page.resize(kPageBytes);
    std::memcpy(page.data() + within, bytes.data(), count);
    bytes.remove_prefix(count);
    offset += count;
  }
}

void Content::resize(std::uint64_t size) {
  if (size < size_) {
    const std::uint64_t within = size % kPageBytes;
    auto page = pages_.lower_bound(size / kPageBytes);
    if (within != 0 && page != pages_.end() && page->first == size / kPageBytes) {
      std::fill(page->second.begin() + static_cast<std::ptrdiff_t>(within), page->second.end(),
                '\0');
      ++page;
    }
    pages_.erase(page, pages_.end());
  }
  size_ = size;
}

Content::Range Content::stored(std::uint64_t number) const {
  const auto page = std::next(pages_.begin(), static_cast<std::ptrdiff_t>(number));
  const std::uint64_t begin = page->first * kPageBytes;
  return {begin, std::min(kPageBytes, size_ - begin)};
}

std::uint64_t Content::pages_missing(std::uint64_t offset, std::uint64_t count) const {
  if (count == 0) return 0;
  const std::uint64_t first = offset / kPageBytes;
  const std::uint64_t last = (offset + count - 1) / kPageBytes;
  std::uint64_t missing = last - first + 1;
  for (auto page = pages_.lower_bound(first); page != pages_.end() && page->first <= last; ++page)
    --missing;
  return missing;
}

}  // namespace blixard::sim

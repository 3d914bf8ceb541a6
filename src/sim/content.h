#pragma once

// The bytes of a simulated file: pages that are there only where something was written, so that a
// preallocated or sparse file costs what it holds.

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>

namespace blixard::sim {

class Content {
 public:
  static constexpr std::uint64_t kPageBytes = 4096;

  [[nodiscard]] std::uint64_t size() const { return size_; }
  [[nodiscard]] std::uint64_t pages() const { return pages_.size(); }
  // Where the page of that number is, of those that are there, and how much of it is in the file.
  struct Range {
    std::uint64_t begin = 0;
    std::uint64_t size = 0;
  };
  [[nodiscard]] Range stored(std::uint64_t number) const;

  std::size_t read(std::uint64_t offset, std::span<char> buffer) const;
  void write(std::uint64_t offset, std::string_view bytes);  // grows
  void resize(std::uint64_t size);                           // grows with zeros
  // How many pages a write there would add.
  [[nodiscard]] std::uint64_t pages_missing(std::uint64_t offset, std::uint64_t count) const;

 private:
  std::uint64_t size_ = 0;
  std::map<std::uint64_t, std::string> pages_;
};

}  // namespace blixard::sim

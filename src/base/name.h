#pragma once

// Interned names of what the cluster keeps many of: VMs, nodes, images. A Name is four bytes, and
// equal names are one text in memory, however many VMs say which image they are made of; comparing
// and hashing them does not look at the text.
//
// A text lives as long as a Name of it, so that a cluster which makes and deletes VMs for years
// keeps no old ones. Each thread has a table of its own and nothing is locked: a Name stays on the
// thread that made it (the replicated state is the node's one thread's). What goes to another
// thread goes as text.
//
// Numbers are given out in the order in which names come, and again after their text has gone; they
// are never shown, stored or ordered by. Order is that of the texts.

#include <compare>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/core.h>

namespace blixard {

class Name {
 public:
  Name() = default;  // the empty text
  explicit Name(std::string_view text);
  Name(const Name& other) noexcept : number_(other.number_) { retain(); }
  Name(Name&& other) noexcept : number_(std::exchange(other.number_, 0)) {}
  Name& operator=(Name other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  ~Name() { release(); }

  // The Name of a text that somebody has already; the empty one if nobody has. Makes nothing.
  [[nodiscard]] static Name find(std::string_view text);

  // Valid as long as a Name of it.
  [[nodiscard]] const std::string& text() const;
  operator std::string_view() const { return text(); }  // NOLINT(google-explicit-constructor)
  [[nodiscard]] bool empty() const { return number_ == 0; }

  friend bool operator==(const Name& a, const Name& b) { return a.number_ == b.number_; }
  friend bool operator==(const Name& a, std::string_view b) { return a.text() == b; }
  friend std::strong_ordering operator<=>(const Name& a, const Name& b) {
    return a.text() <=> b.text();
  }

  struct Hash {
    std::size_t operator()(const Name& name) const noexcept { return name.number_; }
  };

  // Texts that this thread has, and what they take.
  struct Usage {
    std::size_t texts = 0;
    std::size_t bytes = 0;
  };
  [[nodiscard]] static Usage usage();

 private:
  void retain() const noexcept;
  void release() const noexcept;

  std::uint32_t number_ = 0;  // 0: empty, and not counted
};

}  // namespace blixard

template <>
struct fmt::formatter<blixard::Name> : fmt::formatter<std::string_view> {
  template <class Context>
  auto format(const blixard::Name& name, Context& context) const {
    return fmt::formatter<std::string_view>::format(name.text(), context);
  }
};

#pragma once

// Bytes that are made once and shared: what a client proposed is encoded once and stays that byte
// range in the log in memory, on the wire and on disk. A Payload is a view and a share in the
// buffer that holds it, so an entry cut out of a received frame copies nothing.
//
// Immutable; copying one costs a reference count.

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace blixard {

class Payload {
 public:
  Payload() = default;
  // Takes the bytes over.
  explicit Payload(std::string bytes)
      : owner_(bytes.empty() ? nullptr : std::make_shared<const std::string>(std::move(bytes))),
        view_(owner_ ? std::string_view(*owner_) : std::string_view()) {}
  // A part of a buffer that others share. Precondition: `part` lies in `*owner`.
  Payload(std::shared_ptr<const std::string> owner, std::string_view part)
      : owner_(std::move(owner)), view_(part) {}

  // Shares the same buffer. Precondition: offset <= size().
  [[nodiscard]] Payload part(std::size_t offset, std::size_t count) const {
    return Payload(owner_, view_.substr(offset, count));
  }

  [[nodiscard]] std::string_view view() const { return view_; }
  [[nodiscard]] std::size_t size() const { return view_.size(); }
  [[nodiscard]] bool empty() const { return view_.empty(); }
  // What it keeps alive: more than size() when it is a small part of a large buffer.
  [[nodiscard]] std::size_t held_bytes() const { return owner_ ? owner_->size() : 0; }

  friend bool operator==(const Payload& a, const Payload& b) { return a.view_ == b.view_; }

 private:
  std::shared_ptr<const std::string> owner_;
  std::string_view view_;
};

}  // namespace blixard

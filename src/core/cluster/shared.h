#pragma once

// A value that most owners have in its default form: then it takes one null pointer. Copies share
// it, nobody changes it, and equal is what has equal content.

#include <memory>
#include <utility>

namespace blixard::cluster {

template <class T>
class Shared {
 public:
  Shared() = default;
  Shared(T value)  // NOLINT(google-explicit-constructor): it is that value
      : value_(value == T() ? nullptr : std::make_shared<const T>(std::move(value))) {}

  const T& operator*() const { return value_ ? *value_ : default_value(); }
  const T* operator->() const { return &**this; }
  [[nodiscard]] bool is_default() const { return value_ == nullptr; }

  friend bool operator==(const Shared& a, const Shared& b) {
    return a.value_ == b.value_ || *a == *b;
  }

 private:
  static const T& default_value() {
    static const T kDefault{};
    return kDefault;
  }

  std::shared_ptr<const T> value_;
};

}  // namespace blixard::cluster

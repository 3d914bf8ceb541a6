#pragma once

// What clients saw, written as it happens in the form blixard-json (docs/formats/history.md).

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <boost/json.hpp>

namespace blixard::vopr {

class History {
 public:
  // With room for so many operations and their answers.
  explicit History(std::size_t operations) {
    text_.reserve(operations * kBytesOfOperation);
    text_ = "{\"blixard_history\":1}\n";
  }

  void invoke(std::uint32_t process, std::string_view function, std::string_view key,
              std::string_view value = {});
  void ok(std::uint32_t process, std::string_view function, std::string_view key,
          std::string_view value);
  // A refusal that tells something of the object.
  void refused(std::uint32_t process, std::string_view function, std::string_view key,
               std::string_view error);
  void fail(std::uint32_t process, std::string_view function, std::string_view key);
  void info(std::uint32_t process, std::string_view function, std::string_view key);

  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  struct Argument {
    std::string_view name;  // empty: there is none
    std::string_view text;
    bool is_text = false;  // else JSON as it stands
  };
  void line(std::uint32_t process, std::string_view type, std::string_view function,
            std::string_view key, Argument argument);

  static constexpr std::size_t kBytesOfOperation = 256;  // most are shorter

  std::string text_;
};

// Of a VM as the API shows it, what a history tells: id, name, desired, generation, state.
[[nodiscard]] std::string seen_vm(const boost::json::object& vm);

}  // namespace blixard::vopr

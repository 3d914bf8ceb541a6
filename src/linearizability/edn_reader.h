#pragma once

// Reads EDN (github.com/edn-format/edn) as far as histories need it: nil, booleans, numbers,
// strings, keywords, vectors, lists, maps, comments and discarded forms become what they are;
// symbols, characters, sets and tagged forms are read past and become kOther, which no operation
// takes for a value. Bounded in depth and in the length of a word.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/result.h"
#include "linearizability/form.h"

namespace blixard::linearizability {

class EdnReader {
 public:
  explicit EdnReader(std::string_view text, std::uint64_t first_line = 1)
      : text_(text), line_(first_line) {}

  // The next form; nothing at the end. Errors: kInvalidArgument "history_invalid" with the line.
  Result<std::optional<Form>> next();

 private:
  enum class Closing : char { kNone = 0, kRound = ')', kSquare = ']', kCurly = '}' };

  Result<std::optional<Form>> read(std::size_t depth, Closing closing);
  Result<Form> read_items(Form::Kind kind, std::size_t depth, Closing closing);
  Result<Form> read_string();
  Result<Form> read_word();
  Result<std::optional<Form>> read_dispatch(std::size_t depth, Closing closing);
  Result<Form> read_one(std::size_t depth, std::string_view what);
  void skip_space();
  void advance();
  [[nodiscard]] bool at_end() const { return at_ == text_.size(); }

  std::string_view text_;
  std::size_t at_ = 0;
  std::uint64_t line_;
};

}  // namespace blixard::linearizability

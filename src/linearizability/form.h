#pragma once

// A value as a history writes it, whatever notation it is in: EDN and JSON both become this.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace blixard::linearizability {

struct Form {
  enum class Kind : std::uint8_t {
    kNil,
    kBool,     // text "true" or "false"
    kNumber,   // text as written
    kString,   // text without quotes
    kKeyword,  // text without its colon
    kVector,   // lists too
    kMap,      // items are keys and values in turn
    kOther,    // known to be there, not what it means: a symbol, a character, a set, a tagged form
  };

  Kind kind = Kind::kNil;
  std::string text;
  std::vector<Form> items;
  std::uint64_t line = 0;

  [[nodiscard]] bool is_nil() const { return kind == Kind::kNil; }
  [[nodiscard]] bool is_scalar() const {
    return kind != Kind::kVector && kind != Kind::kMap && kind != Kind::kOther;
  }
  // The value at a key (a keyword or string) of a map; null if there is none.
  [[nodiscard]] const Form* find(std::string_view key) const;
  // As EDN writes it; equal exactly for equal values.
  [[nodiscard]] std::string printed() const;

  static Form nil() { return {}; }
  static Form boolean(bool value) { return of(Kind::kBool, value ? "true" : "false"); }
  static Form of(Kind kind, std::string text) {
    return {.kind = kind, .text = std::move(text), .items = {}, .line = 0};
  }
};

}  // namespace blixard::linearizability

#pragma once

// toml++ 3.3 asserts on some malformed texts instead of refusing them, and where asserts are off it
// lets the compiler assume that they hold. So it is compiled here, and what it believes is checked:
// who parses or walks a table catches LibraryMistaken beside toml::parse_error.

namespace blixard::toml_text {

struct LibraryMistaken {};
[[noreturn]] inline void library_is_mistaken() { throw LibraryMistaken(); }

}  // namespace blixard::toml_text

// NOLINTBEGIN(readability-identifier-naming): the names are the library's
#define TOML_HEADER_ONLY 1
#define TOML_ENABLE_FORMATTERS 0
#include <toml++/impl/preprocessor.h>
#undef TOML_ASSERT
#undef TOML_ASSERT_ASSUME
#undef TOML_ASSUME
#undef TOML_UNREACHABLE
#define TOML_ASSERT(...) ((__VA_ARGS__) ? void() : ::blixard::toml_text::library_is_mistaken())
#define TOML_ASSERT_ASSUME(...) TOML_ASSERT(__VA_ARGS__)
#define TOML_ASSUME(...) TOML_ASSERT(__VA_ARGS__)
#define TOML_UNREACHABLE ::blixard::toml_text::library_is_mistaken()
// NOLINTEND(readability-identifier-naming)
#include <toml++/toml.h>

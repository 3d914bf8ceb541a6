#pragma once

// How far two words are apart: letters to change, to add or to leave out (Levenshtein 1966). For
// short texts: it takes the product of both lengths.

#include <cstddef>
#include <string_view>

namespace blixard {

[[nodiscard]] std::size_t edit_distance(std::string_view a, std::string_view b);

}  // namespace blixard

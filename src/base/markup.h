#pragma once

// Text from outside in pages and pictures: HTML, SVG, XML.

#include <cstddef>
#include <string>
#include <string_view>

namespace blixard {

// As content or within quotes. Control characters but line ends are spaces: XML has none.
[[nodiscard]] std::string escaped(std::string_view text);

// At most so many bytes of UTF-8 and a sign that more was there, cut between characters.
[[nodiscard]] std::string shortened(std::string_view text, std::size_t bytes);

}  // namespace blixard

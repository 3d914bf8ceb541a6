#pragma once

// Room to read into, without zeros that would be written for nothing.

#include <cstddef>
#include <string>

namespace blixard {

// What is new in the string is undefined until it is written; cut off what was not.
inline void resize_unwritten(std::string& buffer, std::size_t bytes) {
  // Libstdc++ 12 gives the function the new capacity, not the size that was asked for.
  buffer.resize_and_overwrite(bytes, [bytes](char*, std::size_t) { return bytes; });
}

}  // namespace blixard

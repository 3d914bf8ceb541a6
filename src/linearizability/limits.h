#pragma once

// Bounds of what is read and searched here. Reaching one is an error or the verdict "unknown".

#include <cstddef>
#include <cstdint>

namespace blixard::linearizability::limits {

inline constexpr std::size_t kHistoryBytes = std::size_t{256} << 20;  // of one file
inline constexpr std::size_t kLineBytes = std::size_t{1} << 20;
inline constexpr std::size_t kOperations = 1'000'000;
inline constexpr std::size_t kFormDepth = 32;                      // vectors in vectors
inline constexpr std::size_t kTextBytes = 64 * 1024;               // of one string, word or number
inline constexpr std::size_t kSearchBytes = std::size_t{2} << 30;  // what a search remembers
inline constexpr std::size_t kPicturedOperations = 5000;           // in one picture
inline constexpr std::size_t kLabelBytes = 200;                    // of an operation in a picture

}  // namespace blixard::linearizability::limits

#pragma once

// BLX_ASSERT guards our own invariants, in release builds too: a broken one ends the program with
// its text and place, because going on would spread the damage. What comes from a peer, the disk,
// a guest or a user is checked and answered with an Error, never asserted.

namespace blixard {

[[noreturn]] void assertion_failed(const char* expression, const char* file, int line);

}  // namespace blixard

#define BLX_ASSERT(expression)                                      \
  do {                                                              \
    if (!(expression)) [[unlikely]]                                 \
      ::blixard::assertion_failed(#expression, __FILE__, __LINE__); \
  } while (false)

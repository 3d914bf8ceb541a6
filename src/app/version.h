#pragma once

// The program's version, from the build.

#include <string_view>

namespace blixard::app {

inline constexpr std::string_view kVersion = BLX_VERSION;

}  // namespace blixard::app

#pragma once

// What lies on a machine's disk where its node keeps saved guests, whole or not.

#include <string>
#include <string_view>
#include <vector>

#include "vopr/cluster.h"

namespace blixard::vopr {

inline constexpr std::string_view kSaveInMaking = ".making-";  // how such names begin

[[nodiscard]] std::string saves_directory(const Site& site);
// Names of files, in their order: digests, and what is being made.
[[nodiscard]] std::vector<std::string> stored_saves(const Site& site);

}  // namespace blixard::vopr

#pragma once

// Where the sources can be made faulty: both programs that do it check that every fault has a
// switch, and that every source with one of theirs was built with faults.

#include <map>
#include <set>
#include <string>
#include <string_view>

namespace blixard::zoo {

// The names of the switches in each source, by its path below src/.
[[nodiscard]] std::map<std::string, std::set<std::string>> switches();

// Sources that were built with faults, as the build gives them: separated by semicolons.
[[nodiscard]] std::set<std::string> built_with_faults(std::string_view list);

}  // namespace blixard::zoo

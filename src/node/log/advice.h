#pragma once

// What to do about a log that is not to be trusted any more, for the end of an error's text.

namespace blixard::log {

// Behind "remove the node on another one with".
inline constexpr const char* kEnterAgain =
    "`blixard node remove --force` and join again with an empty --data directory; an older copy of "
    "the directory is safe to restore only where it is the cluster's single node";

}  // namespace blixard::log

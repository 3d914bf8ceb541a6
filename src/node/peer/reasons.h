#pragma once

// Reasons that travel between nodes. An Error's reason is a string literal; what comes over the
// wire is turned back into one here. A word that is missing in these tables still arrives, as
// "peer_error" with the word in the detail, so an older node understands a newer one's errors
// well enough.

#include <string_view>

#include "base/result.h"
#include "core/wire/message.h"

namespace blixard::peer {

inline constexpr char kUnreachable[] = "peer_unreachable";
inline constexpr char kQueueFull[] = "peer_queue_full";

// The literal of that text; null if it is none that we know.
[[nodiscard]] const char* known_reason(std::string_view text);

[[nodiscard]] Error error_of(const wire::Failure& failure);

}  // namespace blixard::peer

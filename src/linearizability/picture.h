#pragma once

// A judgement as one HTML page that needs nothing else: a lane for each process, a bar for each
// operation from its beginning to its end, numbered in the order that was found, what is stuck in
// red, what has no end fading out.

#include <string>
#include <string_view>

#include "linearizability/judgement.h"

namespace blixard::linearizability {

// Of long histories the part around what is stuck (else the beginning) is shown. Foreign text is
// escaped.
std::string picture(std::string_view title, const Judgement& judgement);

}  // namespace blixard::linearizability

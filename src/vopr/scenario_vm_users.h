#pragma once

// Clients that have a few VMs: what they ask of them, one thing after another, by what they believe
// of each. Others use the same names, so that the belief is often wrong.

#include <cstdint>

#include "vopr/action.h"
#include "vopr/scenario_stream.h"

namespace blixard::vopr {

// Makes, starts, stops, deletes and looks at them. `creates`: how one is made.
void use_vms(Stream& stream, std::uint32_t client, Action creates);
// Pauses, suspends, wakes, snapshots and restores them, too.
void use_saves(Stream& stream, std::uint32_t client);

}  // namespace blixard::vopr

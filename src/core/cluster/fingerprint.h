#pragma once

// What a request is known by: the same request id with another command is a fault of its client.

#include <cstdint>

namespace blixard::v1 {
class Command;
}

namespace blixard::cluster {

// Covers what the client asked for: neither its time nor the uuid or a token's secret, which a
// server makes anew at every try.
std::uint64_t fingerprint(const v1::Command& command);

}  // namespace blixard::cluster

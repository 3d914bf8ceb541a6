#pragma once

// Every bound of the product in one place. Reaching one is an error code, never an unbounded
// queue or a surprise. Grouped by who keeps it.

#include <cstddef>
#include <cstdint>

#include "base/units.h"

namespace blixard::limits {

// Names of VMs, images and nodes: [a-z0-9-]{1,63}, as DNS labels are.
inline constexpr std::size_t kNameLength = 63;

// The replicated log.
inline constexpr std::size_t kCommandBytes = std::size_t{1} << 20;
inline constexpr std::size_t kProposalsInFlight = 4096;
inline constexpr std::size_t kRememberedRequests = 10'000;

// The model.
inline constexpr std::size_t kVms = 100'000;
inline constexpr std::size_t kImages = 10'000;
inline constexpr std::size_t kNodes = 10'000;
inline constexpr std::uint32_t kVcpus = 64;
inline constexpr std::uint32_t kMemoryMibMin = 80;  // the smallest that boots the cloud kernel
inline constexpr std::uint32_t kMemoryMibMax = 1u << 20;
inline constexpr std::size_t kPublishedPorts = 16;
inline constexpr std::size_t kReasonBytes = 2048;  // of a VM's failure, as kept in the model

// HTTP and the API.
inline constexpr std::size_t kHttpHeaderBytes = 16 * 1024;
inline constexpr std::size_t kHttpBodyBytes = 256 * 1024;
inline constexpr std::size_t kHttpConnections = 256;
inline constexpr Duration kHttpIdleTimeout = 60s;
inline constexpr Duration kHttpRequestTimeout = 15s;  // to receive one request whole
inline constexpr Duration kApiWaitMax = 10min;
inline constexpr std::size_t kEventBacklog = 1024;

}  // namespace blixard::limits

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
inline constexpr std::size_t kHttpTargetBytes = 4096;
inline constexpr std::size_t kHttpQueryParameters = 16;
inline constexpr std::size_t kHttpHeaders = 64;
inline constexpr std::size_t kHttpRefusals = 64;       // connections being told that we are full
inline constexpr Duration kHttpWriteTimeout = 30s;     // for the peer to take one piece
inline constexpr Duration kHttpLingerTimeout = 1s;     // to read on, so that an error is not lost
inline constexpr std::size_t kHttpLingerBytes = 1024 * 1024;
inline constexpr std::size_t kEventStreams = 64;
inline constexpr Duration kEventHeartbeat = 15s;
inline constexpr std::size_t kJsonDepth = 16;
inline constexpr std::size_t kLogTailBytes = 1024 * 1024;

// The local image store.
inline constexpr std::size_t kImageJsonBytes = 64 * 1024;
inline constexpr std::uint64_t kImageFileBytes = std::uint64_t{512} << 20;  // one file, unpacked
inline constexpr std::size_t kImagePathBytes = 4096;

// The agent.
inline constexpr std::size_t kReportsPerCommand = 256;
inline constexpr std::size_t kRecordBytes = 64 * 1024;
inline constexpr Duration kBootTimeout = 60s;  // to the agent's first answer, on a busy host
inline constexpr Duration kMonitorTimeout = 15s;  // to the hypervisor's first answer
inline constexpr Duration kRestartDelayMin = 1s;
inline constexpr Duration kRestartDelayMax = 60s;
inline constexpr Duration kRestartForgiven = 10min;  // of running well: the delay starts anew

}  // namespace blixard::limits

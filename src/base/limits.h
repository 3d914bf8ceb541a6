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
inline constexpr std::size_t kProposalBytesInFlight = std::size_t{64} << 20;
inline constexpr std::size_t kRememberedRequests = 10'000;
inline constexpr std::uint64_t kLogSegmentBytes = std::uint64_t{1} << 30;
inline constexpr std::size_t kLogBatchBytes = std::size_t{4} << 20;    // of one write and sync
inline constexpr std::size_t kLogQueueBytes = std::size_t{128} << 20;  // waiting for it
inline constexpr std::size_t kSnapshotBytes = std::size_t{1} << 30;
inline constexpr std::size_t kConfMembers = 1024;  // in each list of a configuration
inline constexpr std::size_t kConfChanges = 64;    // in one change of it
inline constexpr std::size_t kConfChangeContextBytes = std::size_t{64} << 10;

// The model.
inline constexpr std::size_t kVms = 100'000;
inline constexpr std::size_t kImages = 10'000;
inline constexpr std::size_t kNodes = 10'000;
inline constexpr std::uint32_t kVcpus = 64;
inline constexpr std::uint32_t kMemoryMibMin = 80;  // the smallest that boots the cloud kernel
inline constexpr std::uint32_t kMemoryMibMax = 1u << 20;
inline constexpr std::size_t kPublishedPorts = 16;
inline constexpr std::size_t kReasonBytes = 2048;  // of a VM's failure, as kept in the model
inline constexpr std::uint32_t kStopGraceSecondsMax = 600;
inline constexpr std::size_t kWordBytes = 63;  // an accelerator, architecture or version
inline constexpr std::uint32_t kNodeVcpus = 4096;
inline constexpr std::uint32_t kNodeMemoryMib = 1u << 26;
inline constexpr std::size_t kPlacementsPerPlan = 256;
inline constexpr std::size_t kImageFiles = 16;
inline constexpr std::uint64_t kImageFileBytes = std::uint64_t{1} << 40;
inline constexpr std::size_t kCmdlineBytes = 1024;  // an image's kernel arguments

// A VM on its node: what its hypervisor and its guest may make us read or keep.
inline constexpr std::size_t kGuestCmdlineBytes = 1024;
inline constexpr std::size_t kVmRecordBytes = 16 * 1024;
inline constexpr std::size_t kKvmVerdictBytes = 4 * 1024;
inline constexpr std::size_t kQmpLineBytes = 256 * 1024;
inline constexpr std::size_t kQmpDepth = 16;
inline constexpr std::size_t kAgentLineBytes = 512;           // with its newline
inline constexpr std::size_t kConsoleFileBytes = 512 * 1024;  // two such files a VM
inline constexpr std::size_t kConsoleReadBytes = 16 * 1024;   // taken from the hypervisor at once
inline constexpr std::size_t kOutputTailBytes = 1500;         // in a failure's detail
inline constexpr std::size_t kSocketPathBytes = 107;          // sun_path without its zero

// HTTP and the API.
inline constexpr std::size_t kHttpHeaderBytes = 16 * 1024;
inline constexpr std::size_t kHttpBodyBytes = 256 * 1024;
inline constexpr std::size_t kHttpConnections = 256;
inline constexpr Duration kHttpIdleTimeout = 60s;
inline constexpr Duration kHttpRequestTimeout = 15s;  // to receive one request whole
inline constexpr Duration kHttpStopTimeout = 5s;      // for requests under way when the node stops
inline constexpr Duration kApiWaitMax = 10min;
inline constexpr Duration kApiCommandTimeout = 30s;  // to commit and apply one command
inline constexpr std::size_t kEventBacklog = 1024;
inline constexpr std::size_t kHttpTargetBytes = 4096;
inline constexpr std::size_t kHttpQueryParameters = 16;
inline constexpr std::size_t kHttpHeaders = 64;
inline constexpr std::size_t kHttpRefusals = 64;    // connections being told that we are full
inline constexpr Duration kHttpWriteTimeout = 30s;  // for the peer to take one piece
inline constexpr Duration kHttpLingerTimeout = 1s;  // to read on, so that an error is not lost
inline constexpr std::size_t kHttpLingerBytes = 1024 * 1024;
inline constexpr Duration kHttpHalfCloseGrace = 5s;  // to finish when the peer sends no more
inline constexpr std::size_t kEventStreams = 64;
inline constexpr Duration kEventHeartbeat = 15s;
inline constexpr std::size_t kJsonDepth = 16;
inline constexpr std::size_t kLogTailBytes = 1024 * 1024;

// The local image store.
inline constexpr std::size_t kImageJsonBytes = 64 * 1024;
inline constexpr std::uint64_t kImageUnpackedBytes = std::uint64_t{512} << 20;
inline constexpr std::size_t kImagePathBytes = 4096;

// The agent.
inline constexpr std::size_t kReportsPerCommand = 256;
inline constexpr Duration kBootTimeout = 60s;     // to the agent's first answer, on a busy host
inline constexpr Duration kMonitorTimeout = 15s;  // to the hypervisor's first answer
inline constexpr Duration kRestartDelayMin = 1s;
inline constexpr Duration kRestartDelayMax = 60s;
inline constexpr Duration kRestartForgiven = 10min;  // of running well: the delay starts anew

// The real side of the seam.
inline constexpr std::size_t kPoolThreads = 4;    // for calls that block
inline constexpr std::size_t kPoolJobs = 16'384;  // waiting for one of them
inline constexpr std::size_t kDirectoryEntries = 1'000'000;
inline constexpr std::size_t kDirectoryDepth = 64;
inline constexpr Duration kLaunchTimeout = 10s;  // from our fork to the program's exec
inline constexpr Duration kKillTimeout = 10s;    // from SIGKILL to the end

}  // namespace blixard::limits

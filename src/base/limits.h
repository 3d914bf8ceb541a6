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
inline constexpr Duration kProposalTimeout = 10s;  // to be committed and applied
inline constexpr std::size_t kReadsInFlight = 65'536;
inline constexpr std::size_t kReadRounds = 4096;  // that a leader has from all nodes together
inline constexpr std::size_t kRememberedRequests = 10'000;
inline constexpr std::uint64_t kLogSegmentBytes = std::uint64_t{1} << 30;
inline constexpr std::size_t kLogBatchBytes = std::size_t{4} << 20;    // of one write and sync
inline constexpr std::size_t kLogQueueBytes = std::size_t{128} << 20;  // waiting for it
inline constexpr std::size_t kSnapshotBytes = std::size_t{1} << 30;
inline constexpr std::size_t kSnapshotsIncoming = 4;  // on their way to the disk
inline constexpr std::size_t kConfChanges = 64;       // in one change of it
inline constexpr std::size_t kConfChangeContextBytes = std::size_t{64} << 10;

// The model.
inline constexpr std::size_t kVms = 100'000;
inline constexpr std::size_t kImages = 10'000;
// Every node is a member of consensus, most as learners: the leader sends the log to each of them
// and hears from each ten times a second. So what one leader can serve is what a cluster can have.
inline constexpr std::size_t kNodes = 1024;
inline constexpr std::size_t kConfMembers = kNodes;  // of a configuration
inline constexpr std::size_t kVoters = 7;
inline constexpr std::size_t kTokens = 1024;       // to join with, used ones until they expire
inline constexpr std::size_t kAddressBytes = 261;  // a host name, a colon and a port
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

// Placement: what VMs ask of nodes, and what operators say about it.
inline constexpr std::size_t kPendingVms = 20'000;
inline constexpr std::size_t kDeviceKinds = 8;    // of a VM, and groups of them of a node
inline constexpr std::size_t kNodeDevices = 64;   // numbers of them are 0..63
inline constexpr std::size_t kDeviceModels = 16;  // that will do
inline constexpr std::size_t kCounters = 16;      // of a VM or a node
inline constexpr std::size_t kVmGroups = 8;       // that one VM is in
inline constexpr std::size_t kConstraints = 16;   // of a VM; as many preferences, tolerations
inline constexpr std::size_t kConstraintValues = 16;
inline constexpr std::size_t kAttributeBytes = 128;      // of a name and of a value
inline constexpr std::size_t kExcludedDatacenters = 64;  // of a VM
inline constexpr std::uint32_t kLatencyMs = 100'000;
inline constexpr std::size_t kLabels = 64;  // that a node tells, and that operators set on it
inline constexpr std::size_t kLabelKeyBytes = 63;
inline constexpr std::size_t kLabelValueBytes = 128;
inline constexpr std::size_t kTaints = 16;        // of a node
inline constexpr std::size_t kHypervisors = 8;    // of a node
inline constexpr std::size_t kNodeImages = 1000;  // that a node tells of
inline constexpr std::int64_t kDiskMib = std::int64_t{1} << 40;
inline constexpr std::int64_t kNetworkMbit = 10'000'000;
inline constexpr std::int64_t kCounterAmount = std::int64_t{1} << 40;
inline constexpr std::int64_t kCostPerHourMicro = 1'000'000'000'000;
inline constexpr std::size_t kPlacementGroups = 10'000;
inline constexpr std::size_t kGroupRules = 8;
inline constexpr std::uint32_t kGang = kPlacementsPerPlan;
inline constexpr std::size_t kTenants = 10'000;
inline constexpr std::uint32_t kTenantWeight = 1000;
inline constexpr std::uint32_t kRatePerHour = 3'600'000;
inline constexpr std::uint32_t kRateBurst = 1'000'000;
inline constexpr std::size_t kReservations = 1024;
inline constexpr std::size_t kLatencies = 4096;  // between datacenters
inline constexpr Duration kReservationMax = 365 * 24h;
inline constexpr Duration kDrainMax = 7 * 24h;
inline constexpr std::uint32_t kDrainParallel = 256;  // VMs on their way at once
inline constexpr std::size_t kImageFiles = 16;
inline constexpr std::uint64_t kImageFileBytes = std::uint64_t{1} << 40;
inline constexpr std::size_t kCmdlineBytes = 1024;  // an image's kernel arguments
inline constexpr std::uint64_t kSavedGuestBytes = std::uint64_t{1} << 41;

// A VM on its node: what its hypervisor and its guest may make us read or keep.
inline constexpr std::size_t kGuestCmdlineBytes = 1024;
inline constexpr std::size_t kVmRecordBytes = 16 * 1024;
inline constexpr std::size_t kKvmVerdictBytes = 4 * 1024;
inline constexpr std::size_t kQmpLineBytes = 256 * 1024;
inline constexpr std::size_t kQmpDepth = 16;
inline constexpr std::size_t kAgentLineBytes = 512;             // with its newline
inline constexpr std::size_t kConsoleFileBytes = 512 * 1024;    // two such files a VM
inline constexpr std::size_t kConsoleReadBytes = 16 * 1024;     // taken from the hypervisor at once
inline constexpr std::size_t kOutputTailBytes = 1500;           // in a failure's detail
inline constexpr std::size_t kSocketPathBytes = 107;            // sun_path without its zero
inline constexpr std::uint64_t kTemplateStateBytes = 4 << 20;   // 70 KiB were seen
inline constexpr std::uint64_t kSavedOverheadBytes = 64 << 20;  // above a guest's memory
inline constexpr std::uint64_t kTemplateFileBytes = std::uint64_t{1} << 40;
inline constexpr std::size_t kTemplateFiles = 8;
inline constexpr std::size_t kTemplateManifestBytes = 16 * 1024;

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
inline constexpr Duration kHttpHalfCloseGrace = 5s;        // to finish when the peer sends no more
inline constexpr std::size_t kHttpClientConnections = 16;  // of a pool, to one server
inline constexpr std::size_t kHttpClientIdle = 32;         // of a pool, to all servers
inline constexpr std::size_t kHttpClientWaiting = 1024;    // requests, for a connection
inline constexpr Duration kHttpClientIdleTimeout = 30s;    // shorter than kHttpIdleTimeout
inline constexpr std::size_t kEventStreams = 64;
// What a configuration may raise the two to.
inline constexpr std::size_t kHttpConnectionsMost = 4096;
inline constexpr std::size_t kEventStreamsMost = 1024;
inline constexpr Duration kEventHeartbeat = 15s;
inline constexpr std::size_t kPlannedVms = 1000;  // that one request asks about
inline constexpr std::size_t kStateCopies = 4;    // that requests have, at once
inline constexpr std::size_t kJsonDepth = 16;
inline constexpr std::size_t kLogTailBytes = 1024 * 1024;

// Traces. A node keeps its newest spans in memory; nothing else of them is kept.
inline constexpr std::size_t kSpanAttributes = 8;
inline constexpr std::size_t kSpanAttributeTextBytes = 64;
inline constexpr std::size_t kSpanTextBytes = 192;      // of all attributes of a span
inline constexpr std::size_t kTraceSpans = 4096;        // of a node
inline constexpr std::size_t kActiveSpans = 1024;       // that have begun
inline constexpr std::size_t kTraceAnswerSpans = 1024;  // of one trace, of one node
inline constexpr std::size_t kTraceAnswerBytes = std::size_t{2} << 20;
inline constexpr std::size_t kTracesListed = 100;
inline constexpr std::size_t kTracedVms = 512;          // whose request is remembered
inline constexpr std::size_t kTracedEntries = 1024;     // of the log, on their way to a quorum
inline constexpr std::size_t kTraceSpansShown = 16384;  // of one trace, of others
inline constexpr std::size_t kTraceAsksAtOnce = 32;     // of other nodes, for one trace
inline constexpr Duration kTraceAskTimeout = 2s;        // for another node's spans
inline constexpr std::size_t kTraceJsonBytes = std::size_t{64} << 20;  // of a file that is drawn
inline constexpr std::size_t kTraceJsonDepth = 16;

// Sending traces and metrics away.
inline constexpr std::size_t kOtlpSpansPerBatch = 512;
inline constexpr std::size_t kOtlpAnswerBytes = 64 * 1024;
inline constexpr std::size_t kOtlpEndpointBytes = 512;
inline constexpr Duration kOtlpSendTimeout = 10s;
inline constexpr Duration kOtlpRetryMin = 1s;
inline constexpr Duration kOtlpRetryMax = 30s;
inline constexpr Duration kOtlpRetryAfterMax = 5min;  // whatever the receiver asks for
inline constexpr Duration kOtlpFlushTimeout = 3s;     // of the last batch, when the node stops

// The local image store.
inline constexpr std::size_t kImageJsonBytes = 64 * 1024;
inline constexpr std::uint64_t kImageUnpackedBytes = std::uint64_t{512} << 20;
inline constexpr std::size_t kImagePathBytes = 4096;

// The agent.
inline constexpr std::size_t kReportsPerCommand = 256;
inline constexpr Duration kBootTimeout = 60s;     // to the agent's first answer, on a busy host
inline constexpr Duration kCloneTimeout = 10s;    // likewise, of one that was loaded
inline constexpr Duration kMonitorTimeout = 15s;  // to the hypervisor's first answer
// Of a guest's state to the disk and from it: this, and at least so many bytes a second.
inline constexpr Duration kTransferTimeout = 30s;
inline constexpr std::uint64_t kTransferBytesPerSecond = std::uint64_t{16} << 20;
inline constexpr Duration kHolderTimeout = 20s;  // to the next piece of a saved guest
inline constexpr Duration kRestartDelayMin = 1s;
inline constexpr Duration kRestartDelayMax = 60s;
inline constexpr Duration kRestartForgiven = 10min;  // of running well: the delay starts anew

// Between nodes. What waits for a peer is kept by class: urgent (votes, heartbeats), the rest,
// snapshots.
inline constexpr std::size_t kFrameBodyBytes = 32 * 1024;
inline constexpr std::size_t kFrameTailBytes = std::size_t{4} << 20;
// Accepted, at once. Any voter may come to lead, and a leader has a connection from every node;
// after a fault each node may dial anew before the end of its old connection is noticed. Newcomers
// and handshakes are bounded apart (kEnrolConnections, kHandshakesMax).
inline constexpr std::size_t kPeerConnections = 2 * kNodes;
// With those whose last requests still run.
inline constexpr std::size_t kPeerConnectionsOfNode = 8;
inline constexpr std::size_t kPeerUrgentFrames = 1024;
inline constexpr std::size_t kPeerFrames = 8192;
inline constexpr std::size_t kPeerQueueBytes = std::size_t{32} << 20;
inline constexpr std::size_t kPeerWriteBytes = 256 * 1024;  // joined into one write
inline constexpr std::size_t kPeerWriteFrames = 256;
inline constexpr std::size_t kPeerRequestBytes = kCommandBytes + 64 * 1024;
inline constexpr std::size_t kPeerRequests = 4096;  // that one peer may have under way
inline constexpr std::size_t kPeerRequestBytesInFlight = std::size_t{32} << 20;
inline constexpr std::size_t kPeerErrorBytes = 1024;  // of a detail that travels
inline constexpr Duration kPeerRequestTimeout = 60s;  // whatever the asker says
inline constexpr Duration kPeerDialTimeout = 3s;
inline constexpr Duration kPeerHelloTimeout = 3s;
inline constexpr Duration kPeerRefusalTimeout = 1s;  // for who is refused to have been told
inline constexpr Duration kPeerPingInterval = 1s;
inline constexpr Duration kPeerPingTimeout = 3s;
inline constexpr Duration kPeerQueueTimeout = 5s;  // for a frame to be written
inline constexpr Duration kPeerIdleTimeout = 10s;  // an accepted connection without a ping
inline constexpr Duration kPeerRetryMin = 100ms;
inline constexpr Duration kPeerRetryMax = 3s;
inline constexpr std::size_t kSnapshotChunkBytes = 256 * 1024;
inline constexpr std::size_t kSnapshotWindowBytes = std::size_t{1} << 20;  // sent and not taken
inline constexpr Duration kSnapshotStallTimeout = 30s;                     // without progress
inline constexpr std::size_t kEnrolBytes = 16 * 1024;
inline constexpr std::size_t kEnrolConnections = 16;
inline constexpr Duration kEnrolTimeout = 30s;

// Threads that look at what one owner publishes.
inline constexpr std::size_t kViewReaders = 1024;

// The configuration file.
inline constexpr std::size_t kConfigurationBytes = std::size_t{64} << 10;
inline constexpr std::size_t kConfigurationKeyBytes = 256;    // shown of an unknown one
inline constexpr std::size_t kConfigurationTextBytes = 4096;  // of one value

// Metrics. A series is a line or more at each reading, for us and for whoever keeps it.
inline constexpr std::size_t kMetricSeriesOfFamily = 4096;
inline constexpr std::size_t kMetricSeries = 32'768;     // of a node
inline constexpr std::uint32_t kMetricCells = 1u << 20;  // of all nodes of a process

// Accepting, everywhere.
inline constexpr Duration kAcceptPause = 100ms;  // when nothing can be accepted now
inline constexpr Duration kAcceptLogInterval = 10s;

// The real side of the seam.
inline constexpr std::size_t kPoolThreads = 4;    // for calls that block
inline constexpr std::size_t kPoolJobs = 16'384;  // waiting for one of them
inline constexpr std::size_t kDirectoryEntries = 1'000'000;
inline constexpr std::size_t kDirectoryDepth = 64;
inline constexpr Duration kLaunchTimeout = 10s;  // from our fork to the program's exec
inline constexpr Duration kKillTimeout = 10s;    // from SIGKILL to the end

// Secure streams.
inline constexpr Duration kHandshakeTimeout = 5s;
inline constexpr std::size_t kHandshakesMax = 64;      // under way or not yet accepted, a listener
inline constexpr Duration kHandshakeLogInterval = 1s;  // between two lines about failed ones
inline constexpr std::size_t kCredentialBytes = 16 * 1024;  // a key, certificate or request
inline constexpr std::size_t kClusterNameBytes = 63;        // in a certificate: [a-z0-9-]

}  // namespace blixard::limits

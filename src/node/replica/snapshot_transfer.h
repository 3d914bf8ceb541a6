#pragma once

// Snapshots on their way between nodes: out of the log's file, and into one that becomes the log's
// when consensus says so.
//
// What arrives is written beside the log, which serves on meanwhile. It is decoded before consensus
// hears of it: a snapshot that is not a state, or not of the configuration its message says, is
// refused and the sender told.

#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"
#include "core/cluster/state.h"
#include "core/raft/types.h"
#include "node/log/log.h"
#include "node/peer/peers.h"

namespace blixard::replica {

struct ReceivedSnapshot {
  raft::SnapshotMeta meta;
  cluster::State state;
  std::unique_ptr<log::SnapshotWriter> file;  // finished, not yet the log's
};

class SnapshotReceiver {
 public:
  virtual ~SnapshotReceiver() = default;
  // Hands the message to consensus. Errors: kUnavailable when it takes nothing any more.
  virtual Result<void> snapshot_received(ReceivedSnapshot snapshot, raft::Message message) = 0;
  // The sink is gone; another one may begin.
  virtual void snapshot_ended() = 0;
};

// Precondition: message.snapshot is there. `receiver` outlives it.
std::unique_ptr<peer::SnapshotSink> make_snapshot_sink(raft::Message message, std::uint64_t bytes,
                                                       std::unique_ptr<log::SnapshotWriter> file,
                                                       SnapshotReceiver& receiver);

std::unique_ptr<peer::SnapshotSource> make_snapshot_source(
    std::unique_ptr<log::SnapshotReader> file);

}  // namespace blixard::replica

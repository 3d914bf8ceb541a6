#pragma once

// Both ends of a snapshot on its way: begin, chunks within a window, end with a checksum over all,
// result. The sender is at most limits::kSnapshotWindowBytes ahead of what the receiver's sink has
// taken, so neither side holds more than that.

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>

#include "base/payload.h"
#include "base/result.h"
#include "core/wire/checksum.h"
#include "core/wire/message.h"
#include "env/env.h"
#include "env/sync.h"
#include "env/task.h"
#include "node/peer/peers.h"

namespace blixard::peer {

class Link;

// The sender's side: what the receiver has said so far.
struct SnapshotTransfer {
  explicit SnapshotTransfer(env::Executor& executor) : changed(executor) {}

  void take(std::uint64_t from_id, const wire::SnapshotTaken& message);
  void take(std::uint64_t from_id, const wire::SnapshotResult& message);

  std::uint64_t id = 0;
  std::uint64_t connection = 0;
  std::uint64_t sent = 0;
  std::uint64_t taken = 0;
  std::optional<Result<void>> result;
  env::Signal changed;  // also when the connection ended
};

// The receiver's side. The connection's reader puts in what comes; run() feeds the sink.
class SnapshotArrival {
 public:
  SnapshotArrival(env::Env env, Link& link, std::uint64_t id, std::uint64_t bytes);

  [[nodiscard]] std::uint64_t id() const { return id_; }
  // Errors: kInvalidArgument "snapshot_out_of_window" (the sender breaks the rules).
  Result<void> take(wire::SnapshotChunk chunk);
  void take(const wire::SnapshotEnd& end);
  void abort();
  [[nodiscard]] bool aborted() const { return aborted_; }

  // Answers the sender, with success after the sink has taken all and finish() succeeded.
  env::Task<void> run(Handler& handler, Sender from, raft::Message message);

 private:
  env::Task<Result<void>> receive(Handler& handler, Sender from, raft::Message message);
  env::Task<Result<void>> something_came();

  env::Env env_;
  Link& link_;
  std::uint64_t id_;
  std::uint64_t bytes_;
  std::deque<Payload> chunks_;  // arrived, not taken
  std::uint64_t arrived_ = 0;
  std::uint64_t taken_ = 0;
  std::optional<std::uint64_t> checksum_;  // the end has come
  bool aborted_ = false;
  env::Signal changed_;
};

}  // namespace blixard::peer

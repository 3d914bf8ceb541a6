#include "node/peer/snapshot_transfer.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/limits.h"
#include "node/peer/link.h"
#include "node/peer/outbound.h"
#include "node/peer/reasons.h"

namespace blixard::peer {

void SnapshotTransfer::take(std::uint64_t from_id, const wire::SnapshotTaken& message) {
  if (from_id != id) return;
  taken = std::clamp(message.offset, taken, sent);
  changed.notify_all();
}

void SnapshotTransfer::take(std::uint64_t from_id, const wire::SnapshotResult& message) {
  if (from_id != id || result) return;
  result = message.failure ? std::unexpected(error_of(*message.failure)) : Result<void>();
  changed.notify_all();
}

env::Task<Result<void>> Outbound::send_snapshot(std::shared_ptr<Outbound> self,
                                                raft::Message message,
                                                std::unique_ptr<SnapshotSource> source) {
  if (self->transfer_ != nullptr) co_return fail(Code::kResourceExhausted, "snapshot_in_progress");
  SnapshotTransfer transfer(self->context_->env.executor);
  self->transfer_ = &transfer;
  auto result = co_await self->push_snapshot(transfer, std::move(message), *source);
  // Whatever ended it here, the other side need not wait for the rest.
  if (!result && !transfer.result && transfer.id != 0 && self->is_current(transfer)) {
    self->link_->send({.id = transfer.id, .content = wire::SnapshotAbort{}});
  }
  self->transfer_ = nullptr;
  co_return result;
}

bool Outbound::is_current(const SnapshotTransfer& transfer) const {
  return link_ != nullptr && transfer.connection == connection_;
}

// Returns when the receiver said something. Errors: its result if that is one, "peer_unreachable",
// "snapshot_stalled".
env::Task<Result<void>> Outbound::progress(SnapshotTransfer& transfer) {
  env::Env& env = context_->env;
  auto woken = co_await env::with_deadline(env.executor, env.clock,
                                           env.clock.monotonic() + limits::kSnapshotStallTimeout,
                                           transfer.changed.wait());
  if (!woken && woken.error().code() == Code::kDeadlineExceeded) {
    co_return fail(Code::kDeadlineExceeded, "snapshot_stalled");
  }
  if (!woken) co_return woken;
  if (transfer.result) co_return *transfer.result;
  if (!is_current(transfer)) co_return fail(Code::kUnavailable, kUnreachable);
  co_return Result<void>();
}

env::Task<Result<void>> Outbound::push_snapshot(SnapshotTransfer& transfer, raft::Message message,
                                                SnapshotSource& source) {
  BLX_CO_TRY(co_await connected_soon());
  transfer.id = context_->next_id();
  transfer.connection = connection_;
  const std::uint64_t bytes = source.bytes();
  const auto full = [] { return fail(Code::kUnavailable, kQueueFull); };
  if (!link_->send(
          {.id = transfer.id, .content = wire::SnapshotBegin{std::move(message), bytes}})) {
    co_return full();
  }
  wire::RunningChecksum checksum;
  while (true) {
    BLX_CO_TRY(Payload chunk, co_await source.read());
    if (transfer.result) break;
    if (!is_current(transfer)) co_return fail(Code::kUnavailable, kUnreachable);
    if (chunk.empty()) break;
    if (chunk.size() > limits::kSnapshotChunkBytes || chunk.size() > bytes - transfer.sent) {
      co_return fail(Code::kInternal, "snapshot_source_invalid");
    }
    while (!transfer.result &&
           transfer.sent + chunk.size() - transfer.taken > limits::kSnapshotWindowBytes)
      BLX_CO_TRY(co_await progress(transfer));
    if (context_->env.rare.happens(env::RareSite::kSnapshotTransferCut)) co_return full();
    checksum.add(chunk.view());
    const std::uint64_t offset = transfer.sent;
    transfer.sent += chunk.size();
    if (!link_->send(
            {.id = transfer.id, .content = wire::SnapshotChunk{offset, std::move(chunk)}})) {
      co_return full();
    }
  }
  if (!transfer.result) {
    if (transfer.sent != bytes) co_return fail(Code::kInternal, "snapshot_source_invalid");
    if (!link_->send({.id = transfer.id, .content = wire::SnapshotEnd{checksum.value()}})) {
      co_return full();
    }
  }
  while (!transfer.result)
    BLX_CO_TRY(co_await progress(transfer));
  // Success before the end was sent would be a receiver that makes it up.
  if (*transfer.result && transfer.taken != bytes) {
    co_return fail(Code::kDataLoss, "snapshot_damaged");
  }
  co_return *transfer.result;
}

SnapshotArrival::SnapshotArrival(env::Env env, Link& link, std::uint64_t id, std::uint64_t bytes)
    : env_(env), link_(link), id_(id), bytes_(bytes), changed_(env.executor) {}

Result<void> SnapshotArrival::take(wire::SnapshotChunk chunk) {
  const std::uint64_t size = chunk.bytes.size();
  if (checksum_ || chunk.offset != arrived_ || size > bytes_ - arrived_ ||
      arrived_ + size - taken_ > limits::kSnapshotWindowBytes) {
    return fail(Code::kInvalidArgument, "snapshot_out_of_window");
  }
  arrived_ += size;
  chunks_.push_back(std::move(chunk.bytes));
  changed_.notify_all();
  return {};
}

void SnapshotArrival::take(const wire::SnapshotEnd& end) {
  if (!checksum_) checksum_ = end.checksum;
  changed_.notify_all();
}

void SnapshotArrival::abort() {
  aborted_ = true;
  changed_.notify_all();
}

env::Task<void> SnapshotArrival::run(Handler& handler, Sender from, raft::Message message) {
  const auto result = co_await receive(handler, from, std::move(message));
  chunks_.clear();
  wire::SnapshotResult answer;
  if (!result) answer.failure = wire::failure_of(result.error());
  link_.send({.id = id_, .content = std::move(answer)});
}

env::Task<Result<void>> SnapshotArrival::something_came() {
  const Instant deadline = env_.clock.monotonic() + limits::kSnapshotStallTimeout;
  while (chunks_.empty() && !checksum_ && !aborted_)
    BLX_CO_TRY(co_await env::with_deadline(env_.executor, env_.clock, deadline, changed_.wait()));
  if (aborted_) co_return fail(Code::kAborted, "snapshot_aborted");
  co_return Result<void>();
}

env::Task<Result<void>> SnapshotArrival::receive(Handler& handler, Sender from,
                                                 raft::Message message) {
  BLX_CO_TRY(const std::unique_ptr<SnapshotSink> sink,
             co_await handler.on_snapshot(from, std::move(message), bytes_));
  wire::RunningChecksum checksum;
  while (true) {
    BLX_CO_TRY(co_await something_came());
    if (chunks_.empty()) break;
    Payload chunk = std::move(chunks_.front());
    chunks_.pop_front();
    const std::uint64_t size = chunk.size();
    checksum.add(chunk.view());
    BLX_CO_TRY(co_await sink->write(std::move(chunk)));
    taken_ += size;
    link_.send({.id = id_, .content = wire::SnapshotTaken{taken_}});
  }
  if (taken_ != bytes_ || checksum.value() != *checksum_) {
    co_return fail(Code::kDataLoss, "snapshot_damaged");
  }
  co_return co_await sink->finish();
}

}  // namespace blixard::peer

// Snapshots: our own, those from elsewhere, and the dropping of what they cover.

#include <algorithm>
#include <utility>

#include "base/limits.h"
#include "env/failpoint.h"
#include "node/log/durable_log.h"
#include "observe/allocations.h"

namespace blixard::log {
namespace {

constexpr std::size_t kPieceBytes = std::size_t{1} << 20;  // at once, so that appends get between

env::Task<Result<void>> answer(Result<void> result) { co_return result; }

}  // namespace

// From elsewhere.

class DurableLog::IncomingSnapshot final : public SnapshotWriter {
 public:
  IncomingSnapshot(DurableLog& log, std::unique_ptr<UnfinishedSnapshot> file, std::uint64_t bytes)
      : log_(log), file_(std::move(file)), bytes_(bytes) {}
  IncomingSnapshot(const IncomingSnapshot&) = delete;
  IncomingSnapshot& operator=(const IncomingSnapshot&) = delete;
  ~IncomingSnapshot() override {
    --log_.incoming_;
    if (!installed_) log_.discard(file_->path());
  }

  env::Task<Result<void>> write(Payload chunk) override {
    if (chunk.size() > bytes_ - file_->bytes()) {
      co_return fail(Code::kResourceExhausted, "snapshot_too_large");
    }
    co_return co_await file_->write(chunk.view());
  }

  env::Task<Result<void>> finish(std::optional<std::uint64_t> checksum) override {
    if (file_->bytes() != bytes_) {
      co_return fail(Code::kDataLoss, "snapshot_damaged", "bytes of it did not come");
    }
    if (checksum && *checksum != file_->checksum()) {
      co_return fail(Code::kDataLoss, "snapshot_damaged", "it was changed on its way");
    }
    BLX_CO_TRY(co_await file_->finish());
    finished_ = true;
    co_return Result<void>();
  }

  env::Task<Result<void>> install() override {
    BLX_ASSERT(finished_ && !installed_);
    if (auto refused = log_.refusal(); !refused) return answer(std::move(refused));
    if (file_->meta().index <= log_.accepted_snapshot_) {
      return answer(fail(Code::kFailedPrecondition, "snapshot_stale"));
    }
    installed_ = true;
    return wait_for(log_.queue_install(file_->meta(), file_->path()));
  }

 private:
  DurableLog& log_;
  std::unique_ptr<UnfinishedSnapshot> file_;
  std::uint64_t bytes_;
  bool finished_ = false;
  bool installed_ = false;
};

env::Task<Result<std::unique_ptr<SnapshotWriter>>> DurableLog::begin_snapshot(SnapshotMeta meta,
                                                                              std::uint64_t bytes) {
  const observe::AllocationTag tag(observe::Subsystem::kLog);
  BLX_CO_TRY(refusal());
  if (bytes > limits::kSnapshotBytes) {
    co_return fail(Code::kResourceExhausted, "snapshot_too_large");
  }
  if (meta.index <= accepted_snapshot_) {
    co_return fail(Code::kFailedPrecondition, "snapshot_stale");
  }
  if (incoming_ >= limits::kSnapshotsIncoming) {
    co_return fail(Code::kUnavailable, "snapshot_in_progress");
  }
  ++incoming_;
  auto file = co_await snapshots_.begin(meta);
  if (!file) {
    --incoming_;
    co_return std::unexpected(std::move(file).error());
  }
  co_return std::make_unique<IncomingSnapshot>(*this, std::move(*file), bytes);
}

DurableLog::RequestPtr DurableLog::queue_install(SnapshotMeta meta, std::string unfinished_path) {
  auto request = std::make_shared<Request>(env_.executor);
  request->install = Install{
      .meta = meta, .unfinished_path = std::move(unfinished_path), .reset = !will_hold(meta)};
  enqueue(request);
  return request;
}

env::Task<Result<void>> DurableLog::place_snapshot(Request& request) {
  const Install install = *request.install;
  if (install.unfinished_path.empty()) co_return Result<void>();
  Result<void> placed;
  if (contents_.snapshot && install.meta.index <= contents_.snapshot->index) {
    placed = fail(Code::kFailedPrecondition, "snapshot_stale");
  } else {
    placed = co_await snapshots_.publish(install.meta, install.unfinished_path);
    // Where it may be in its place after all, a restart would believe it.
    if (!placed && install.reset) placed = std::unexpected(fail_log(placed.error()));
  }
  if (placed) options_.instruments.snapshots.add();
  if (placed || install.reset) co_return placed;
  // The log is what it was, and what waits behind goes on.
  discard(install.unfinished_path);
  request.install.reset();
  request.outcome = placed;
  recount_accepted_snapshot();
  co_return Result<void>();
}

void DurableLog::recount_accepted_snapshot() {
  accepted_snapshot_ = contents_.snapshot ? contents_.snapshot->index : LogIndex();
  for (const RequestPtr& request : queue_)
    if (request->install) {
      accepted_snapshot_ = std::max(accepted_snapshot_, request->install->meta.index);
    }
}

void DurableLog::discard(std::string unfinished_path) {
  // Else it is removed at the next start.
  if (!closed_ && !unfinished_path.empty()) {
    scope_.spawn(remove_discarded(std::move(unfinished_path)));
  }
}

env::Task<void> DurableLog::remove_discarded(std::string path) {
  ignore(co_await env_.disk.remove(std::move(path)), "it is also removed at the next start");
}

// Our own.

env::Task<Result<void>> DurableLog::save_snapshot(SnapshotMeta meta, std::string content,
                                                  LogIndex keep_from) {
  const observe::AllocationTag tag(observe::Subsystem::kLog);
  BLX_CO_TRY(refusal());
  if (snapshotting_) co_return fail(Code::kUnavailable, "snapshot_in_progress");
  if (content.size() > limits::kSnapshotBytes) {
    co_return fail(Code::kResourceExhausted, "snapshot_too_large");
  }
  if (meta.index <= accepted_snapshot_) {
    co_return fail(Code::kFailedPrecondition, "snapshot_stale");
  }
  snapshotting_ = true;
  auto stored = co_await store_snapshot(meta, std::move(content), keep_from);
  snapshotting_ = false;
  while (stored && cleaning_)
    if (!co_await wrote_.wait()) break;
  co_return stored;
}

env::Task<Result<void>> DurableLog::store_snapshot(SnapshotMeta meta, std::string content,
                                                   LogIndex keep_from) {
  BLX_CO_FAILPOINT(env_, "storage::create_snapshot", kResourceExhausted, "disk_full");
  BLX_CO_TRY(const auto file, co_await snapshots_.begin(meta));
  auto written = co_await write_content(*file, std::move(content));
  BLX_CO_FAILPOINT_INTO(written, env_, "storage::write_snapshot", kResourceExhausted, "disk_full");
  // Entries that are committed by others may still be on their way to this disk.
  while (written && writing_ && will_hold(meta) && term(meta.index) != meta.term)
    written = co_await wrote_.wait();
  if (written) written = refusal();
  if (written && meta.index <= accepted_snapshot_) {
    written = fail(Code::kFailedPrecondition, "snapshot_stale");
  }
  if (!written) {
    discard(file->path());
    co_return written;
  }
  if (!will_hold(meta)) co_return co_await wait_for(queue_install(meta, file->path()));

  BLX_CO_TRY(co_await snapshots_.publish(meta, file->path()));
  options_.instruments.snapshots.add();
  if (contents_.snapshot && meta.index <= contents_.snapshot->index) {
    clean_up_later();
    co_return fail(Code::kFailedPrecondition, "snapshot_stale");
  }
  contents_.snapshot = meta;
  keep_from_ = keep_from;
  recount_accepted_snapshot();
  clean_up_later();
  co_return Result<void>();
}

env::Task<Result<void>> DurableLog::write_content(UnfinishedSnapshot& file, std::string content) {
  for (std::size_t at = 0; at < content.size(); at += kPieceBytes)
    BLX_CO_TRY(co_await file.write(std::string_view(content).substr(at, kPieceBytes)));
  co_return co_await file.finish();
}

// Reading.

class DurableLog::OutgoingSnapshot final : public SnapshotReader {
 public:
  explicit OutgoingSnapshot(std::unique_ptr<OpenSnapshot> file) : file_(std::move(file)) {}

  [[nodiscard]] SnapshotMeta meta() const override { return file_->header().meta; }
  [[nodiscard]] std::uint64_t bytes() const override { return file_->header().content_bytes; }
  [[nodiscard]] std::uint64_t checksum() const override { return file_->header().content_checksum; }
  env::Task<Result<Payload>> read() override {
    BLX_CO_TRY(std::string piece, co_await file_->read(limits::kSnapshotChunkBytes));
    co_return Payload(std::move(piece));
  }

 private:
  std::unique_ptr<OpenSnapshot> file_;
};

env::Task<Result<std::unique_ptr<OpenSnapshot>>> DurableLog::open_newest() {
  while (contents_.snapshot) {
    const SnapshotMeta meta = *contents_.snapshot;
    auto file = co_await snapshots_.open(meta.index);
    const bool was_replaced =
        !file && file.error().code() == Code::kNotFound && contents_.snapshot != meta;
    if (!was_replaced) co_return file;
  }
  co_return fail(Code::kNotFound, "no_snapshot");
}

env::Task<Result<std::unique_ptr<SnapshotReader>>> DurableLog::open_snapshot() {
  BLX_CO_TRY(auto file, co_await open_newest());
  co_return std::make_unique<OutgoingSnapshot>(std::move(file));
}

env::Task<Result<std::string>> DurableLog::load_snapshot() {
  const observe::AllocationTag tag(observe::Subsystem::kLog);
  BLX_CO_FAILPOINT(env_, "storage::read_state", kUnavailable, "io_error");
  BLX_CO_TRY(const auto file, co_await open_newest());
  std::string content;
  content.reserve(file->header().content_bytes);
  while (true) {
    BLX_CO_TRY(const std::string piece, co_await file->read(kPieceBytes));
    if (piece.empty()) co_return content;
    content += piece;
  }
}

// Dropping what is covered.

void DurableLog::clean_up_later() {
  clean_again_ = true;
  if (cleaning_) return;
  cleaning_ = true;
  scope_.spawn(clean_up());
}

env::Task<void> DurableLog::clean_up() {
  while (std::exchange(clean_again_, false) && !failure_) {
    auto cleaned = co_await snapshots_.remove_older(*contents_.snapshot);
    if (cleaned) cleaned = co_await drop_segments();
    if (!cleaned) {
      BLX_LOG(env_.log, kWarn, "log: what a snapshot covers was not removed: {}",
              cleaned.error().message());
    }
  }
  cleaning_ = false;
  wrote_.notify_all();
}

env::Task<Result<void>> DurableLog::drop_segments() {
  const LogIndex wanted = std::min(keep_from_, contents_.snapshot->index.next());
  const Place* lowest = contents_.entries.find(std::max(wanted, first()));
  const std::uint64_t kept = lowest != nullptr ? lowest->segment : active().sequence;
  contents_.entries.drop_before(kept);
  while (contents_.segments.front().sequence < kept) {
    // One by one, so that neither a crash nor a failure leaves an older one behind without a newer.
    const std::string path = contents_.segments.front().path;
    const auto removed = co_await env_.disk.remove(path);
    if (!removed && removed.error().code() != Code::kNotFound) co_return removed;
    const auto synced = co_await env_.disk.sync_directory(directory_);
    if (!synced) co_return std::unexpected(fail_log(synced.error()));
    contents_.segments.pop_front();
  }
  co_return Result<void>();
}

}  // namespace blixard::log

#include "node/log/durable_log.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/bug.h"
#include "base/limits.h"
#include "env/failpoint.h"
#include "observe/allocations.h"

namespace blixard::log {
namespace {

std::size_t bytes_of(const std::optional<HardState>& hard_state) {
  return hard_state ? BatchEncoder::record_bytes(sizeof(std::uint64_t)) : 0;
}

env::Task<Result<void>> answer(Result<void> result) { co_return result; }

}  // namespace

DurableLog::DurableLog(env::Env env, std::string directory, Options options,
                       std::unique_ptr<env::DirectoryLock> lock, Contents contents)
    : env_(env),
      directory_(std::move(directory)),
      options_(options),
      lock_(std::move(lock)),
      contents_(std::move(contents)),
      snapshots_(env.disk, directory_),
      vote_(env.disk, directory_),
      accepted_(contents_.entries.last()),
      wrote_(env.executor),
      scope_(env.executor, nullptr),
      background_(env.executor, nullptr) {
  recovered_ = {.log_id = contents_.log_id,
                .hard_state = contents_.hard_state,
                .snapshot = contents_.snapshot,
                .torn_bytes_cut = contents_.torn_bytes_cut};
  if (contents_.snapshot) accepted_snapshot_ = contents_.snapshot->index;
  if (contents_.entries.last() > contents_.entries.base()) {
    recovered_.first = first();
    recovered_.last = last();
  }
}

env::Task<Result<std::unique_ptr<Log>>> Log::open(env::Env env, std::string directory,
                                                  Options options) {
  if (options.segment_bytes > limits::kLogSegmentBytes ||
      options.segment_bytes < kSegmentHeaderBytes + kBatchHeaderBytes +
                                  BatchEncoder::record_bytes(options.entry_bytes_max) +
                                  BatchEncoder::record_bytes(sizeof(std::uint64_t))) {
    co_return fail(Code::kInvalidArgument, "segment_too_small",
                   "a segment of " + std::to_string(options.segment_bytes) +
                       " bytes cannot be made or cannot hold one entry");
  }
  BLX_CO_TRY(co_await env.disk.make_directory(directory));
  BLX_CO_TRY(auto lock, co_await env.disk.lock(directory));
  BLX_CO_TRY(auto contents, co_await recover(env, directory, options));
  auto log = std::make_unique<DurableLog>(env, std::move(directory), options, std::move(lock),
                                          std::move(contents));
  const auto started = co_await log->start();
  if (!started) {
    co_await log->close();
    co_return std::unexpected(started.error());
  }
  co_return std::unique_ptr<Log>(std::move(log));
}

env::Task<Result<void>> DurableLog::start() {
  if (contents_.vote_pending) {
    BLX_CO_TRY(co_await vote_.prepare({.log_id = contents_.log_id,
                                       .term = contents_.hard_state.term,
                                       .vote = contents_.hard_state.vote,
                                       .batch = contents_.next_batch - 1}));
    BLX_CO_TRY(co_await vote_.publish());
  }
  if (contents_.reset_pending) {
    auto request = std::make_shared<Request>(env_.executor);
    request->install = Install{.meta = *contents_.snapshot, .unfinished_path = {}, .reset = true};
    enqueue(request);
    BLX_CO_TRY(co_await wait_for(request));
  }
  co_return Result<void>();
}

// The queue.

Result<void> DurableLog::refusal() const {
  if (failure_) return std::unexpected(*failure_);
  if (closed_) return fail(Code::kFailedPrecondition, "log_closed");
  return {};
}

Result<void> DurableLog::check(const std::vector<Entry>& entries,
                               const std::optional<HardState>& hard_state,
                               std::size_t bytes) const {
  BLX_TRY(refusal());
  for (std::size_t i = 0; i < entries.size(); ++i) {
    if (entries[i].payload.size() > options_.entry_bytes_max) {
      return fail(Code::kResourceExhausted, "entry_too_large");
    }
    if (i > 0 && entries[i].index != entries[i - 1].index.next()) {
      return fail(Code::kFailedPrecondition, "log_gap");
    }
  }
  // One of any size is taken when it need not wait, or it would be refused for ever.
  if (queued_bytes_ > 0 && queued_bytes_ + bytes > limits::kLogQueueBytes) {
    return fail(Code::kResourceExhausted, "log_queue_full");
  }
  // No start could go on from a commit that the entries did not come before.
  if (hard_state && hard_state->commit > (entries.empty() ? accepted_ : entries.back().index)) {
    return fail(Code::kFailedPrecondition, "commit_beyond_log");
  }
  if (entries.empty()) return {};
  const LogIndex index = entries.front().index;
  if (!index || index > accepted_.next()) return fail(Code::kFailedPrecondition, "log_gap");
  if (index <= accepted_snapshot_) return fail(Code::kFailedPrecondition, "compacted");
  return {};
}

env::Task<Result<void>> DurableLog::append(std::vector<Entry> entries,
                                           std::optional<HardState> hard_state) {
  const observe::AllocationTag tag(observe::Subsystem::kLog);
  std::size_t bytes = bytes_of(hard_state);
  for (const Entry& entry : entries)
    bytes += BatchEncoder::record_bytes(entry.payload.size());
  if (auto checked = check(entries, hard_state, bytes); !checked) {
    ++refusals_;
    return answer(std::move(checked));
  }
  if (bytes == 0) return answer({});
  if (auto error =
          BLX_FAILPOINT_ERROR("storage::append_entries", kResourceExhausted, "log_queue_full")) {
    ++refusals_;
    return answer(std::unexpected(*std::move(error)));
  }
  if (entries.size() > 1 && bytes > batch_bytes_max()) {
    return wait_for(enqueue_parts(std::move(entries), hard_state));
  }
  auto request = std::make_shared<Request>(env_.executor);
  request->entries = std::move(entries);
  request->hard_state = hard_state;
  request->bytes = bytes;
  enqueue(request);
  return wait_for(std::move(request));
}

std::size_t DurableLog::batch_bytes_max() const {
  return std::min<std::size_t>(std::min(limits::kLogBatchBytes, options_.batch_bytes),
                               options_.segment_bytes - kSegmentHeaderBytes - kBatchHeaderBytes);
}

// Each part with the hard state, since no entry may be durable before its term; the commit index
// as far as the log then has it. The last part is done when all are.
DurableLog::RequestPtr DurableLog::enqueue_parts(std::vector<Entry> entries,
                                                 const std::optional<HardState>& hard_state) {
  RequestPtr part;
  for (Entry& entry : entries) {
    const std::size_t bytes = BatchEncoder::record_bytes(entry.payload.size());
    if (part && part->bytes + bytes > batch_bytes_max()) enqueue(std::exchange(part, {}));
    if (!part) {
      part = std::make_shared<Request>(env_.executor);
      part->hard_state = hard_state;
      part->bytes = bytes_of(hard_state);
    }
    part->bytes += bytes;
    if (part->hard_state) part->hard_state->commit = std::min(hard_state->commit, entry.index);
    part->entries.push_back(std::move(entry));
  }
  enqueue(part);
  return part;
}

void DurableLog::enqueue(RequestPtr request) {
  if (!request->entries.empty()) accepted_ = request->entries.back().index;
  if (request->install) {
    if (request->install->reset) accepted_ = request->install->meta.index;
    accepted_snapshot_ = std::max(accepted_snapshot_, request->install->meta.index);
  }
  queued_bytes_ += request->bytes;
  queue_.push_back(std::move(request));
  if (!writing_) {
    writing_ = true;
    scope_.spawn(write_queued());
  }
}

env::Task<Result<void>> DurableLog::wait_for(RequestPtr request) {
  co_return co_await request->done;
}

// The term of an entry as it will be when everything queued is done.
std::optional<Term> DurableLog::queued_term(LogIndex index) const {
  if (index > accepted_) return std::nullopt;
  std::vector<const Request*> newest_first;
  for (const RequestPtr& request : batch_)
    newest_first.push_back(request.get());
  for (const RequestPtr& request : queue_)
    newest_first.push_back(request.get());
  std::ranges::reverse(newest_first);
  for (const Request* request : newest_first) {
    if (!request->entries.empty() && index >= request->entries.front().index) {
      const std::uint64_t at = index.value - request->entries.front().index.value;
      if (at >= request->entries.size()) return std::nullopt;
      return request->entries[at].term;
    }
    if (request->install && request->install->reset) {
      if (index != request->install->meta.index) return std::nullopt;
      return request->install->meta.term;
    }
  }
  return contents_.entries.term(index);
}

bool DurableLog::will_hold(const SnapshotMeta& meta) const {
  return queued_term(meta.index) == meta.term;
}

// Writing.

env::Task<void> DurableLog::write_queued() {
  while (!queue_.empty()) {
    batch_ = take_batch();
    const Result<void> written = co_await write_batch(batch_);
    Batch answered = std::exchange(batch_, {});
    if (!written) {
      const bool is_refused = written.error().code() == Code::kResourceExhausted;
      options_.instruments.writes[is_refused ? WriteOutcome::kRefused : WriteOutcome::kFailed]
          .add();
      // What waits may continue entries that are refused here, so it is refused with them.
      ++refusals_;
      answered.insert(answered.end(), queue_.begin(), queue_.end());
      queue_.clear();
      queued_bytes_ = 0;
      accepted_ = contents_.entries.last();
      recount_accepted_snapshot();
    }
    for (const RequestPtr& request : answered) {
      if (!written && request->install) discard(request->install->unfinished_path);
      request->done.complete(written ? request->outcome : written);
    }
    wrote_.notify_all();
    if (written) prepare_spare_if_due();
  }
  writing_ = false;
  wrote_.notify_all();
}

DurableLog::Batch DurableLog::take_batch() {
  const std::size_t room = batch_bytes_max();
  Batch batch;
  std::size_t bytes = 0;
  while (!queue_.empty()) {
    const Request& request = *queue_.front();
    if (!batch.empty() && (request.install || bytes + request.bytes > room)) break;
    bytes += request.bytes;
    queued_bytes_ -= request.bytes;
    batch.push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
  return batch;
}

env::Task<Result<void>> DurableLog::write_batch(const Batch& batch) {
  if (failure_) co_return std::unexpected(*failure_);
  if (!batch.front()->install) co_return co_await write_records(batch);

  const bool reset = batch.front()->install->reset;
  BLX_CO_TRY(co_await place_snapshot(*batch.front()));
  auto written = co_await write_records(batch);
  // The snapshot is in its place. Without the reset behind it, entries appended from here on would
  // be taken for what it replaced.
  if (!written && reset) co_return std::unexpected(fail_log(written.error()));
  co_return written;
}

// A part of what did not fit may be there. Zeros first, durably: behind the next batch it would
// look like damage, and below a torn one like a batch.
env::Task<Result<void>> DurableLog::clear_refused() {
  if (refused_end_ <= contents_.position) co_return Result<void>();
  const std::string zeros(refused_end_ - contents_.position, '\0');
  const std::array<std::string_view, 1> parts{zeros};
  const auto written = co_await active().file->write_and_sync(contents_.position, parts);
  if (!written && written.error().code() == Code::kResourceExhausted) co_return written;
  if (!written) co_return std::unexpected(fail_log(written.error()));
  refused_end_ = 0;
  co_return Result<void>();
}

env::Task<Result<void>> DurableLog::write_records(const Batch& batch) {
  encode(batch);
  const std::uint64_t checksum = encoder_.finish();
  if (encoder_.empty()) {
    take_effect(batch);
    co_return Result<void>();
  }
  Result<void> may_begin;
  BLX_CO_FAILPOINT_INTO(may_begin, env_, "storage::commit_transaction", kUnavailable, "io_error");
  if (BLX_FAILPOINT_FIRES("system::disk_full")) {
    may_begin = fail(Code::kResourceExhausted, "disk_full");
  }
  if (!may_begin) co_return refuse_or_fail(may_begin.error());
  const HardState after = hard_state_after(batch);
  const bool votes =
      after.term != contents_.hard_state.term || after.vote != contents_.hard_state.vote;
  if (votes) {
    const auto prepared = co_await vote_.prepare({.log_id = contents_.log_id,
                                                  .term = after.term,
                                                  .vote = after.vote,
                                                  .batch = contents_.next_batch});
    if (!prepared) co_return refuse_or_fail(prepared.error());
  }
  const std::string_view bytes = encoder_.bytes();
  const bool rolls_early = contents_.position > kSegmentHeaderBytes &&
                           env_.rare.happens(env::RareSite::kLogSegmentRollsEarly);
  if (rolls_early || contents_.position + bytes.size() > active().bytes) {
    BLX_CO_TRY(co_await roll(bytes.size()));
  }
  BLX_CO_TRY(co_await clear_refused());
  const std::array<std::string_view, 1> parts{bytes};
  const Instant begun = env_.clock.monotonic();
  Result<void> written;
  BLX_CO_FAILPOINT_INTO(written, env_, "storage::write_entry", kResourceExhausted, "disk_full");
  if (written) written = co_await active().file->write_and_sync(contents_.position, parts);
  // What was written may be on the disk all the same.
  if (written) {
    BLX_CO_FAILPOINT_INTO(written, env_, "storage::sync_to_disk", kUnavailable, "io_error");
  }
  if (written) count_write(begun, bytes.size());
  if (!written && written.error().code() == Code::kResourceExhausted) {
    refused_end_ = contents_.position + bytes.size();
    co_return written;
  }
  if (!written && !BLX_BUG(kIgnoresSyncError)) {
    co_return std::unexpected(fail_log(written.error()));
  }
  if (votes) {
    const auto published = co_await vote_.publish();
    if (!published) co_return std::unexpected(fail_log(published.error()));
  }
  for (Place& place : places_) {
    place.segment = active().sequence;
    place.offset += static_cast<std::uint32_t>(contents_.position);
  }
  contents_.position += bytes.size();
  contents_.next_batch += 1;
  contents_.chain = checksum;
  take_effect(batch);
  co_return Result<void>();
}

void DurableLog::count_write(Instant begun, std::size_t bytes) const {
  const Instruments& counted = options_.instruments;
  counted.write_duration.observe(env_.clock.monotonic() - begun);
  counted.writes[WriteOutcome::kDurable].add();
  counted.written_bytes.add(bytes);
  counted.written_entries.add(places_.size());
  counted.batch_entries.observe(places_.size());
}

HardState DurableLog::hard_state_after(const Batch& batch) const {
  HardState state = contents_.hard_state;
  for (const RequestPtr& request : batch)
    if (request->hard_state) state = *request->hard_state;
  return state;
}

void DurableLog::encode(const Batch& batch) {
  places_.clear();
  encoder_.begin(contents_.log_id, contents_.next_batch, contents_.chain);
  for (const RequestPtr& request : batch) {
    if (request->install && request->install->reset) encoder_.add_reset(request->install->meta);
    for (const Entry& entry : request->entries) {
      places_.push_back({.checksum = payload_checksum(entry.payload.view()),
                         .offset = static_cast<std::uint32_t>(encoder_.add(entry)),
                         .bytes = static_cast<std::uint32_t>(entry.payload.size()),
                         .kind = static_cast<std::uint8_t>(entry.kind)});
    }
    if (request->hard_state) encoder_.add(*request->hard_state);
  }
}

void DurableLog::take_effect(const Batch& batch) {
  auto place = places_.begin();
  for (const RequestPtr& request : batch) {
    if (const auto& install = request->install) {
      contents_.snapshot = install->meta;
      if (install->reset) {
        contents_.entries.reset(install->meta.index, install->meta.term);
        recent_.clear();
        recent_bytes_ = 0;
      }
      keep_from_ = install->meta.index.next();
      clean_up_later();
    }
    for (Entry& entry : request->entries) {
      BLX_ASSERT(contents_.entries.put(entry.index, entry.term, *place++));
      remember(std::move(entry));
    }
    request->entries.clear();
    if (request->hard_state) contents_.hard_state = *request->hard_state;
  }
}

void DurableLog::remember(Entry entry) {
  const auto bytes_of = [](const Entry& kept) { return sizeof(Entry) + kept.payload.size(); };
  while (!recent_.empty() && recent_.back().index >= entry.index) {
    recent_bytes_ -= bytes_of(recent_.back());
    recent_.pop_back();
  }
  recent_bytes_ += bytes_of(entry);
  recent_.push_back(std::move(entry));
  while (recent_bytes_ > options_.cache_bytes) {
    recent_bytes_ -= bytes_of(recent_.front());
    recent_.pop_front();
  }
}

// What found no room has changed nothing.
std::unexpected<Error> DurableLog::refuse_or_fail(const Error& cause) {
  return std::unexpected(cause.code() == Code::kResourceExhausted ? cause : fail_log(cause));
}

Error DurableLog::fail_log(const Error& cause) {
  if (!failure_) {
    failure_.emplace(Code::kDataLoss, "log_failed",
                     directory_ + ": " + cause.message() +
                         "; what is on disk is unknown now, start the node again");
    BLX_LOG(env_.log, kError, "{}", failure_->message());
  }
  return *failure_;
}

// Segments.

env::Task<Result<void>> DurableLog::roll(std::uint64_t batch_bytes) {
  SegmentHeader header{.log_id = contents_.log_id,
                       .sequence = active().sequence + 1,
                       .last = contents_.entries.last(),
                       .first_batch = contents_.next_batch,
                       .chain = contents_.chain,
                       .segment_bytes = 0,
                       .hard_state = contents_.hard_state};
  Result<Segment> segment = Segment();
  if (spare_) {
    header.segment_bytes = spare_->bytes;
    segment = co_await make_segment(env_.disk, directory_, header, *std::exchange(spare_, {}));
  } else {
    header.segment_bytes = small_segment_bytes(options_.segment_bytes, batch_bytes);
    segment = co_await make_segment(env_.disk, directory_, header);
  }
  if (!segment) co_return refuse_or_fail(segment.error());
  contents_.segments.push_back(std::move(*segment));
  contents_.position = kSegmentHeaderBytes;
  refused_end_ = 0;
  co_return Result<void>();
}

// A quarter of a segment is soon enough, and a node that writes little prepares nothing.
void DurableLog::prepare_spare_if_due() {
  if (closed_ || failure_ || spare_ || spare_tried_at_ >= active().sequence ||
      contents_.position < active().bytes / 4 || background_.running() > 0) {
    return;
  }
  spare_tried_at_ = active().sequence;
  background_.spawn(prepare_spare());
}

env::Task<void> DurableLog::prepare_spare() {
  auto spare = co_await make_spare(env_, directory_, options_.segment_bytes);
  if (spare) {
    spare_ = std::move(*spare);
  } else if (spare.error().code() != Code::kCancelled) {
    BLX_LOG(env_.log, kDebug, "log: no segment was prepared: {}", spare.error().message());
  }
}

env::Task<void> DurableLog::close() {
  closed_ = true;
  co_await scope_.join();
  background_.cancel();
  co_await background_.join();
}

}  // namespace blixard::log

#include "node/log/durable_log.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/limits.h"

namespace blixard::log {

DurableLog::DurableLog(env::Env env, std::string directory, Options options,
                       std::unique_ptr<env::DirectoryLock> lock, Contents contents)
    : env_(env),
      directory_(std::move(directory)),
      options_(options),
      lock_(std::move(lock)),
      contents_(std::move(contents)),
      snapshots_(env.disk, directory_),
      accepted_(contents_.entries.last()),
      wrote_(env.executor),
      scope_(env.executor, nullptr) {
  recovered_ = {.log_id = contents_.log_id,
                .hard_state = contents_.hard_state,
                .snapshot = contents_.snapshot,
                .torn_bytes_cut = contents_.torn_bytes_cut};
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
  BLX_CO_TRY(co_await log->start());
  co_return std::unique_ptr<Log>(std::move(log));
}

env::Task<Result<void>> DurableLog::start() {
  if (!contents_.reset_pending) co_return Result<void>();
  Request request(env_.executor);
  request.reset = contents_.snapshot;
  co_return co_await commit(request);
}

// Append.

Result<void> DurableLog::refusal() const {
  if (failure_) return std::unexpected(*failure_);
  if (closed_) return fail(Code::kFailedPrecondition, "log_closed");
  return {};
}

Result<void> DurableLog::check(const std::vector<Entry>& entries, std::size_t bytes) const {
  for (std::size_t i = 0; i < entries.size(); ++i) {
    if (entries[i].payload.size() > options_.entry_bytes_max) {
      return fail(Code::kResourceExhausted, "entry_too_large");
    }
    if (i > 0 && entries[i].index != entries[i - 1].index.next()) {
      return fail(Code::kFailedPrecondition, "log_gap");
    }
  }
  if (bytes > options_.segment_bytes - kSegmentHeaderBytes - kBatchHeaderBytes) {
    return fail(Code::kResourceExhausted, "entry_too_large");
  }
  if (pending_bytes_ + bytes > limits::kLogQueueBytes) {
    return fail(Code::kResourceExhausted, "log_queue_full");
  }
  if (entries.empty()) return {};
  const LogIndex index = entries.front().index;
  if (!index || index > accepted_.next()) return fail(Code::kFailedPrecondition, "log_gap");
  if (contents_.snapshot && index <= contents_.snapshot->index) {
    return fail(Code::kFailedPrecondition, "compacted");
  }
  return {};
}

env::Task<Result<void>> DurableLog::append(std::vector<Entry> entries,
                                           std::optional<HardState> hard_state) {
  BLX_CO_TRY(refusal());
  Request request(env_.executor);
  for (const Entry& entry : entries)
    request.bytes += BatchEncoder::record_bytes(entry.payload.size());
  if (hard_state) request.bytes += BatchEncoder::record_bytes(sizeof(std::uint64_t));
  BLX_CO_TRY(check(entries, request.bytes));
  request.entries = std::move(entries);
  request.hard_state = hard_state;
  if (request.bytes == 0) co_return Result<void>();
  co_return co_await commit(request);
}

env::Task<Result<void>> DurableLog::commit(Request& request) {
  if (!request.entries.empty()) accepted_ = request.entries.back().index;
  if (request.reset) accepted_ = request.reset->index;
  pending_.push_back(&request);
  pending_bytes_ += request.bytes;
  if (!writing_) {
    writing_ = true;
    scope_.spawn(write_pending());
  }
  co_return co_await request.done;
}

env::Task<void> DurableLog::write_pending() {
  while (!pending_.empty()) {
    std::vector<Request*> batch = take_batch();
    const Result<void> written = co_await write_batch(batch);
    if (!written) {
      // What waits may continue entries that are refused here, so it is refused with them.
      batch.insert(batch.end(), pending_.begin(), pending_.end());
      pending_.clear();
      pending_bytes_ = 0;
      accepted_ = contents_.entries.last();
    }
    for (Request* request : batch)
      request->done.complete(written);
    wrote_.notify_all();
  }
  writing_ = false;
  wrote_.notify_all();
}

std::vector<DurableLog::Request*> DurableLog::take_batch() {
  const std::size_t room = std::min<std::size_t>(
      limits::kLogBatchBytes, options_.segment_bytes - kSegmentHeaderBytes - kBatchHeaderBytes);
  std::vector<Request*> batch;
  std::size_t bytes = 0;
  while (!pending_.empty()) {
    Request* request = pending_.front();
    if (!batch.empty() && bytes + request->bytes > room) break;
    bytes += request->bytes;
    pending_bytes_ -= request->bytes;
    batch.push_back(request);
    pending_.pop_front();
  }
  return batch;
}

env::Task<Result<void>> DurableLog::write_batch(const std::vector<Request*>& batch) {
  if (failure_) co_return std::unexpected(*failure_);
  std::vector<Place> places = encode(batch);
  const std::uint64_t checksum = encoder_.finish();
  const std::string_view bytes = encoder_.bytes();
  if (contents_.position + bytes.size() > active().bytes) {
    BLX_CO_TRY(co_await roll());
  }
  const std::array<std::string_view, 1> parts{bytes};
  const auto written = co_await active().file->write_at(contents_.position, parts);
  if (!written) {
    // A part of it may be there; the next batch is written over it, since this one was no more
    // synced than acknowledged.
    if (written.error().code() == Code::kResourceExhausted) co_return written;
    co_return std::unexpected(fail_log(written.error()));
  }
  const auto synced = co_await active().file->sync();
  if (!synced) co_return std::unexpected(fail_log(synced.error()));

  for (Place& place : places) {
    place.segment = active().sequence;
    place.offset += contents_.position;
  }
  contents_.position += bytes.size();
  contents_.next_batch += 1;
  contents_.chain = checksum;
  take_effect(batch, places);
  co_return Result<void>();
}

std::vector<Place> DurableLog::encode(const std::vector<Request*>& batch) {
  std::vector<Place> places;
  encoder_.begin(contents_.log_id, contents_.next_batch, contents_.chain);
  for (const Request* request : batch) {
    if (request->reset) encoder_.add_reset(*request->reset);
    for (const Entry& entry : request->entries) {
      places.push_back({.offset = encoder_.add(entry),
                        .checksum = content_checksum(entry.payload),
                        .term = entry.term,
                        .bytes = static_cast<std::uint32_t>(entry.payload.size()),
                        .kind = entry.kind});
    }
    if (request->hard_state) encoder_.add(*request->hard_state);
  }
  return places;
}

env::Task<Result<void>> DurableLog::roll() {
  auto segment = co_await make_segment(env_.disk, directory_,
                                       {.log_id = contents_.log_id,
                                        .sequence = active().sequence + 1,
                                        .last = contents_.entries.last(),
                                        .first_batch = contents_.next_batch,
                                        .chain = contents_.chain,
                                        .segment_bytes = options_.segment_bytes,
                                        .hard_state = contents_.hard_state});
  if (!segment) {
    if (segment.error().code() == Code::kResourceExhausted) {
      co_return std::unexpected(std::move(segment).error());
    }
    co_return std::unexpected(fail_log(segment.error()));
  }
  contents_.segments.push_back(std::move(*segment));
  contents_.position = kSegmentHeaderBytes;
  co_return Result<void>();
}

void DurableLog::take_effect(const std::vector<Request*>& batch, const std::vector<Place>& places) {
  auto place = places.begin();
  for (Request* request : batch) {
    if (request->reset) {
      contents_.entries.reset(request->reset->index);
      recent_.clear();
      recent_bytes_ = 0;
    }
    for (Entry& entry : request->entries) {
      BLX_ASSERT(contents_.entries.put(entry.index, *place++));
      remember(std::move(entry));
    }
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

Error DurableLog::fail_log(const Error& cause) {
  if (!failure_) {
    failure_.emplace(Code::kDataLoss, "log_failed",
                     directory_ + ": " + cause.message() +
                         "; what is on disk is unknown now, start the node again");
    BLX_LOG(env_.log, kError, "{}", failure_->message());
  }
  return *failure_;
}

env::Task<void> DurableLog::close() {
  closed_ = true;
  co_await scope_.join();
}

}  // namespace blixard::log

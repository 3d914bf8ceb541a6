// Reading entries back, and snapshots with the dropping of what they cover.

#include <algorithm>
#include <utility>

#include "base/limits.h"
#include "node/log/durable_log.h"

namespace blixard::log {
namespace {

constexpr std::size_t kRunBytes = std::size_t{1} << 20;  // read at once

}  // namespace

// Entries.

env::Task<Result<std::vector<Entry>>> DurableLog::read(LogIndex from, LogIndex to,
                                                       std::size_t bytes_max) {
  if (from < first()) co_return fail(Code::kFailedPrecondition, "compacted");
  if (from > last() || to < from) co_return fail(Code::kNotFound, "beyond_last");
  to = std::min(to, last());

  // Everything is decided before the first suspension: appends may change the index meanwhile.
  std::vector<Run> runs;
  std::vector<Entry> cached;
  std::size_t bytes = 0;
  for (LogIndex index = from; index <= to; index = index.next()) {
    const Place* place = contents_.entries.find(index);
    bytes += place->bytes;
    if (bytes > bytes_max && index != from) break;
    if (!recent_.empty() && index >= recent_.front().index) {
      cached.push_back(recent_[index.value - recent_.front().index.value]);
    } else {
      add_to_runs(runs, index, *place);
    }
  }

  std::vector<Entry> entries;
  for (const Run& run : runs)
    BLX_CO_TRY(co_await read_run(run, entries));
  std::ranges::move(cached, std::back_inserter(entries));
  co_return entries;
}

void DurableLog::add_to_runs(std::vector<Run>& runs, LogIndex index, const Place& place) const {
  if (!runs.empty()) {
    Run& run = runs.back();
    if (run.places.back().segment == place.segment && place.offset >= run.end() &&
        place.offset + place.bytes - run.begin() <= kRunBytes) {
      run.places.push_back(place);
      return;
    }
  }
  const Segment& segment = contents_.segments[place.segment - contents_.segments.front().sequence];
  runs.push_back({.file = segment.file, .path = segment.path, .places = {place}, .first = index});
}

env::Task<Result<void>> DurableLog::read_run(const Run& run, std::vector<Entry>& out) {
  std::string bytes(run.end() - run.begin(), '\0');
  BLX_CO_TRY(const std::size_t count, co_await run.file->read_at(run.begin(), bytes));
  bytes.resize(count, '\0');
  bytes.resize(run.end() - run.begin(), '\0');
  LogIndex index = run.first;
  for (const Place& place : run.places) {
    Entry entry{.term = place.term,
                .index = index,
                .kind = place.kind,
                .payload = bytes.substr(place.offset - run.begin(), place.bytes)};
    if (content_checksum(entry.payload) != place.checksum) {
      co_return fail(Code::kDataLoss, "entry_damaged",
                     run.path + ", offset " + std::to_string(place.offset) + ": entry " +
                         std::to_string(index.value) + " was sound when it was written or opened");
    }
    out.push_back(std::move(entry));
    index = index.next();
  }
  co_return Result<void>();
}

// Snapshots.

bool DurableLog::holds(const SnapshotMeta& meta) const {
  if (meta.index == contents_.entries.base()) return true;
  const Place* place = contents_.entries.find(meta.index);
  return place != nullptr && place->term == meta.term;
}

env::Task<Result<void>> DurableLog::save_snapshot(SnapshotMeta meta, std::string content) {
  BLX_CO_TRY(refusal());
  if (snapshotting_) co_return fail(Code::kUnavailable, "snapshot_in_progress");
  if (content.size() > limits::kSnapshotBytes) {
    co_return fail(Code::kResourceExhausted, "snapshot_too_large");
  }
  if (!meta.index || (contents_.snapshot && meta.index <= contents_.snapshot->index)) {
    co_return fail(Code::kFailedPrecondition, "snapshot_stale");
  }
  snapshotting_ = true;
  auto stored = co_await store_snapshot(meta, std::move(content));
  snapshotting_ = false;
  co_return stored;
}

env::Task<Result<void>> DurableLog::store_snapshot(SnapshotMeta meta, std::string content) {
  BLX_CO_TRY(co_await snapshots_.write(meta, std::move(content)));
  // Entries that are committed by others may still be on their way to this disk.
  while (writing_ && last() < meta.index)
    BLX_CO_TRY(co_await wrote_.wait());
  BLX_CO_TRY(refusal());
  contents_.snapshot = meta;
  if (!holds(meta)) {
    Request request(env_.executor);
    request.reset = meta;
    // Without it, entries appended from here on would be taken for what the snapshot replaced.
    if (const auto reset = co_await commit(request); !reset) {
      co_return std::unexpected(fail_log(reset.error()));
    }
  }
  BLX_CO_TRY(co_await snapshots_.remove_others(meta));
  co_return co_await drop_segments();
}

env::Task<Result<void>> DurableLog::drop_segments() {
  const Place* next = contents_.entries.find(contents_.snapshot->index.next());
  const std::uint64_t kept = next != nullptr ? next->segment : active().sequence;
  contents_.entries.drop_before(kept);
  while (contents_.segments.front().sequence < kept) {
    const std::string path = contents_.segments.front().path;
    contents_.segments.pop_front();
    BLX_CO_TRY(co_await env_.disk.remove(path));
    // One by one, so that no crash leaves an older one behind without a newer.
    const auto synced = co_await env_.disk.sync_directory(directory_);
    if (!synced && synced.error().code() != Code::kCancelled) {
      co_return std::unexpected(fail_log(synced.error()));
    }
    BLX_CO_TRY(synced);
  }
  co_return Result<void>();
}

env::Task<Result<std::string>> DurableLog::load_snapshot() {
  if (!contents_.snapshot) co_return fail(Code::kNotFound, "no_snapshot");
  co_return co_await snapshots_.read(*contents_.snapshot);
}

}  // namespace blixard::log

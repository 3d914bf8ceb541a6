// Reading entries back.

#include <algorithm>
#include <utility>

#include "env/failpoint.h"
#include "node/log/durable_log.h"
#include "observe/allocations.h"

namespace blixard::log {
namespace {

constexpr std::size_t kRunBytes = std::size_t{1} << 20;  // read at once

}  // namespace

bool DurableLog::cached(LogIndex from, LogIndex to, std::size_t bytes_max,
                        std::vector<Entry>& out) const {
  if (recent_.empty() || from < recent_.front().index || from > to || to > last()) return false;
  std::size_t bytes = 0;
  const std::size_t had = out.size();
  for (LogIndex index = from; index <= to; index = index.next()) {
    const Entry& entry = recent_[index.value - recent_.front().index.value];
    bytes += raft::entry_bytes(entry);
    if (bytes > bytes_max && index != from) break;
    out.push_back(entry);
  }
  options_.instruments.read_entries[ReadFrom::kMemory].add(out.size() - had);
  return true;
}

env::Task<Result<std::vector<Entry>>> DurableLog::read(LogIndex from, LogIndex to,
                                                       std::size_t bytes_max) {
  const observe::AllocationTag tag(observe::Subsystem::kLog);
  BLX_CO_FAILPOINT(env_, "storage::read", kUnavailable, "io_error");
  if (from < first()) co_return fail(Code::kFailedPrecondition, "compacted");
  if (from > last() || to < from) co_return fail(Code::kNotFound, "beyond_last");
  to = std::min(to, last());

  // Everything is decided before the first suspension: appends may change the index meanwhile.
  std::vector<Run> runs;
  std::vector<Entry> in_memory;
  std::size_t bytes = 0;
  for (LogIndex index = from; index <= to; index = index.next()) {
    const Place* place = contents_.entries.find(index);
    bytes += raft::kEntryOverheadBytes + place->bytes;
    if (bytes > bytes_max && index != from) break;
    if (!recent_.empty() && index >= recent_.front().index) {
      in_memory.push_back(recent_[index.value - recent_.front().index.value]);
    } else {
      add_to_runs(runs, index, *place);
    }
  }

  std::vector<Entry> entries;
  const Instant begun = env_.clock.monotonic();
  for (const Run& run : runs)
    BLX_CO_TRY(co_await read_run(run, entries));
  const Instruments& counted = options_.instruments;
  if (!runs.empty()) counted.read_duration.observe(env_.clock.monotonic() - begun);
  counted.read_entries[ReadFrom::kDisk].add(entries.size());
  counted.read_entries[ReadFrom::kMemory].add(in_memory.size());
  std::ranges::move(in_memory, std::back_inserter(entries));
  co_return entries;
}

void DurableLog::add_to_runs(std::vector<Run>& runs, LogIndex index, const Place& place) const {
  const Term term = *contents_.entries.term(index);
  if (!runs.empty()) {
    Run& run = runs.back();
    if (run.places.back().segment == place.segment && place.offset >= run.end() &&
        place.offset + place.bytes - run.begin() <= kRunBytes) {
      run.places.push_back(place);
      run.terms.push_back(term);
      return;
    }
  }
  const Segment& segment = contents_.segments[place.segment - contents_.segments.front().sequence];
  runs.push_back({.file = segment.file,
                  .path = segment.path,
                  .places = {place},
                  .terms = {term},
                  .first = index});
}

// The entries share the bytes that were read.
env::Task<Result<void>> DurableLog::read_run(const Run& run, std::vector<Entry>& out) {
  std::string bytes(run.end() - run.begin(), '\0');
  BLX_CO_TRY(const std::size_t count, co_await run.file->read_at(run.begin(), bytes));
  std::fill(bytes.begin() + static_cast<std::ptrdiff_t>(count), bytes.end(), '\0');
  if (BLX_FAILPOINT_FIRES("raft::corrupt_entries") && !bytes.empty()) bytes.front() ^= 1;
  const auto shared = std::make_shared<const std::string>(std::move(bytes));
  LogIndex index = run.first;
  for (std::size_t i = 0; i < run.places.size(); ++i, index = index.next()) {
    const Place& place = run.places[i];
    const auto payload = std::string_view(*shared).substr(place.offset - run.begin(), place.bytes);
    if (payload_checksum(payload) != place.checksum) {
      co_return fail(Code::kDataLoss, "entry_damaged",
                     run.path + ", offset " + std::to_string(place.offset) + ": entry " +
                         std::to_string(index.value) + " was sound when it was written or opened");
    }
    out.push_back({.term = run.terms[i],
                   .index = index,
                   .kind = static_cast<raft::EntryKind>(place.kind),
                   .payload = payload.empty() ? Payload() : Payload(shared, payload)});
  }
  co_return Result<void>();
}

}  // namespace blixard::log

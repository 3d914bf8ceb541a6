#pragma once

// From the files of a directory to the log they hold, or to the reason why they may not be used.
//
// The newest segment may end in a torn batch: bytes that are not a sound batch, with no sound one
// behind them. It is cut by zeros that are durable before anything is appended, so that what is
// found behind a batch was never left there by an earlier life. Everything else that does not
// follow on is corruption.
//
// Damage to the very last batch is told from a torn write by its sectors: a write that was
// interrupted left some of them as they were, zeros. If each one holds something the write was
// whole, and may have been acknowledged. What still looks torn is a batch with a sector of zeros
// in it, or with damage that makes it look longer than it is; a vote in it is missed by the file
// that repeats it (vote_guard.h).
//
// What is read may still be in the page cache alone: the last life may have been killed before its
// sync, or after a failed one, behind which the kernel takes lost pages for written. So the last
// batch is written again and synced before it counts. Earlier ones were synced before it came.

#include <cstdint>
#include <deque>
#include <optional>
#include <string>

#include "base/result.h"
#include "env/env.h"
#include "env/task.h"
#include "node/log/entry_index.h"
#include "node/log/segment.h"

namespace blixard::log {

struct Contents {
  Uuid log_id;
  std::deque<Segment> segments;  // oldest first, appended to at the last
  std::uint64_t position = 0;    // in that one, of the next batch
  std::uint64_t next_batch = 1;
  std::uint64_t chain = 0;  // checksum of the last batch
  EntryIndex entries;
  HardState hard_state;
  HardState hard_state_before_last_batch;
  std::optional<SnapshotMeta> snapshot;
  std::uint64_t torn_bytes_cut = 0;
  // The vote file is one batch behind, which is to be mended before anything is done with the vote.
  bool vote_pending = false;
  // The snapshot took the place of the entries, which is to be written down before any append.
  bool reset_pending = false;
};

// Reads the log in `directory`, or makes an empty one. Errors: those of Log::open.
env::Task<Result<Contents>> recover(env::Env env, std::string directory, const Options& options);

}  // namespace blixard::log

#pragma once

// Segment files: their names and how one is made.
//
// A segment appears under its name only when its header is durable and its space is written with
// zeros. So one with a damaged header is never the rest of an interrupted start, appending to a
// segment cannot meet a full disk, and a sync has no new blocks to enter into the file system's
// journal. Nothing but zeros was ever there: segments are not used again, since an old batch in a
// new segment would have to be told from a torn one.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "env/env.h"
#include "env/task.h"
#include "node/log/format.h"

namespace blixard::log {

// Names of files that are not finished end in this; what is found of them at start is removed.
inline constexpr std::string_view kUnfinished = ".new";

struct Segment {
  std::uint64_t sequence = 0;
  std::uint64_t bytes = 0;  // of the file
  std::string path;
  std::shared_ptr<env::File> file;  // shared with reads in flight, that a drop may overtake
};

std::string segment_name(std::uint64_t sequence);
std::optional<std::uint64_t> parse_segment_name(std::string_view name);

// "snapshot-00000000000000000017"; also the form of a segment's number.
std::string snapshot_name(LogIndex index);
std::optional<LogIndex> parse_snapshot_name(std::string_view name);

// Where no spare is ready, a small segment is made: its zeros are written while appends wait. Of a
// log with segments of `segment_bytes`, with room for a batch of `batch_bytes`.
std::uint64_t small_segment_bytes(std::uint64_t segment_bytes, std::uint64_t batch_bytes);

// A file of zeros that waits to become a segment.
struct Spare {
  std::uint64_t bytes = 0;
  std::string path;
  std::shared_ptr<env::File> file;
};

// Makes a spare piece by piece, with pauses, so that the segment in use keeps most of the disk.
// Errors: kResourceExhausted: there is no room, and nothing is left behind. kCancelled.
env::Task<Result<Spare>> make_spare(env::Env env, std::string directory, std::uint64_t bytes);

// Makes a segment of header.segment_bytes at once. Errors: kResourceExhausted: there is no room,
// and nothing is left behind. Any other one leaves open what is on disk.
env::Task<Result<Segment>> make_segment(env::Disk& disk, std::string directory,
                                        SegmentHeader header);
// The same of a spare with header.segment_bytes. Errors: the same, but the spare may stay.
env::Task<Result<Segment>> make_segment(env::Disk& disk, std::string directory,
                                        SegmentHeader header, Spare spare);

}  // namespace blixard::log

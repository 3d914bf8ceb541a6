#pragma once

// Segment files: their names and how one is made.
//
// A segment appears under its name only when its header is durable and its space is reserved. So
// one with a damaged header is never the rest of an interrupted start, and appending to a segment
// cannot meet a full disk.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "env/disk.h"
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

// Errors: kResourceExhausted: there is no room, and nothing is left behind. Any other one leaves
// open what is on disk.
env::Task<Result<Segment>> make_segment(env::Disk& disk, std::string directory,
                                        SegmentHeader header);

}  // namespace blixard::log

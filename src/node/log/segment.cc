#include "node/log/segment.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include <fmt/format.h>

namespace blixard::log {
namespace {

constexpr std::string_view kSegmentPrefix = "wal-";
constexpr std::string_view kSegmentSuffix = ".seg";
constexpr std::string_view kSnapshotPrefix = "snapshot-";
constexpr std::size_t kDigits = 20;  // the longest 64-bit number: names sort as numbers do

std::optional<std::uint64_t> parse_number(std::string_view digits) {
  std::uint64_t number = 0;
  const char* end = digits.data() + digits.size();
  const auto [stopped, error] = std::from_chars(digits.data(), end, number);
  if (digits.size() != kDigits || error != std::errc() || stopped != end || number == 0) {
    return std::nullopt;
  }
  return number;
}

constexpr std::string_view kSpareName = "spare";
constexpr std::uint64_t kSparePieceBytes = std::uint64_t{128} << 10;
constexpr Duration kSparePauseMax = 50ms;
constexpr std::uint64_t kSmallSegmentBytes = std::uint64_t{4} << 20;

env::Task<Result<std::shared_ptr<env::File>>> make_zeros(env::Disk& disk, std::string path,
                                                         std::uint64_t bytes) {
  BLX_CO_TRY(std::shared_ptr<env::File> file, co_await disk.open(path, env::OpenMode::kCreate));
  BLX_CO_TRY(co_await file->resize(0));
  BLX_CO_TRY(co_await file->preallocate(bytes));
  co_return file;
}

// A piece of a file that grows, durably.
env::Task<Result<void>> add_zeros(env::File& file, std::uint64_t /*begin*/, std::uint64_t end) {
  BLX_CO_TRY(co_await file.preallocate(end));
  co_return co_await file.sync();
}

// A piece of a file that is there.
env::Task<Result<void>> write_zeros(env::File& file, std::uint64_t begin, std::uint64_t end) {
  const std::string zeros(end - begin, '\0');
  const std::array<std::string_view, 1> parts{zeros};
  co_return co_await file.write_and_sync(begin, parts);
}

env::Task<Result<void>> fill_slowly(env::Env env, const Spare& spare, bool is_there) {
  for (std::uint64_t at = 0; at < spare.bytes;) {
    const std::uint64_t end = std::min(spare.bytes, at + kSparePieceBytes);
    const Instant begin = env.clock.monotonic();
    BLX_CO_TRY(
        co_await (is_there ? write_zeros(*spare.file, at, end) : add_zeros(*spare.file, at, end)));
    at = end;
    const Duration took = env.clock.monotonic() - begin;
    BLX_CO_TRY(co_await env.clock.sleep(std::min(took, kSparePauseMax)));
  }
  co_return Result<void>();
}

env::Task<Result<Spare>> open_spare(env::Disk& disk, std::string path, std::uint64_t bytes) {
  Spare spare{.bytes = bytes, .path = std::move(path)};
  BLX_CO_TRY(spare.file, co_await disk.open(spare.path, env::OpenMode::kCreate));
  BLX_CO_TRY(co_await spare.file->resize(0));
  co_return spare;
}

// Without the room it could have had, a file is not left behind.
env::Task<void> clean_up(env::Disk& disk, std::string path, const Error& error) {
  if (error.code() == Code::kResourceExhausted) {
    ignore(co_await disk.remove(std::move(path)), "an unfinished file is also removed at start");
  }
}

}  // namespace

std::string segment_name(std::uint64_t sequence) {
  return fmt::format("{}{:020}{}", kSegmentPrefix, sequence, kSegmentSuffix);
}

std::optional<std::uint64_t> parse_segment_name(std::string_view name) {
  if (!name.starts_with(kSegmentPrefix) || !name.ends_with(kSegmentSuffix)) return std::nullopt;
  name.remove_suffix(kSegmentSuffix.size());
  return parse_number(name.substr(kSegmentPrefix.size()));
}

std::string snapshot_name(LogIndex index) {
  return fmt::format("{}{:020}", kSnapshotPrefix, index.value);
}

std::optional<LogIndex> parse_snapshot_name(std::string_view name) {
  if (!name.starts_with(kSnapshotPrefix)) return std::nullopt;
  const auto number = parse_number(name.substr(kSnapshotPrefix.size()));
  return number ? std::optional(LogIndex(*number)) : std::nullopt;
}

std::uint64_t small_segment_bytes(std::uint64_t segment_bytes, std::uint64_t batch_bytes) {
  const std::uint64_t pages = (kSegmentHeaderBytes + batch_bytes + 4095) / 4096;
  return std::min(segment_bytes, std::max(kSmallSegmentBytes, pages * 4096));
}

env::Task<Result<Spare>> make_spare(env::Env env, std::string directory, std::uint64_t bytes,
                                    std::optional<Spare> old) {
  const bool is_there = old.has_value();
  BLX_ASSERT(!is_there || old->bytes == bytes);
  const std::string path =
      is_there ? old->path
               : env::join_path(directory, std::string(kSpareName) + std::string(kUnfinished));
  Result<Spare> spare = Spare();
  if (is_there) {
    spare = std::move(*old);
  } else {
    spare = co_await open_spare(env.disk, path, bytes);
  }
  Result<void> filled;
  if (spare) {
    filled = co_await fill_slowly(env, *spare, is_there);
  } else {
    filled = std::unexpected(spare.error());
  }
  if (filled) co_return std::move(*spare);
  co_await clean_up(env.disk, path, filled.error());
  co_return std::unexpected(std::move(filled).error());
}

env::Task<Result<Spare>> set_aside(env::Disk& disk, const Segment& segment) {
  Spare spare{.bytes = segment.bytes,
              .path = segment.path + std::string(kUnfinished),
              .file = segment.file};
  BLX_CO_TRY(co_await disk.rename(segment.path, spare.path));
  co_return spare;
}

env::Task<Result<Segment>> make_segment(env::Disk& disk, std::string directory,
                                        SegmentHeader header) {
  const std::string beside =
      env::join_path(directory, segment_name(header.sequence)) + std::string(kUnfinished);
  auto file = co_await make_zeros(disk, beside, header.segment_bytes);
  if (!file) {
    co_await clean_up(disk, beside, file.error());
    co_return std::unexpected(std::move(file).error());
  }
  co_return co_await make_segment(
      disk, std::move(directory), header,
      Spare{.bytes = header.segment_bytes, .path = beside, .file = std::move(*file)});
}

env::Task<Result<Segment>> make_segment(env::Disk& disk, std::string directory,
                                        SegmentHeader header, Spare spare) {
  const std::string bytes = encode_segment_header(header);
  const std::array<std::string_view, 1> parts{bytes};
  BLX_CO_TRY(co_await spare.file->write_and_sync(0, parts));
  const std::string path = env::join_path(directory, segment_name(header.sequence));
  BLX_CO_TRY(co_await disk.rename(spare.path, path));
  auto synced = co_await disk.sync_directory(directory);
  // From here on a restart may find the segment: it is no longer as if nothing had happened.
  if (!synced && synced.error().code() == Code::kResourceExhausted) {
    co_return fail(Code::kUnavailable, "io_error", synced.error().message());
  }
  BLX_CO_TRY(synced);
  co_return Segment{.sequence = header.sequence,
                    .bytes = header.segment_bytes,
                    .path = path,
                    .file = std::move(spare.file)};
}

}  // namespace blixard::log

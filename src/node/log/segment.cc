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

env::Task<Result<std::shared_ptr<env::File>>> make_zeros_slowly(env::Env env, std::string path,
                                                                std::uint64_t bytes) {
  BLX_CO_TRY(std::shared_ptr<env::File> file, co_await env.disk.open(path, env::OpenMode::kCreate));
  BLX_CO_TRY(co_await file->resize(0));
  for (std::uint64_t size = 0; size < bytes;) {
    size = std::min(bytes, size + kSparePieceBytes);
    const Instant begin = env.clock.monotonic();
    BLX_CO_TRY(co_await file->preallocate(size));
    BLX_CO_TRY(co_await file->sync());
    const Duration took = env.clock.monotonic() - begin;
    BLX_CO_TRY(co_await env.clock.sleep(std::min(took, kSparePauseMax)));
  }
  co_return file;
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

env::Task<Result<Spare>> make_spare(env::Env env, std::string directory, std::uint64_t bytes) {
  const std::string path =
      env::join_path(directory, std::string(kSpareName) + std::string(kUnfinished));
  auto file = co_await make_zeros_slowly(env, path, bytes);
  if (!file) {
    co_await clean_up(env.disk, path, file.error());
    co_return std::unexpected(std::move(file).error());
  }
  co_return Spare{.bytes = bytes, .path = path, .file = std::move(*file)};
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

#include "node/log/segment.h"

#include <array>
#include <charconv>

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

env::Task<Result<std::shared_ptr<env::File>>> fill_segment(env::Disk& disk, std::string path,
                                                           SegmentHeader header) {
  BLX_CO_TRY(std::shared_ptr<env::File> file, co_await disk.open(path, env::OpenMode::kCreate));
  BLX_CO_TRY(co_await file->resize(0));
  BLX_CO_TRY(co_await file->preallocate(header.segment_bytes));
  const std::string bytes = encode_segment_header(header);
  const std::array<std::string_view, 1> parts{bytes};
  BLX_CO_TRY(co_await file->write_at(0, parts));
  BLX_CO_TRY(co_await file->sync());
  co_return file;
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

env::Task<Result<Segment>> make_segment(env::Disk& disk, std::string directory,
                                        SegmentHeader header) {
  const std::string path = env::join_path(directory, segment_name(header.sequence));
  const std::string beside = path + std::string(kUnfinished);
  auto file = co_await fill_segment(disk, beside, header);
  if (!file) {
    if (file.error().code() == Code::kResourceExhausted) {
      ignore(co_await disk.remove(beside), "an unfinished segment is also removed at start");
    }
    co_return std::unexpected(std::move(file).error());
  }
  BLX_CO_TRY(co_await disk.rename(beside, path));
  BLX_CO_TRY(co_await disk.sync_directory(directory));
  co_return Segment{.sequence = header.sequence,
                    .bytes = header.segment_bytes,
                    .path = path,
                    .file = std::move(*file)};
}

}  // namespace blixard::log

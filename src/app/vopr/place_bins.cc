// `blixard-vopr place --bins`: a file of sizes in, the number of bins out.

#include <array>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>

#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <fmt/format.h>

#include "app/output.h"
#include "app/vopr/command_line.h"
#include "app/vopr/place.h"

namespace blixard::app {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;
using sched::BinPacker;
using sched::BinStrategy;

constexpr std::size_t kFileBytes = std::size_t{256} << 20;

// Blank, but for what ends lines elsewhere.
std::string_view trimmed(std::string_view line) {
  constexpr std::string_view kBlanks = " \t\r";
  const std::size_t first = line.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return line.substr(first, line.find_last_not_of(kBlanks) - first + 1);
}

struct Packed {
  BinPacker chosen;
  BinPacker best_fit;
};

Result<Packed> pack(const PlaceBins& command) {
  BLX_TRY(const std::string text, read_whole(command.file));
  BLX_TRY(BinPacker chosen, BinPacker::make(command.capacity, command.strategy));
  BLX_TRY(BinPacker best_fit, BinPacker::make(command.capacity, BinStrategy::kBestFit));
  const auto take = [&](std::int64_t size) -> Result<void> {
    BLX_TRY(const std::uint64_t bin, chosen.place(size));
    BLX_TRY(const std::uint64_t rival, best_fit.place(size));
    static_cast<void>(bin + rival);
    return {};
  };
  BLX_TRY(read_sizes(text, command.file, command.capacity, take));
  return Packed{.chosen = std::move(chosen), .best_fit = std::move(best_fit)};
}

}  // namespace

Result<std::string> read_whole(const std::string& path) {
  std::error_code error;
  if (fs::is_directory(path, error))
    return fail(Code::kInvalidArgument, "file_unreadable", path + " is a folder; name a file");
  std::ifstream file;
  if (path != "-") file.open(path, std::ios::binary);
  std::istream& input = path == "-" ? std::cin : file;
  if (path != "-" && !file)
    return fail(Code::kNotFound, "file_unreadable", path + " cannot be opened");
  std::string text;
  std::array<char, 64 * 1024> buffer{};
  while (input.read(buffer.data(), buffer.size()) || input.gcount() > 0) {
    text.append(buffer.data(), static_cast<std::size_t>(input.gcount()));
    if (text.size() > kFileBytes) {
      return fail(Code::kResourceExhausted, "file_too_long",
                  fmt::format("{} has more than {} bytes; split it", path, kFileBytes));
    }
  }
  if (input.bad()) return fail(Code::kDataLoss, "file_unreadable", path + " cannot be read");
  return text;
}

Result<void> read_sizes(std::string_view text, const std::string& path, std::int64_t capacity,
                        const std::function<Result<void>(std::int64_t)>& take) {
  std::uint64_t line_number = 0;
  std::uint64_t items = 0;
  while (!text.empty()) {
    ++line_number;
    const std::size_t end = text.find('\n');
    const std::string_view line = trimmed(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.empty()) continue;
    std::int64_t size = 0;
    const char* const last = line.data() + line.size();
    const auto [stop, error] = std::from_chars(line.data(), last, size);
    if (error != std::errc() || stop != last || size < 1 || size > capacity) {
      return fail(Code::kInvalidArgument, "size_invalid",
                  fmt::format("{}:{}: '{}' is not a size; write one whole number from 1 to the "
                              "capacity {} a line, or raise --capacity",
                              path, line_number, line.substr(0, 40), capacity));
    }
    if (++items > kBinItemsMost) {
      return fail(Code::kResourceExhausted, "too_many_items",
                  fmt::format("{}:{}: more than {} sizes; split the file", path, line_number,
                              kBinItemsMost));
    }
    BLX_TRY(take(size));
  }
  return {};
}

int place_bins(const PlaceBins& command) {
  const auto packed = pack(command);
  if (!packed) {
    fmt::print(stderr, "blixard-vopr: {}\n", printable(packed.error().detail()));
    return kExitBadInput;
  }
  const BinPacker& chosen = packed->chosen;
  const std::string_view strategy = bin_strategy_name(command.strategy);
  if (command.output == OutputFormat::kJson) {
    const json::object object{{"bins_used", chosen.bins()},
                              {"items", chosen.items()},
                              {"capacity", chosen.capacity()},
                              {"lower_bound", chosen.lower_bound()},
                              {"strategy", strategy}};
    fmt::print("{}\n", json::serialize(object));
    return kExitDone;
  }
  Table table({"BINS", "ITEMS", "CAPACITY", "LOWER BOUND", "BEST-FIT", "STRATEGY"});
  table.add({std::to_string(chosen.bins()), std::to_string(chosen.items()),
             std::to_string(chosen.capacity()), std::to_string(chosen.lower_bound()),
             std::to_string(packed->best_fit.bins()), std::string(strategy)});
  fmt::print("{}", table.text());
  return kExitDone;
}

}  // namespace blixard::app

#pragma once

// `blixard-vopr place`: the planner on streams of requests from files, without a cluster. What it
// does is told by its options: each kind of input is an alternative of PlaceCommand with a file of
// its own that carries it out (place_bins.cc).

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "app/cli.h"
#include "base/result.h"
#include "core/cluster/wishes.h"
#include "core/sched/bins.h"
#include "core/sched/decide.h"

namespace CLI {  // NOLINT(readability-identifier-naming): the library has it
class App;
}

namespace blixard::app {

// `--bins`: one resource, equal bins without end, one item size a line.
struct PlaceBins {
  std::int64_t capacity = 0;
  sched::BinStrategy strategy = sched::BinStrategy::kFragmentationAware;
  std::string file;
  OutputFormat output = OutputFormat::kTable;
};

// Rules to compare ours with.
enum class Rival : std::uint8_t { kNone, kBestFit, kRandom };

// `--nodes` and `--requests`: requests placed one after the other, until so much has arrived.
struct PlaceTrace {
  std::string nodes;
  std::string requests;
  cluster::Strategy strategy = cluster::Strategy::kFragmentationAware;
  Rival rival = Rival::kNone;
  std::optional<std::uint64_t> seed;  // none: in the order of the file
  double load = 1.3;
  sched::Search search = sched::Search::kBySize;
  OutputFormat output = OutputFormat::kTable;
};

using PlaceCommand = std::variant<PlaceBins, PlaceTrace>;

// The options of the word, and the command that they make once they were parsed.
class PlaceOptions {
 public:
  void add_to(CLI::App& program);
  [[nodiscard]] PlaceCommand finish() const;

 private:
  void add_trace_to(CLI::App& place);
  void check() const;

  bool is_bins_ = false;
  bool has_capacity_ = false;
  bool has_mode_ = false;
  std::string strategy_ = "fragmentation-aware";
  OutputFormat output_ = OutputFormat::kTable;
  PlaceBins bins_;
  PlaceTrace trace_;
};

inline constexpr std::uint64_t kBinItemsMost = 10'000'000;

// A whole file, or standard input for "-". Errors say what to do.
Result<std::string> read_whole(const std::string& path);

// Calls `take` with each size. Errors name file and line and say what to do.
Result<void> read_sizes(std::string_view text, const std::string& path, std::int64_t capacity,
                        const std::function<Result<void>(std::int64_t)>& take);

// Prints what was found. Returns the exit code.
int place_bins(const PlaceBins& command);
int place_trace(const PlaceTrace& command);
int place(const PlaceCommand& command);

}  // namespace blixard::app

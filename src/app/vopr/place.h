#pragma once

// `blixard-vopr place`: the planner on streams of requests from files, without a cluster. What it
// does is told by its options: each kind of input is an alternative of PlaceCommand with a file of
// its own that carries it out (place_bins.cc).

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "app/cli.h"
#include "base/result.h"
#include "core/sched/bins.h"

namespace CLI {
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

using PlaceCommand = std::variant<PlaceBins>;

// The options of the word, and the command that they make once they were parsed.
class PlaceOptions {
 public:
  void add_to(CLI::App& program);
  [[nodiscard]] PlaceCommand finish() const { return bins_; }

 private:
  bool is_bins_ = false;
  PlaceBins bins_;
};

inline constexpr std::uint64_t kBinItemsMost = 10'000'000;

// Calls `take` with each size. Errors name file and line and say what to do.
Result<void> read_sizes(std::string_view text, const std::string& path, std::int64_t capacity,
                        const std::function<Result<void>(std::int64_t)>& take);

// Prints what was found. Returns the exit code.
int place_bins(const PlaceBins& command);
int place(const PlaceCommand& command);

}  // namespace blixard::app

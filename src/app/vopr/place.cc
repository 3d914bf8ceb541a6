#include "app/vopr/place.h"

#include <charconv>
#include <map>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

namespace blixard::app {
namespace {

constexpr const char* kFooter =
    R"(FILE has one size a line: whole numbers from 1 to the capacity, blank lines are passed over.
The strategy learns what sizes come; best-fit is shown beside it. --json prints bins_used, items,
capacity, lower_bound (no packing has fewer bins) and strategy.
Exit codes: 0 packed, 2 bad input.
Examples:
  blixard-vopr place --bins --capacity 150 sizes.txt
  blixard-vopr place --bins --capacity 65536 --strategy first-fit --json memory-mib.txt
  seq 1 100 | blixard-vopr place --bins --capacity 100 -)";

template <class Take>
CLI::Option* add_text(CLI::App& app, const std::string& name, Take take, const std::string& what) {
  return app.add_option_function<std::string>(name, take, what);
}

std::int64_t parse_capacity(const std::string& text) {
  std::int64_t number = 0;
  const char* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, number);
  const bool is_number = error == std::errc() && end == last;
  if (!is_number || number < 1 || number > sched::kBinCapacityMost) {
    throw CLI::ValidationError(
        fmt::format("--capacity: '{}' is not 1 to {}", text, sched::kBinCapacityMost));
  }
  return number;
}

}  // namespace

void PlaceOptions::add_to(CLI::App& program) {
  CLI::App* place = program.add_subcommand("place", "Place a file of requests, without a cluster");
  place->add_flag("--bins", is_bins_, "One resource, equal bins, placed in the order of the file")
      ->required();
  add_text(
      *place, "--capacity",
      [this](const std::string& text) { bins_.capacity = parse_capacity(text); },
      "Of a bin, in the unit of the sizes")
      ->required()
      ->type_name("C");
  const std::map<std::string, sched::BinStrategy> strategies{
      {"fragmentation-aware", sched::BinStrategy::kFragmentationAware},
      {"best-fit", sched::BinStrategy::kBestFit},
      {"first-fit", sched::BinStrategy::kFirstFit}};
  place
      ->add_option("--strategy", bins_.strategy,
                   "fragmentation-aware (unless told), best-fit or first-fit")
      ->transform(CLI::CheckedTransformer(strategies).description(""))
      ->type_name("S");
  place->add_flag_callback("--json", [this] { bins_.output = OutputFormat::kJson; }, "Print JSON");
  place->add_option("file", bins_.file, "The sizes; - is standard input")
      ->required()
      ->type_name("FILE");
  place->footer(kFooter);
}

int place(const PlaceCommand& command) {
  return std::visit([](const PlaceBins& bins) { return place_bins(bins); }, command);
}

}  // namespace blixard::app

#include "app/vopr/place.h"

#include <algorithm>
#include <charconv>
#include <map>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

namespace blixard::app {
namespace {

constexpr const char* kFooter =
    R"(Traces: two files of comma separated values, whose first line names the columns.
  nodes     sn,cpu_milli,memory_mib,gpu,model
  requests  name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec
gpu_milli below 1000 is a part of one GPU; gpu_spec has the models that will do, joined by |, or
nothing. Further columns are passed over. With --seed the requests come in random order, without it
as in the file; from the beginning again if need be, until the GPUs that were asked for (of nodes
without GPUs: the CPU) are --load times those of all nodes. What does not fit is not tried again.
The shares are of what was given away in the end; best-fit and random are there to compare with.

Bins: FILE has one size a line: whole numbers from 1 to the capacity, blank lines are passed over.
The strategy learns what sizes come; best-fit is shown beside it.

Exit codes: 0 placed, 2 bad input.
Examples:
  blixard-vopr place --nodes nodes.csv --requests requests.csv --seed 1
  blixard-vopr place --nodes nodes.csv --requests requests.csv --strategy best-fit --seed 1 --json
  blixard-vopr place --nodes nodes.csv --requests requests.csv --load 0.9 --mode sampled
  blixard-vopr place --bins --capacity 150 sizes.txt
  blixard-vopr place --bins --capacity 65536 --strategy first-fit --json memory-mib.txt
  seq 1 100 | blixard-vopr place --bins --capacity 100 -)";

constexpr double kLoadMost = 100;

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

std::uint64_t parse_seed(const std::string& text) {
  std::uint64_t number = 0;
  const char* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, number);
  if (error != std::errc() || end != last)
    throw CLI::ValidationError(fmt::format("--seed: '{}' is not a whole number", text));
  return number;
}

const std::map<std::string, sched::BinStrategy>& bin_strategies() {
  static const std::map<std::string, sched::BinStrategy> kAll{
      {"fragmentation-aware", sched::BinStrategy::kFragmentationAware},
      {"best-fit", sched::BinStrategy::kBestFit},
      {"first-fit", sched::BinStrategy::kFirstFit}};
  return kAll;
}

// Null: there is none of that name.
bool set_strategy(PlaceTrace& trace, const std::string& name) {
  if (const auto known = cluster::parse_strategy(name)) {
    trace.strategy = *known;
    return true;
  }
  trace.rival = name == "best-fit" ? Rival::kBestFit
                : name == "random" ? Rival::kRandom
                                   : Rival::kNone;
  return trace.rival != Rival::kNone;
}

}  // namespace

void PlaceOptions::add_to(CLI::App& program) {
  CLI::App* place = program.add_subcommand("place", "Place a file of requests, without a cluster");
  add_trace_to(*place);
  place
      ->add_option("--strategy", strategy_,
                   "Of a trace: one of the cluster's, best-fit or random; of bins: "
                   "fragmentation-aware, best-fit or first-fit")
      ->type_name("S")
      ->capture_default_str();
  place->add_flag_callback("--json", [this] { output_ = OutputFormat::kJson; }, "Print JSON");
  place->add_flag("--bins", is_bins_, "One resource, equal bins, placed in the order of the file");
  place
      ->add_option_function<std::string>(
          "--capacity",
          [this](const std::string& text) {
            bins_.capacity = parse_capacity(text);
            has_capacity_ = true;
          },
          "Of a bin, in the unit of the sizes")
      ->type_name("C");
  place->add_option("file", bins_.file, "The sizes; - is standard input")->type_name("FILE");
  place->callback([this] { check(); });
  place->footer(kFooter);
}

void PlaceOptions::add_trace_to(CLI::App& place) {
  place.add_option("--nodes", trace_.nodes, "The nodes; - is standard input")->type_name("FILE");
  place.add_option("--requests", trace_.requests, "What is to be placed")->type_name("FILE");
  place
      .add_option_function<std::string>(
          "--seed", [this](const std::string& text) { trace_.seed = parse_seed(text); },
          "Of the random order")
      ->type_name("N");
  place.add_option("--load", trace_.load, "Until so much has arrived, in all nodes' GPUs or CPU")
      ->check(CLI::Range(0.0, kLoadMost).description(""))
      ->type_name("L")
      ->capture_default_str();
  const std::map<std::string, sched::Search> modes{{"exact", sched::Search::kExact},
                                                   {"sampled", sched::Search::kSampled}};
  place
      .add_option_function<sched::Search>(
          "--mode",
          [this](sched::Search search) {
            trace_.search = search;
            has_mode_ = true;
          },
          "exact: the best of all nodes, sampled: of some; without it by how many there are")
      ->transform(CLI::CheckedTransformer(modes).description(""))
      ->type_name("MODE");
}

void PlaceOptions::check() const {
  const bool is_trace = !trace_.nodes.empty() || !trace_.requests.empty();
  if (is_bins_ == is_trace) throw CLI::ValidationError("either --bins, or --nodes and --requests");
  if (is_bins_) {
    if (!has_capacity_) throw CLI::RequiredError("--capacity");
    if (bins_.file.empty()) throw CLI::RequiredError("file");
    if (trace_.seed || has_mode_) throw CLI::ValidationError("--seed and --mode are of traces");
    if (!bin_strategies().contains(strategy_))
      throw CLI::ValidationError("--strategy: fragmentation-aware, best-fit or first-fit");
    return;
  }
  if (trace_.nodes.empty()) throw CLI::RequiredError("--nodes");
  if (trace_.requests.empty()) throw CLI::RequiredError("--requests");
  if (has_capacity_ || !bins_.file.empty())
    throw CLI::ValidationError("--capacity and a file of sizes are of --bins");
  PlaceTrace trace;
  if (set_strategy(trace, strategy_)) return;
  std::string names;
  for (const cluster::Strategy strategy : cluster::kStrategies)
    names += fmt::format("{}, ", cluster::strategy_name(strategy));
  throw CLI::ValidationError(fmt::format("--strategy: {}best-fit or random", names));
}

PlaceCommand PlaceOptions::finish() const {
  if (is_bins_) {
    PlaceBins bins = bins_;
    bins.strategy = bin_strategies().at(strategy_);
    bins.output = output_;
    return bins;
  }
  PlaceTrace trace = trace_;
  set_strategy(trace, strategy_);
  trace.output = output_;
  return trace;
}

int place(const PlaceCommand& command) {
  struct CarryOut {
    int operator()(const PlaceBins& bins) const { return place_bins(bins); }
    int operator()(const PlaceTrace& trace) const { return place_trace(trace); }
  };
  return std::visit(CarryOut(), command);
}

}  // namespace blixard::app

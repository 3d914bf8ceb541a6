#include "app/vopr/place_trace.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <random>

#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <fmt/format.h>

#include "app/output.h"
#include "app/vopr/command_line.h"
#include "app/vopr/place.h"
#include "core/sched/mix.h"

namespace blixard::app {
namespace {

namespace json = boost::json;
using Steady = std::chrono::steady_clock;
using resources::kWholeDevice;

// Device milli of a request or a node.
std::int64_t gpu_milli(const resources::Demand& demand) {
  std::int64_t sum = 0;
  for (const resources::DeviceNeed& need : demand.devices)
    sum += std::int64_t{need.count} * need.milli;
  return sum;
}

resources::Amounts sum_of(const std::vector<sched::FleetNode>& nodes, std::int64_t& gpus_milli) {
  resources::Amounts sum;
  for (const sched::FleetNode& node : nodes) {
    sum += node.supply.amounts;
    for (const resources::DeviceGroup& group : node.supply.devices)
      gpus_milli += std::int64_t{group.count} * kWholeDevice;
  }
  return sum;
}

double share(std::int64_t part, std::int64_t all) {
  return all == 0 ? 0 : static_cast<double>(part) / static_cast<double>(all);
}

// In the order of the file, or shuffled anew each time it begins again.
class Arrivals {
 public:
  Arrivals(std::size_t requests, std::optional<std::uint64_t> seed) : is_shuffled_(seed) {
    for (std::size_t at = 0; at < requests; ++at)
      order_.push_back(at);
    random_.seed(seed.value_or(0));
    shuffle();
  }
  std::size_t next() {
    if (next_ == order_.size()) {
      next_ = 0;
      shuffle();
    }
    return order_[next_++];
  }

 private:
  // Fisher and Yates; with our own draws, which are the same with every library.
  void shuffle() {
    if (!is_shuffled_) return;
    for (std::size_t left = order_.size(); left > 1; --left)
      std::swap(order_[left - 1], order_[random_() % left]);
  }

  bool is_shuffled_;
  std::mt19937_64 random_;
  std::vector<std::size_t> order_;
  std::size_t next_ = 0;
};

// What keeps a request out at the nodes that come closest to taking it.
std::string reason_of(const sched::Fleet& fleet, const sched::Request& request) {
  const resources::Demand devices{.devices = request.demand.devices};
  bool has_devices = false;
  std::uint64_t without_cpu = 0;
  std::uint64_t without_memory = 0;
  bool has_model = request.demand.devices.empty();
  for (sched::NodeIndex at = 0; at < fleet.size(); ++at) {
    const resources::Room& room = fleet.room(at);
    const auto lack = room.lack(devices);
    for (const resources::Device& device : room.devices()) {
      const auto& models =
          request.demand.devices.empty() ? std::vector<Name>() : request.demand.devices[0].models;
      has_model |= models.empty() || std::ranges::find(models, device.model) != models.end();
    }
    if (lack) continue;
    has_devices = true;
    without_cpu += request.demand.amounts.cpu_milli > room.amounts().cpu_milli ? 1 : 0;
    without_memory += request.demand.amounts.memory_mib > room.amounts().memory_mib ? 1 : 0;
  }
  if (!has_model) return "gpu_model";
  if (!has_devices) return "gpu";
  return without_cpu >= without_memory ? "cpu" : "memory";
}

// The mix of what has arrived, renewed each time half as much again has.
class ArrivedMix {
 public:
  explicit ArrivedMix(const std::vector<sched::Request>& requests) {
    for (const sched::Request& request : requests)
      counts_of_.push_back(&counts_[sched::typical(request.demand)]);
  }
  void see(std::size_t request, sched::Fleet& fleet) {
    ++*counts_of_[request];
    if (++seen_ < next_) return;
    next_ = seen_ + std::max<std::uint64_t>(seen_ / 2, 1);
    sched::ShapeCounts arrived;
    for (const auto& [shape, count] : counts_)
      if (count != 0) arrived.emplace(shape, count);
    fleet.set_mix(sched::mix_of(arrived));
  }

 private:
  sched::ShapeCounts counts_;
  std::vector<std::uint64_t*> counts_of_;  // by request
  std::uint64_t seen_ = 0;
  std::uint64_t next_ = 1;
};

// What this program has used of one core: whatever else the machine does is not in it.
double processor_s() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

double percentile_us(std::vector<std::int64_t>& nanoseconds, std::size_t percent) {
  if (nanoseconds.empty()) return 0;
  const auto at =
      nanoseconds.begin() + static_cast<std::ptrdiff_t>((nanoseconds.size() - 1) * percent / 100);
  std::ranges::nth_element(nanoseconds, at);
  constexpr double kNanosecondsPerMicrosecond = 1000;
  return static_cast<double>(*at) / kNanosecondsPerMicrosecond;
}

std::string_view name_of(const PlaceTrace& command) {
  return command.rival == Rival::kNone ? cluster::strategy_name(command.strategy)
                                       : rival_name(command.rival);
}

json::object json_of(const PlaceTrace& command, const TraceResult& result) {
  json::object failed;
  std::uint64_t failures = 0;
  for (const auto& [reason, count] : result.failed) {
    failed[reason] = count;
    failures += count;
  }
  json::object object{{"strategy", name_of(command)},
                      {"nodes", result.nodes},
                      {"requests", result.placed + failures},
                      {"placed", result.placed},
                      {"failed", std::move(failed)},
                      {"load", result.load},
                      {"first_failure_load", result.first_failure_load},
                      {"gpu_allocated_share", result.gpu_share},
                      {"cpu_allocated_share", result.cpu_share},
                      {"memory_allocated_share", result.memory_share},
                      {"decisions_per_s", result.decisions_per_s},
                      {"latency_us", {{"p50", result.p50_us}, {"p99", result.p99_us}}}};
  if (command.seed) object["seed"] = *command.seed;
  return object;
}

void print_table(const PlaceTrace& command, const TraceResult& result) {
  Table table({"STRATEGY", "NODES", "PLACED", "FAILED", "GPU", "CPU", "MEMORY", "DECISIONS/S",
               "P50", "P99"});
  std::uint64_t failures = 0;
  for (const auto& [reason, count] : result.failed)
    failures += count;
  const auto percent = [](double share) { return fmt::format("{:.2f} %", share * 100); };
  table.add({std::string(name_of(command)), std::to_string(result.nodes),
             std::to_string(result.placed), std::to_string(failures), percent(result.gpu_share),
             percent(result.cpu_share), percent(result.memory_share),
             fmt::format("{:.0f}", result.decisions_per_s), fmt::format("{:.1f} us", result.p50_us),
             fmt::format("{:.1f} us", result.p99_us)});
  fmt::print("{}", table.text());
  for (const auto& [reason, count] : result.failed)
    fmt::print("{} found no {}\n", count, reason);
}

}  // namespace

TraceResult run_trace(const PlaceTrace& command, std::vector<sched::FleetNode> nodes,
                      std::vector<sched::Request> requests) {
  TraceResult result{.nodes = nodes.size()};
  std::int64_t gpus = 0;
  const resources::Amounts all = sum_of(nodes, gpus);
  sched::Fleet fleet;
  cluster::PlacementPolicy policy;
  policy.strategy = command.strategy;
  fleet.set_policy(policy);
  for (sched::FleetNode& node : nodes)
    fleet.put(std::move(node));
  const auto measure = [&](const sched::Request& request) {
    return gpus != 0 ? gpu_milli(request.demand) : request.demand.amounts.cpu_milli;
  };
  const bool grows =
      std::ranges::any_of(requests, [&](const auto& each) { return measure(each) != 0; });
  const std::int64_t whole = gpus != 0 ? gpus : all.cpu_milli;
  const std::size_t once = requests.size();

  Arrivals arrivals(requests.size(), command.seed);
  ArrivedMix mix(requests);
  std::uint64_t rival_random = command.seed.value_or(0);
  sched::Situation situation{.search = command.search, .seed = command.seed.value_or(0)};
  std::vector<std::int64_t> nanoseconds;
  std::int64_t arrived = 0;
  std::map<std::string, std::string> reasons;  // by shape: looked for once
  resources::Amounts taken;
  std::int64_t taken_gpu = 0;
  const double began_s = processor_s();
  double aside_s = 0;
  while (share(arrived, whole) < command.load && (grows || nanoseconds.size() < once)) {
    const std::size_t number = arrivals.next();
    const sched::Request& request = requests[number];
    arrived += measure(request);
    const auto begin = Steady::now();
    mix.see(number, fleet);
    const sched::Decision decision = command.rival == Rival::kNone
                                         ? sched::decide(fleet, request, situation)
                                         : decide_as(command.rival, fleet, request, rival_random);
    if (decision.is_placed()) fleet.take(decision.at, request, decision.devices);
    nanoseconds.push_back(std::chrono::nanoseconds(Steady::now() - begin).count());
    if (decision.is_placed()) {
      ++result.placed;
      taken += request.demand.amounts;
      taken_gpu += gpu_milli(request.demand);
      continue;
    }
    if (result.failed.empty()) result.first_failure_load = share(arrived, whole);
    std::string& reason = reasons[sched::shape_key(request, command.strategy)];
    if (reason.empty()) {
      const double looks_s = processor_s();
      reason = reason_of(fleet, request);
      aside_s += processor_s() - looks_s;
    }
    ++result.failed[reason];
  }
  const double spent_s = processor_s() - began_s - aside_s;
  result.decisions_per_s =
      static_cast<double>(nanoseconds.size()) / std::max(spent_s, 1.0 / CLOCKS_PER_SEC);
  result.load = share(arrived, whole);
  result.gpu_share = share(taken_gpu, gpus);
  result.cpu_share = share(taken.cpu_milli, all.cpu_milli);
  result.memory_share = share(taken.memory_mib, all.memory_mib);
  result.p50_us = percentile_us(nanoseconds, 50);
  result.p99_us = percentile_us(nanoseconds, 99);
  return result;
}

int place_trace(const PlaceTrace& command) {
  const auto run = [&]() -> Result<TraceResult> {
    BLX_TRY(const std::string node_text, read_whole(command.nodes));
    BLX_TRY(auto nodes, read_nodes(node_text, command.nodes));
    BLX_TRY(const std::string request_text, read_whole(command.requests));
    BLX_TRY(auto requests, read_requests(request_text, command.requests));
    return run_trace(command, std::move(nodes), std::move(requests));
  };
  const auto result = run();
  if (!result) {
    fmt::print(stderr, "blixard-vopr: {}\n", printable(std::string(result.error().detail())));
    return kExitBadInput;
  }
  if (command.output == OutputFormat::kJson) {
    fmt::print("{}\n", json::serialize(json_of(command, *result)));
  } else {
    print_table(command, *result);
  }
  return kExitDone;
}

}  // namespace blixard::app

#pragma once

// `blixard-vopr place --nodes --requests`: a trace of requests placed on a list of nodes, one after
// the other, and how much of the nodes was given away in the end.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "app/vopr/place.h"
#include "base/result.h"
#include "core/sched/decide.h"
#include "core/sched/fleet.h"
#include "core/sched/request.h"

namespace blixard::app {

// What is told of a run. Shares are of all nodes together.
struct TraceResult {
  std::uint64_t nodes = 0;
  std::uint64_t placed = 0;
  std::map<std::string, std::uint64_t> failed;  // by reason
  double load = 0;                              // that arrived, of what measures it
  double gpu_share = 0;
  double cpu_share = 0;
  double memory_share = 0;
  double first_failure_load = 0;  // 0: nothing failed
  double decisions_per_s = 0;
  double p50_us = 0;
  double p99_us = 0;
};

// Both from the text of a file with a header. Errors name `path`, line and what is wrong.
Result<std::vector<sched::FleetNode>> read_nodes(std::string_view text, const std::string& path);
Result<std::vector<sched::Request>> read_requests(std::string_view text, const std::string& path);

// Rules that others use, to compare with. They look at every node.
std::string_view rival_name(Rival rival);
// `random` is theirs to draw from.
sched::Decision decide_as(Rival rival, const sched::Fleet& fleet, const sched::Request& request,
                          std::uint64_t& random);

// Precondition: there are nodes, and requests.
TraceResult run_trace(const PlaceTrace& command, std::vector<sched::FleetNode> nodes,
                      std::vector<sched::Request> requests);

}  // namespace blixard::app

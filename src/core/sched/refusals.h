#pragma once

// Why nodes do not take a request, for people: each node counted once, under the first thing that
// keeps the request from it.

#include <compare>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/cluster/state.h"
#include "core/sched/feasible.h"
#include "core/sched/fleet.h"
#include "core/sched/request.h"

namespace blixard::sched {

// Where nodes would take it, and only a strategy that spreads refuses.
std::string too_few_domains(const cluster::PlacementPolicy& policy);

class Refusals {
 public:
  // `state` may be null: of a fleet without one.
  Refusals(const cluster::State* state, const Fleet& fleet, const Request& request)
      : state_(state), fleet_(fleet), request_(request) {}

  void count(NodeIndex at, const Obstacle& obstacle);

  struct Cause {
    std::string text;  // goes on behind a number of nodes: "without 512 MiB of memory free"
    std::uint64_t nodes = 0;
  };
  // The most frequent first.
  [[nodiscard]] std::vector<Cause> causes() const;
  // "none of 5 nodes can take it: 3 cordoned; 2 without 512 MiB of memory free (most free 100 MiB)"
  [[nodiscard]] std::string sentence() const;

 private:
  // What is counted together.
  struct Key {
    Obstacle::Kind kind{};
    Closed closed{};
    std::int64_t number = 0;
    Name name;
    resources::Lack::What what{};
    resources::Kind resource{};
    friend auto operator<=>(const Key&, const Key&) = default;
  };
  struct Entry {
    std::uint64_t nodes = 0;
    resources::Lack lack;  // of the node that has most left
  };
  [[nodiscard]] std::string text(const Key& key, const Entry& entry) const;
  [[nodiscard]] std::string lack_text(const resources::Lack& lack) const;

  const cluster::State* state_;
  const Fleet& fleet_;
  const Request& request_;
  std::map<Key, Entry> entries_;
  std::uint64_t nodes_ = 0;
};

}  // namespace blixard::sched

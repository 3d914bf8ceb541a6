#pragma once

// What would make a node take a request that none takes: the nearest misses. A node misses by all
// its obstacles; those that miss by one and the same thing are counted together, and of what nodes
// lack the one counts that lacks least.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/cluster/state.h"
#include "core/sched/feasible.h"
#include "core/sched/fleet.h"
#include "core/sched/request.h"

namespace blixard::sched {

class Misses {
 public:
  struct Miss {
    std::string text;  // "node n2 lacks 128 MiB of memory"
    std::uint64_t nodes = 0;
    friend bool operator==(const Miss&, const Miss&) = default;
  };

  Misses(const cluster::State& state, const Fleet& fleet, const Request& request)
      : state_(state), fleet_(fleet), request_(request) {}

  // In the order of the nodes, with all of its obstacles: one at least.
  void count(NodeIndex at, std::vector<Obstacle> obstacles);

  // The nearest first: what is lacked, by how little, then what keeps out most nodes. Where no node
  // misses by a single thing: the one that misses by the fewest.
  [[nodiscard]] std::vector<Miss> nearest(std::size_t most) const;

 private:
  struct Single {
    NodeIndex at = kNoNode;
    Obstacle obstacle;
    std::uint64_t nodes = 0;
  };
  [[nodiscard]] std::string condition(const Obstacle& obstacle, NodeIndex at, bool is_one) const;
  [[nodiscard]] std::string lack_text(const resources::Lack& lack) const;
  [[nodiscard]] std::string text(NodeIndex at, const std::vector<Obstacle>& obstacles) const;

  const cluster::State& state_;
  const Fleet& fleet_;
  const Request& request_;
  std::map<std::string, Single> singles_;  // by what they say of one node
  NodeIndex fewest_at_ = kNoNode;
  std::vector<Obstacle> fewest_;
};

}  // namespace blixard::sched

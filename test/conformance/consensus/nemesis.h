#pragma once

// What goes wrong, and the operator who changes the members meanwhile. Every fault heals after a
// time; heal() ends all of them at once.

#include <array>
#include <cstdint>
#include <functional>

#include "env/scope.h"
#include "test/conformance/consensus/clients.h"
#include "test/conformance/consensus/cluster.h"

namespace blixard::consensus_sim {

class Nemesis {
 public:
  Nemesis(Cluster& cluster, Clients& clients);

  // Until it is cancelled.
  env::Task<void> run();
  // No fault is left: links, disks, weather; every daemon that is a node runs.
  void heal();
  [[nodiscard]] const std::array<std::uint64_t, kFaults>& counts() const { return counts_; }

 private:
  [[nodiscard]] Fault choose();
  void strike(Fault fault, env::Scope& scope);
  void strike_network(Fault fault, env::Scope& scope);
  void strike_disk(Fault fault, env::Scope& scope);
  // Later, unless heal() came before.
  void after(env::Scope& scope, std::function<void()> undo);
  env::Task<void> undo_later(std::function<void()> undo);

  Daemon& victim();  // often the leader
  Daemon& other_than(const Daemon& daemon);
  void cut_off(Daemon& daemon, bool one_way, bool heals);

  env::Task<void> transfer();
  env::Task<void> join();
  env::Task<void> promote();
  env::Task<void> remove();
  env::Task<Result<cluster::Outcome>> change(replica::MembershipChange change);

  Cluster& cluster_;
  Clients& clients_;
  sim::SeededRandom& random_;
  bool operator_busy_ = false;
  std::uint64_t joined_ = 0;
  std::uint32_t weight_sum_ = 0;
  std::array<std::uint64_t, kFaults> counts_{};
};

}  // namespace blixard::consensus_sim

#pragma once

// Why a cluster in which nothing goes wrong any more is not yet as it must be: what is desired is
// not what is observed, something runs or lies about that nobody owns, or the members differ.

#include <string>

#include "vopr/clients.h"
#include "vopr/cluster.h"
#include "vopr/operator.h"

namespace blixard::vopr {

class Settling {
 public:
  // `after_restart`: every daemon was started anew since something went wrong.
  Settling(Cluster& cluster, const Clients& clients, const Operator& owner, bool after_restart)
      : cluster_(cluster), clients_(clients), operator_(owner), after_restart_(after_restart) {}

  // Empty: nothing is missing.
  [[nodiscard]] std::string missing();

 private:
  std::string missing_at(const Site& site, const Site& leader);
  void compare_states(const Site& leader);  // of the members, all of which have applied everything
  std::string missing_of(const cluster::Vm& vm, const cluster::State& state);
  std::string ownerless(const cluster::State& state);
  [[nodiscard]] std::string lost_of_saves(const cluster::State& state) const;
  [[nodiscard]] std::string left_of_saves(const cluster::State& state) const;
  [[nodiscard]] std::string left_of_templates() const;

  Cluster& cluster_;
  const Clients& clients_;
  const Operator& operator_;
  bool after_restart_;
};

}  // namespace blixard::vopr

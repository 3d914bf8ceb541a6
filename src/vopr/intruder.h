#pragma once

// Strangers and broken peers: bytes that no node of ours would send. They must be refused, counted
// and harmless; that nothing came of them is for the other judges to see.

#include "env/scope.h"
#include "vopr/cluster.h"

namespace blixard::vopr {

class Intruder {
 public:
  explicit Intruder(Cluster& cluster) : cluster_(cluster) {}

  // Of a step of Group::kIntruder, against its node.
  env::Task<void> act(const Step& step);

 private:
  env::Task<void> send_as_stranger(const Step& step, Site& site);

  Cluster& cluster_;
};

}  // namespace blixard::vopr

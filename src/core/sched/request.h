#pragma once

// What is to be placed: a VM that waits, or one that somebody only asks about.

#include <cstdint>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/name.h"
#include "core/cluster/model.h"
#include "core/resources/room.h"
#include "core/resources/supply.h"

namespace blixard::sched {

struct Request {
  VmId vm;  // none: hypothetical
  Name name;
  resources::Demand demand;
  cluster::Shared<cluster::Wishes> wishes;
  std::vector<std::uint16_t> ports;  // of the host, ascending
  Name image;
  std::string architecture;  // of its image; empty: not told
  // That it goes on from; null: it boots. The state's.
  const cluster::SavedGuest* saved = nullptr;
};

Request request_of(const cluster::VmSpec& spec, const Name& name, VmId vm,
                   const resources::Overcommit& overcommit);

// What is kept for it on a node before it is placed there: amounts and counters, and no device or
// port, which are chosen then.
Request kept_for(Request request);

// All that feasibility and score of a request depend on, whatever the other VMs are: equal keys
// mean the same at every node. Bytes, not for people.
std::string shape_key(const Request& request, cluster::Strategy strategy);

}  // namespace blixard::sched

#pragma once

// What is told of a node without being counted: read where it is kept, when somebody asks.
//
// What belongs to connections is summed over the nodes: a series for each of a thousand nodes would
// cost whoever collects them more than it tells. What one of them does is in the API's /v1/cluster.

#include "node/peer/peers.h"
#include "node/replica/replica.h"
#include "node/telemetry/telemetry.h"
#include "observe/metrics.h"

namespace blixard::telemetry {

// What they are given outlives the readings. Given none, they only declare: for who wants to know
// which metrics there are.
void register_sources(observe::Metrics& metrics, Telemetry& telemetry,
                      const replica::Replica* replica);
void register_sources(observe::Metrics& metrics, const peer::Peers* peers);

}  // namespace blixard::telemetry

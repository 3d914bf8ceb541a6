#pragma once

// What consensus and the connections to the other nodes say about themselves in the node's metrics.
//
// All of it is read where it is kept, when the text is made, and summed over the nodes: a series
// for each of a thousand nodes would cost whoever collects them more than it tells. What one of
// them does is in the API's /v1/cluster.

#include "node/peer/peers.h"
#include "node/replica/replica.h"
#include "observe/metrics.h"

namespace blixard::node {

// Both outlive the texts that are made.
void register_metrics(observe::Metrics& metrics, const replica::Replica& replica);
void register_metrics(observe::Metrics& metrics, const peer::Peers& peers);

}  // namespace blixard::node

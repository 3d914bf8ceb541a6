#pragma once

// What a node may ask of the others and tell them, by its role in the cluster's state.
//
// A server has the authority's key and a say in consensus: it may do everything. A worker is a
// machine that runs VMs for the cluster and need not be believed about anything else. It may speak
// for itself (its facts, its address, its VMs, its own leaving) and pass on what users ask for VMs
// and images, who may talk to any node. Who enters, who leaves, who leads, tokens and plans come
// from servers only. The leader decides by the state it has applied; who asks is proven by its
// certificate.

#include "base/ids.h"
#include "base/result.h"
#include "core/cluster/state.h"
#include "core/raft/types.h"
#include "node/peer/peers.h"

namespace blixard::replica {

// A command that node `from` wants in the log. Errors: kPermissionDenied "servers_only";
// kUnavailable "not_leader" when the state does not know the node (yet): to be asked again.
Result<void> may_propose(const cluster::State& state, NodeId from, const v1::Command& command);

// A change of who takes part in consensus or who leads. Errors: the same.
Result<void> may_change_members(const cluster::State& state, NodeId from);

// Whether a message of consensus is one that its sender can mean. A worker takes part by answering
// and by asking for reads; it has no term of its own, so one that is ahead of `term` is none of a
// worker's. Whom the state does not know (this node may be the one that is behind, or have no state
// yet) is what its certificate says.
[[nodiscard]] bool may_send(const cluster::State& state, peer::Sender from, raft::MessageType type,
                            Term message_term, Term term);

}  // namespace blixard::replica

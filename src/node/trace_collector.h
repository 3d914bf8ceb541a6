#pragma once

// A trace over all nodes without any collector outside: the node that is asked asks the others for
// their spans, side by side and with a short deadline. Who could not be asked (away, too old to
// know the question, a worker asked by a worker) is named in the answer, so that nobody takes a
// part for the whole.
//
// Every member may ask: spans say nothing that the replicated state does not tell each of them.
// What others answer is read strictly and shown under the name that the state has for them.

#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/result.h"
#include "env/env.h"
#include "env/task.h"
#include "node/peer/peers.h"
#include "node/replica/replica.h"
#include "node/trace/otlp.h"
#include "node/trace/tracer.h"

namespace blixard::node {

class TraceCollector {
 public:
  // All outlive it.
  TraceCollector(env::Env env, NodeId self, trace::Resource resource, const trace::Tracer& tracer,
                 const replica::Replica& replica, peer::Peers& peers)
      : env_(env),
        self_(self),
        resource_(std::move(resource)),
        tracer_(tracer),
        replica_(replica),
        peers_(peers) {}

  // From this node first, then by node. No resource has no span.
  env::Task<trace::Traces> collect(observe::TraceId id) const;

  // The body of peer::RequestKind::kTrace, as text. Errors: kInvalidArgument "request_invalid".
  [[nodiscard]] Result<std::string> answer(std::string_view body) const;

 private:
  struct Asked;
  struct Round;

  [[nodiscard]] trace::Traces own(const observe::TraceId& id) const;
  env::Task<void> ask_some(Round& round, observe::TraceId id, Instant deadline) const;
  env::Task<void> ask(Asked& asked, observe::TraceId id, Instant deadline) const;

  env::Env env_;
  NodeId self_;
  trace::Resource resource_;
  const trace::Tracer& tracer_;
  const replica::Replica& replica_;
  peer::Peers& peers_;
};

}  // namespace blixard::node

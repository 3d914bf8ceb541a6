#include "node/trace_collector.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/limits.h"
#include "env/scope.h"

namespace blixard::node {

struct TraceCollector::Asked {
  NodeId node;
  std::string name;
  bool answered = false;
  trace::ResourceSpans spans;
};

struct TraceCollector::Round {
  std::vector<Asked> nodes;
  std::size_t next = 0;
  std::size_t room = limits::kTraceSpansShown;  // besides this node's own
};

trace::Traces TraceCollector::own(const observe::TraceId& id) const {
  trace::Traces traces;
  auto spans = trace::spans_of(tracer_, id);
  if (!spans.empty()) {
    traces.resources.push_back({.resource = resource_, .spans = std::move(spans)});
  }
  return traces;
}

Result<std::string> TraceCollector::answer(std::string_view body) const {
  const auto id = observe::TraceId::parse(body);
  if (!id) return fail(Code::kInvalidArgument, "request_invalid");
  return trace::otlp_json(own(*id));
}

env::Task<trace::Traces> TraceCollector::collect(observe::TraceId id) const {
  Round round;
  for (const auto& [node, record] : replica_.state().nodes()) {
    if (node != self_) round.nodes.push_back({node, record.name.text(), false, {}});
  }
  const Instant deadline = env_.clock.monotonic() + limits::kTraceAskTimeout;
  env::Scope scope(env_.executor, co_await env::this_cancellation());
  for (std::size_t i = 0; i < std::min(limits::kTraceAsksAtOnce, round.nodes.size()); ++i)
    scope.spawn(ask_some(round, id, deadline));
  co_await scope.join();
  trace::Traces traces = own(id);
  for (Asked& asked : round.nodes) {
    if (!asked.answered) {
      traces.missing.push_back(std::move(asked.name));
    } else if (!asked.spans.spans.empty()) {
      traces.resources.push_back(std::move(asked.spans));
    }
  }
  co_return traces;
}

// One that is silent keeps one of those who ask, not the others.
env::Task<void> TraceCollector::ask_some(Round& round, observe::TraceId id,
                                         Instant deadline) const {
  while (round.next < round.nodes.size()) {
    Asked& asked = round.nodes[round.next++];
    co_await ask(asked, id, deadline);
    const std::size_t spans = asked.spans.spans.size();
    if (spans > round.room) {
      asked.answered = false;
      asked.spans = {};
    } else {
      round.room -= spans;
    }
  }
}

env::Task<void> TraceCollector::ask(Asked& asked, observe::TraceId id, Instant deadline) const {
  const auto reply =
      co_await peers_.request(asked.node, peer::RequestKind::kTrace, id.text(), deadline);
  if (!reply || reply->size() > limits::kTraceAnswerBytes) co_return;
  auto traces = trace::read_otlp_json(*reply);
  if (!traces || traces->resources.size() > 1) co_return;
  asked.answered = true;
  if (traces->resources.empty()) co_return;
  asked.spans = std::move(traces->resources.front());
  asked.spans.resource.node = asked.name;
  std::erase_if(asked.spans.spans, [&](const trace::ReadSpan& span) { return span.trace != id; });
  if (asked.spans.spans.size() > limits::kTraceAnswerSpans) {
    asked.spans.spans.resize(limits::kTraceAnswerSpans);
  }
}

}  // namespace blixard::node

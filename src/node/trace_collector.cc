#include "node/trace_collector.h"

#include <algorithm>
#include <span>
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
  std::vector<Asked> others;
  for (const auto& [node, record] : replica_.state().nodes()) {
    if (node != self_) others.push_back({node, record.name.text(), false, {}});
  }
  const Instant deadline = env_.clock.monotonic() + limits::kTraceAskTimeout;
  trace::Traces traces = own(id);
  std::size_t room = limits::kTraceSpansShown;
  for (std::size_t i = 0; i < others.size(); i += limits::kTraceAsksAtOnce) {
    const auto some =
        std::span(others).subspan(i, std::min(limits::kTraceAsksAtOnce, others.size() - i));
    if (room > 0) {
      env::Scope scope(env_.executor, co_await env::this_cancellation());
      for (Asked& asked : some)
        scope.spawn(ask(asked, id, deadline));
      co_await scope.join();
    }
    for (Asked& asked : some) {
      const std::size_t spans = asked.spans.spans.size();
      if (!asked.answered || spans > room) {
        traces.missing.push_back(std::move(asked.name));
      } else if (spans > 0) {
        room -= spans;
        traces.resources.push_back(std::move(asked.spans));
      }
      asked.spans = {};
    }
  }
  co_return traces;
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

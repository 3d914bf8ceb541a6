#pragma once

// A node of an Environment: a core, its storage, and the work that its storage threads have not
// done yet (asynchronous writes only; otherwise work is done at once).

#include <deque>
#include <memory>
#include <vector>

#include "core/raft/core.h"
#include "test/conformance/raft/environment.h"
#include "test/conformance/raft/memory_storage.h"
#include "test/conformance/raft/sync_node.h"
#include "test/conformance/raft/trace.h"

namespace blixard::raft::interaction {

// Writes what a core says into the trace.
class TracedEvents : public EventSink {
 public:
  explicit TracedEvents(Trace& trace) : trace_(trace) {}
  void on_event(const Event& event) override {
    if (const auto line = log_line(event, trace_.form())) trace_.log(*line);
  }

 private:
  Trace& trace_;
};

struct Environment::Node {
  Node(const Config& settings, bool writes_async, MemoryStorage begin, Trace& trace)
      : config(settings), async(writes_async), storage(std::move(begin)), events(trace) {}

  [[nodiscard]] NodeId id() const { return config.id; }

  // Whether the reference calls this round one that must be synced: it leaves a snapshot to its
  // owner, our core does not. Remembers the hard state that the round hands out.
  bool must_sync(const Output& output) {
    if (!output.append) return false;
    const HardState before = handed_out;
    handed_out = output.append->hard_state.value_or(before);
    return !output.append->entries.empty() || handed_out.term != before.term ||
           handed_out.vote != before.vote;
  }

  Config config;
  HardState handed_out;
  bool async;
  MemoryStorage storage;
  TracedEvents events;
  std::unique_ptr<Core> core;
  std::optional<SyncNode> sync;  // unless async
  std::deque<Append> append_work;
  std::deque<std::vector<Entry>> apply_work;
};

}  // namespace blixard::raft::interaction

#pragma once

// The reference's synchronous mode over a core that is asynchronous always: ready() hands out one
// round of work, advance() says that all of it is done: written, sent, applied.
//
// Responses to others go with the other messages, behind them (the caller sends nothing before it
// wrote); what the core has to hear itself (its own vote, its own acknowledgement, that the append
// is durable, that the entries are applied) it hears in advance(), in this order.

#include <optional>
#include <vector>

#include "core/raft/core.h"

namespace blixard::raft::interaction {

class SyncNode {
 public:
  explicit SyncNode(Core& core) : core_(core) {}

  [[nodiscard]] bool has_ready() const { return core_.has_output(); }
  // Precondition: advance() was called since the last one. `append->responses` of what is returned
  // is empty.
  Output ready();
  // Precondition: the entries of the round were given to Core::apply_conf_change where they are
  // changes of the configuration.
  void advance();

 private:
  Core& core_;
  std::vector<Message> own_responses_;
  std::optional<AppendMark> appended_;
  LogIndex applied_;
};

}  // namespace blixard::raft::interaction

#include "test/conformance/raft/sync_node.h"

#include <utility>

namespace blixard::raft::interaction {

Output SyncNode::ready() {
  Output output = core_.take_output();
  if (output.append) {
    for (Message& response : output.append->responses) {
      (response.to == core_.id() ? own_responses_ : output.messages).push_back(std::move(response));
    }
    output.append->responses.clear();
    appended_ = output.append->mark;
  }
  if (!output.committed.empty()) applied_ = output.committed.back().index;
  return output;
}

void SyncNode::advance() {
  for (Message& response : std::exchange(own_responses_, {}))
    ignore(core_.step(std::move(response)), "as the reference does");
  if (const auto mark = std::exchange(appended_, std::nullopt)) core_.appended(*mark);
  if (const LogIndex index = std::exchange(applied_, LogIndex())) core_.applied(index);
}

}  // namespace blixard::raft::interaction

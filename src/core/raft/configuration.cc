#include "core/raft/configuration.h"

#include <algorithm>
#include <functional>
#include <iterator>

#include "base/limits.h"

namespace blixard::raft {
namespace {

std::vector<NodeId> joined(const std::vector<NodeId>& one, const std::vector<NodeId>& other) {
  std::vector<NodeId> all;
  all.reserve(one.size() + other.size());
  std::ranges::set_union(one, other, std::back_inserter(all));
  return all;
}

bool disjoint(const std::vector<NodeId>& one, const std::vector<NodeId>& other) {
  return std::ranges::none_of(one, [&](NodeId node) { return contains(other, node); });
}

std::unexpected<Error> invalid(const char* rule) {
  return fail(Code::kInvalidArgument, "conf_state_invalid", rule);
}

}  // namespace

bool contains(const std::vector<NodeId>& list, NodeId node) {
  return std::ranges::binary_search(list, node);
}

bool is_voter(const ConfState& conf, NodeId node) {
  return contains(conf.voters, node) || contains(conf.voters_outgoing, node);
}

bool is_learner(const ConfState& conf, NodeId node) { return contains(conf.learners, node); }

std::vector<NodeId> all_voters(const ConfState& conf) {
  return joined(conf.voters, conf.voters_outgoing);
}

std::vector<NodeId> members(const ConfState& conf) {
  return joined(all_voters(conf), conf.learners);
}

Result<void> check_conf_state(const ConfState& conf) {
  for (const auto* list :
       {&conf.voters, &conf.learners, &conf.voters_outgoing, &conf.learners_next}) {
    if (list->size() > limits::kConfMembers) return invalid("a list is too long");
    if (std::ranges::adjacent_find(*list, std::greater_equal<>()) != list->end()) {
      return invalid("a list is not sorted, or repeats a node");
    }
    if (!list->empty() && !list->front()) return invalid("a list has node 0");
  }
  if (conf.voters.empty() && !members(conf).empty()) return invalid("no voters");
  if (!disjoint(conf.learners, conf.voters) || !disjoint(conf.learners, conf.voters_outgoing)) {
    return invalid("a learner is a voter");
  }
  if (!std::ranges::includes(conf.voters_outgoing, conf.learners_next) ||
      !disjoint(conf.learners_next, conf.voters)) {
    return invalid("who becomes a learner is not leaving");
  }
  if (!is_joint(conf) && conf.auto_leave) return invalid("nothing to leave");
  return {};
}

}  // namespace blixard::raft

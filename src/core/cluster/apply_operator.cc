// What operators say of one node: labels, taints, whether it takes VMs, and that it is drained.

#include <algorithm>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "base/limits.h"
#include "blixard/v1/cluster.pb.h"
#include "core/cluster/reasons.h"
#include "core/cluster/state.h"
#include "core/cluster/text.h"
#include "core/cluster/wishes_codec.h"

namespace blixard::cluster {

namespace {

std::unexpected<Error> invalid(std::string detail) {
  return fail(Code::kInvalidArgument, reason::kNodeInvalid, std::move(detail));
}

// What is of a new key is added, what is of a known one takes its place. By key, before and after.
template <class T>
void merge(std::vector<T>& kept, std::vector<T> news, std::string T::* key) {
  for (T& one : news) {
    const auto at = std::ranges::lower_bound(kept, one.*key, {}, key);
    if (at != kept.end() && (*at).*key == one.*key) {
      *at = std::move(one);
    } else {
      kept.insert(at, std::move(one));
    }
  }
}

// Each key once, in what is set and what is removed together.
template <class T>
Result<void> check_keys(const char* field, const std::vector<T>& news, std::string T::* key,
                        const google::protobuf::RepeatedPtrField<std::string>& removed) {
  std::set<std::string_view> keys;
  for (const T& one : news) {
    if (keys.insert(one.*key).second) continue;
    return invalid(
        fmt::format("{}: {} twice", field, bounded_text(one.*key, limits::kLabelKeyBytes)));
  }
  for (const std::string& one : removed) {
    const std::string shown = bounded_text(one, limits::kLabelKeyBytes);
    if (auto checked = check_label(one, ""); !checked)
      return invalid(std::string(checked.error().detail()));
    if (!keys.insert(one).second)
      return invalid(fmt::format("{}: {} is named twice", field, shown));
  }
  return {};
}

template <class T>
void remove_keys(std::vector<T>& kept, std::string T::* key,
                 const google::protobuf::RepeatedPtrField<std::string>& removed) {
  std::erase_if(
      kept, [&](const T& one) { return std::ranges::find(removed, one.*key) != removed.end(); });
}

}  // namespace

Result<std::uint64_t> State::carry_out(const v1::UpdateNode& command, const Step& step) {
  BLX_TRY(Node * node, member(NodeId(command.node_id())));
  const auto most = [](std::size_t limit) { return static_cast<int>(limit); };
  if (command.remove_labels_size() > most(limits::kLabels) ||
      command.remove_taints_size() > most(limits::kTaints)) {
    return invalid("more is removed than there can be");
  }
  std::vector<Label> labels = read_labels(command.set_labels());
  BLX_TRY(std::vector<Taint> taints, read_taints(command.set_taints()));
  BLX_TRY(check_keys("labels", labels, &Label::key, command.remove_labels()));
  BLX_TRY(check_keys("taints", taints, &Taint::key, command.remove_taints()));
  Node updated = *node;
  remove_keys(updated.set_labels, &Label::key, command.remove_labels());
  remove_keys(updated.taints, &Taint::key, command.remove_taints());
  merge(updated.set_labels, std::move(labels), &Label::key);
  merge(updated.taints, std::move(taints), &Taint::key);
  if (command.has_cordoned()) updated.cordoned = command.cordoned();
  if (updated == *node) return node->id.value;
  BLX_TRY(check_node(updated));
  *node = std::move(updated);
  revise(*node);
  announce(Change::Kind::kNodeChanged, node->id.value, node->name, step);
  return node->id.value;
}

Result<std::uint64_t> State::carry_out(const v1::DrainNode& command, const Step& step) {
  BLX_TRY(Node * node, member(NodeId(command.node_id())));
  Drain drain;
  if (!command.cancel()) {
    const auto fault = [](std::string detail) {
      return fail(Code::kInvalidArgument, reason::kDrainInvalid, std::move(detail));
    };
    if (command.deadline_ms() < 1 || command.deadline_ms() > limits::kDrainMax / 1ms) {
      return fault(fmt::format("deadline_ms: {} is not between 1 and {}", command.deadline_ms(),
                               limits::kDrainMax / 1ms));
    }
    if (command.parallel() < 1 || command.parallel() > limits::kDrainParallel) {
      return fault(fmt::format("parallel: {} is not between 1 and {}", command.parallel(),
                               limits::kDrainParallel));
    }
    if (node->leaving) {
      return fail(Code::kFailedPrecondition, reason::kNodeLeaving,
                  fmt::format("node {} is being removed", node->name));
    }
    const WallTime now{.unix_ms = std::max<std::int64_t>(step.time.unix_ms, 1)};
    drain.since = node->drain.is_under_way() ? node->drain.since : now;
    drain.deadline = {.unix_ms = now.unix_ms + command.deadline_ms()};
    drain.parallel = command.parallel();
  }
  if (node->drain == drain) return node->id.value;
  node->drain = std::move(drain);
  revise(*node);
  announce(Change::Kind::kNodeChanged, node->id.value, node->name, step);
  return node->id.value;
}

Result<std::uint64_t> State::carry_out(const v1::EndDrain& command, const Step& step) {
  BLX_TRY(Node * node, member(NodeId(command.node_id())));
  if (!node->drain.is_under_way() || node->drain.since.unix_ms != command.since_unix_ms()) {
    return fail(Code::kAborted, reason::kDrainNotFound,
                fmt::format("node {} has no drain of that time under way", node->name));
  }
  node->drain.ended = {.unix_ms = std::max<std::int64_t>(step.time.unix_ms, 1)};
  node->drain.outcome = bounded_text(command.outcome(), limits::kReasonBytes);
  revise(*node);
  announce(Change::Kind::kNodeChanged, node->id.value, node->name, step);
  return node->id.value;
}

}  // namespace blixard::cluster

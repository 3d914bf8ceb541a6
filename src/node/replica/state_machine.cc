#include "node/replica/state_machine.h"

#include <utility>

#include <fmt/format.h>

#include "base/bug.h"
#include "base/limits.h"

namespace blixard::replica {
namespace {

std::unexpected<Error> cannot_apply(const raft::Entry& entry, const Error& why) {
  return fail(
      why.code(), why.code() == Code::kFailedPrecondition ? "model_too_new" : "command_invalid",
      fmt::format("entry {} of the log cannot be applied: {}", entry.index.value, why.message()));
}

}  // namespace

StateMachine::StateMachine(env::Clock& clock)
    : clock_(clock), sink_([this](const cluster::Change& change) {
        changes_.add(change);
        if (change.kind == cluster::Change::Kind::kNodeChanged) nodes_changed_ = true;
      }) {}

void StateMachine::restore(cluster::State state, LogIndex index, Term term) {
  state_ = std::move(state);
  changes_.begin_at(state_.revision());
  applied_ = index;
  applied_term_ = term;
  entries_since_snapshot_ = bytes_since_snapshot_ = 0;
  nodes_changed_ = true;
}

Result<cluster::Outcome> StateMachine::apply(const raft::Entry& entry, const v1::Command* parsed) {
  const std::string_view bytes = entry.payload.view();
  if (parsed == nullptr || BLX_BUG(kForgetsRequestIds) || BLX_BUG(kAppliesWithClock)) {
    if (bytes.size() > limits::kCommandBytes ||
        !parsed_.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
      return cannot_apply(entry, Error(Code::kDataLoss, "command_invalid", "it cannot be parsed"));
    }
    if (BLX_BUG(kForgetsRequestIds)) parsed_.clear_request_id();
    if (BLX_BUG(kAppliesWithClock)) parsed_.set_time_unix_ms(clock_.wall().unix_ms);
    parsed = &parsed_;
  }
  auto outcome = state_.apply(entry.index, *parsed, sink_);
  if (!outcome && is_fatal(outcome.error())) return cannot_apply(entry, outcome.error());
  pass(entry);
  return outcome;
}

Result<cluster::Outcome> StateMachine::apply(const raft::Entry& entry,
                                             const raft::ConfState& configuration,
                                             std::string_view command) {
  auto outcome = state_.apply_configuration(entry.index, configuration, command, sink_);
  nodes_changed_ = true;
  if (!outcome && is_fatal(outcome.error())) return cannot_apply(entry, outcome.error());
  pass(entry);
  return outcome;
}

bool StateMachine::is_fatal(const Error& error) {
  return error.reason() == "command_invalid" || error.reason() == "model_too_new";
}

void StateMachine::pass(const raft::Entry& entry) {
  BLX_ASSERT(entry.index == applied_.next() && entry.term >= applied_term_);
  applied_ = entry.index;
  applied_term_ = entry.term;
  ++entries_since_snapshot_;
  bytes_since_snapshot_ += entry.payload.size();
}

}  // namespace blixard::replica

// Requests about what placement would do: why a VM is where it is, and what would become of others.

#include "core/sched/explain.h"

#include <memory>

#include <fmt/format.h>

#include "base/limits.h"
#include "blixard/v1/api.pb.h"
#include "env/executor.h"
#include "node/api/api.h"
#include "node/api/counted.h"
#include "node/api/json.h"
#include "node/api/plan.h"

namespace blixard::api {
namespace {

using sched::Explanation;

constexpr std::size_t kPieceBytes = 256 * 1024;

static_assert(static_cast<int>(cluster::Strategy::kFragmentationAware) ==
              v1::STRATEGY_FRAGMENTATION_AWARE);
static_assert(static_cast<int>(cluster::Strategy::kCostOptimized) == v1::STRATEGY_COST_OPTIMIZED);

void write_candidate(const Explanation::Candidate& candidate, v1::ScoredNode* out) {
  out->set_node(candidate.name.text());
  out->set_score_micro(candidate.score);
  for (const sched::ScorePart& part : candidate.parts) {
    auto* added = out->add_parts();
    added->set_name(std::string(part.name));
    added->set_score_micro(part.score);
  }
}

void write_refusals(const Explanation& said, v1::VmExplanation& out) {
  for (const sched::Refusals::Cause& cause : said.causes) {
    auto* added = out.add_causes();
    added->set_text(cause.text);
    added->set_nodes(static_cast<std::uint32_t>(cause.nodes));
  }
  for (const Explanation::Refused& refused : said.refused) {
    auto* added = out.add_refused();
    added->set_node(refused.node.text());
    added->set_why(refused.why);
  }
  out.set_refused_left_out(
      static_cast<std::uint32_t>(said.nodes - said.fitting - said.refused.size()));
  for (const sched::Misses::Miss& miss : said.misses) {
    auto* added = out.add_misses();
    added->set_text(miss.text);
    added->set_nodes(static_cast<std::uint32_t>(miss.nodes));
  }
}

v1::VmExplanation to_message(const Explanation& said, const cluster::Vm& vm,
                             const cluster::State& state) {
  v1::VmExplanation message;
  message.set_name(vm.name.text());
  message.set_verdict(said.verdict);
  if (const cluster::Node* node = state.find_node(vm.node)) message.set_node(node->name.text());
  if (!vm.node) message.set_reason(vm.reason);
  message.set_strategy(static_cast<v1::Strategy>(said.strategy));
  message.set_scored_by(static_cast<v1::Strategy>(said.scored_by));
  message.set_nodes(static_cast<std::uint32_t>(said.nodes));
  message.set_nodes_that_fit(static_cast<std::uint32_t>(said.fitting));
  write_refusals(said, message);
  if (said.chosen) write_candidate(*said.chosen, message.mutable_chosen());
  for (const Explanation::Candidate& candidate : said.alternatives)
    write_candidate(candidate, message.add_alternatives());
  for (const Name& name : said.leaving)
    message.add_leaving(name.text());
  for (const Explanation::Gang& gang : said.gangs) {
    auto* added = message.add_gangs();
    added->set_group(gang.group.text());
    added->set_wanted(gang.wanted);
    added->set_placed(gang.placed);
    added->set_waiting(gang.waiting);
  }
  message.set_ahead(static_cast<std::uint32_t>(said.ahead));
  return message;
}

std::unexpected<Error> too_many_copies() {
  return fail(
      Code::kResourceExhausted, "too_many_copies",
      fmt::format("{} requests have a copy of the state, the most possible", limits::kStateCopies));
}

}  // namespace

env::Task<Result<http::Response>> Api::explain_vm(const Call& call) {
  BLX_CO_TRY(co_await barrier(call));
  const cluster::State& state = replica_.state();
  const cluster::Vm* vm = state.find_vm(call.name);
  if (vm == nullptr) {
    co_return fail(Code::kNotFound, "vm_not_found", fmt::format("no VM is named {}", call.name));
  }
  sched::StateFleet fleet;
  fleet.load(state);
  co_return json_response(200, to_message(sched::explain(state, fleet, *vm), *vm, state));
}

env::Task<Result<http::Response>> Api::plan(const Call& call) {
  v1::PlanRequest request;
  BLX_CO_TRY(from_json(call.request.body, request));
  BLX_CO_TRY(co_await barrier(call));
  if (state_copies_ >= limits::kStateCopies) co_return too_many_copies();
  const Counted counted(state_copies_);
  PlanRun run(replica_.state(), request, env_.clock.wall());
  const auto* cancellation = co_await env::this_cancellation();
  while (run.step()) {
    if (cancellation != nullptr && cancellation->requested()) {
      co_return fail(Code::kCancelled, "cancelled");
    }
    co_await env::Turn{env_.executor};
  }
  co_return json_response(200, run.answer());
}

// As State::decode() reads it.
env::Task<Result<http::Response>> Api::copy_state(const Call& call) {
  BLX_CO_TRY(co_await barrier(call));
  if (state_copies_ >= limits::kStateCopies) co_return too_many_copies();
  http::Response response;
  response.content_type = call.route.content_type;
  response.stream = [this, counted = std::make_shared<Counted>(state_copies_)](
                        http::BodyWriter& writer) { return send_state(writer); };
  co_return response;
}

env::Task<Result<void>> Api::send_state(http::BodyWriter& writer) {
  const std::string bytes = replica_.state().encode();
  for (std::size_t at = 0; at < bytes.size(); at += kPieceBytes)
    BLX_CO_TRY(co_await writer.write(bytes.substr(at, kPieceBytes)));
  co_return Result<void>();
}

}  // namespace blixard::api

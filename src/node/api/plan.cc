#include "node/api/plan.h"

#include <utility>

#include "node/api/convert.h"

namespace blixard::api {

namespace {

void write_fate(const sched::WhatIf::Fate& fate, const cluster::State& state, v1::PlannedVm* out) {
  const cluster::Node* node = state.find_node(fate.node);
  out->set_outcome(node == nullptr ? v1::PLANNED_OUTCOME_WAITING : v1::PLANNED_OUTCOME_PLACED);
  if (node != nullptr) out->set_node(node->name.text());
  for (const std::uint16_t device : fate.devices)
    out->add_devices(device);
  out->set_score_micro(fate.score);
  for (const Name& name : fate.makes_leave)
    out->add_makes_leave(name.text());
  out->set_reason(fate.reason);
}

}  // namespace

PlanRun::PlanRun(cluster::State copy, const v1::PlanRequest& request, WallTime now)
    : revision_(copy.revision()), trial_(std::move(copy), now), request_(request) {
  std::vector<VmId> asked;
  for (const v1::CreateVmRequest& vm : request_.vms()) {
    // No request that creates a VM has the nil id, so no VM has an identity that comes of it.
    Result<VmId> created = VmId();
    if (const auto command = to_command(vm, Uuid())) {
      created = trial_.create(*command);
    } else {
      created = std::unexpected(command.error());
    }
    if (created) asked.push_back(*created);
    created_.push_back(std::move(created));
  }
  whatif_.emplace(trial_, std::move(asked));
}

v1::PlanAnswer PlanRun::answer() const {
  v1::PlanAnswer answer;
  answer.set_revision(revision_);
  const std::vector<sched::WhatIf::Fate> fates = whatif_->fates();
  auto fate = fates.begin();
  std::uint32_t placed = 0;
  std::uint32_t refused = 0;
  for (std::size_t at = 0; at < created_.size(); ++at) {
    v1::PlannedVm& vm = *answer.add_vms();
    vm.set_name(request_.vms(static_cast<int>(at)).name());
    if (!created_[at]) {
      const Error& error = created_[at].error();
      vm.set_outcome(v1::PLANNED_OUTCOME_REFUSED);
      vm.set_code(std::string(error.reason()));
      vm.set_reason(std::string(error.detail()));
      ++refused;
      continue;
    }
    write_fate(*fate++, trial_.state(), &vm);
    placed += vm.outcome() == v1::PLANNED_OUTCOME_PLACED ? 1 : 0;
  }
  answer.set_placed(placed);
  answer.set_refused(refused);
  answer.set_waiting(static_cast<std::uint32_t>(fates.size()) - placed);
  return answer;
}

}  // namespace blixard::api

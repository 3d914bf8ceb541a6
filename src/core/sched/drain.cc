#include "core/sched/drain.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/limits.h"

namespace blixard::sched {

namespace {

using cluster::Node;
using cluster::State;
using cluster::Vm;
using cluster::VmDesired;
using cluster::VmState;

constexpr std::size_t kNamed = 10;             // of the VMs that an outcome names
constexpr std::int64_t kAnswerMs = 60 * 1000;  // for a node to say that a guest has stopped

bool stays_stopped(const Vm& vm) {
  const bool is_at_rest = vm.state == VmState::kStopped || vm.state == VmState::kFailed;
  return vm.spec.wishes->on_evict == cluster::OnEvict::kStop && vm.desired == VmDesired::kStopped &&
         is_at_rest;
}

// Told already, and nothing more can be told.
bool is_told(const Vm& vm) {
  return vm.evicting || vm.desired == VmDesired::kDeleted ||
         (vm.spec.wishes->on_evict == cluster::OnEvict::kStop && vm.desired == VmDesired::kStopped);
}

class OneDrain {
 public:
  OneDrain(const State& state, Planner& planner, const Node& node, WallTime now)
      : state_(state),
        planner_(planner),
        node_(node),
        is_late_(node.drain.deadline <= now),
        now_(now) {
    for (const VmId id : state.vms_on(node.id)) {
      const Vm& vm = *state.find_vm(id);
      if (stays_stopped(vm)) {
        ++stopped_;
      } else {
        left_.push_back(&vm);
      }
    }
  }

  void add_to(DrainPlan& plan) const {
    if (left_.empty() || has_waited_enough()) {
      plan.ends.push_back({.node = node_.id, .since = node_.drain.since, .outcome = outcome()});
      return;
    }
    std::size_t on_the_way = is_late_ ? 0 : moving();
    for (const Vm* vm : left_) {
      if (plan.evictions.size() == limits::kPlacementsPerPlan) return;
      if (!is_late_ && on_the_way >= node_.drain.parallel) return;
      if (is_told(*vm)) continue;
      const bool stops = vm->spec.wishes->on_evict == cluster::OnEvict::kStop;
      if (!is_late_ && !stops && !planner_.has_place_elsewhere(state_, *vm)) continue;
      ++on_the_way;
      plan.evictions.push_back(
          {.vm = vm->id, .generation = vm->generation, .explanation = explanation()});
    }
  }

 private:
  // On their way out, and those that wait for a node since.
  [[nodiscard]] std::size_t moving() const {
    const auto leaves = [](const Vm* vm) { return is_told(*vm); };
    const auto waits = [&](VmId id) {
      const Vm& vm = *state_.find_vm(id);
      return wants_to_run(vm.desired) && !vm.eviction.is_default() &&
             vm.eviction->cause == cluster::EvictCause::kDrain && vm.eviction->from == node_.id;
    };
    return static_cast<std::size_t>(std::ranges::count_if(left_, leaves) +
                                    std::ranges::count_if(state_.pending(), waits));
  }

  [[nodiscard]] bool has_waited_enough() const {
    std::int64_t grace_ms = 0;
    for (const Vm* vm : left_)
      grace_ms = std::max(grace_ms, std::int64_t{vm->spec.stop_grace_seconds} * 1000);
    return node_.drain.deadline.unix_ms + grace_ms + kAnswerMs <= now_.unix_ms;
  }

  [[nodiscard]] std::string explanation() const {
    return is_late_ ? fmt::format("node {} is drained, and its deadline has passed", node_.name)
                    : fmt::format("node {} is drained", node_.name);
  }

  [[nodiscard]] std::string outcome() const {
    std::string text = "drained";
    if (!left_.empty()) {
      text = fmt::format("over: the node did not say that {} VMs have stopped:", left_.size());
      for (std::size_t at = 0; at < std::min(left_.size(), kNamed); ++at)
        text += fmt::format("{} {}", at == 0 ? "" : ",", left_[at]->name);
      if (left_.size() > kNamed) text += " and others";
    }
    if (stopped_ != 0) text += fmt::format("; {} VMs stay there, stopped", stopped_);
    return text;
  }

  const State& state_;
  Planner& planner_;
  const Node& node_;
  bool is_late_;
  WallTime now_;
  std::vector<const Vm*> left_;  // by id
  std::size_t stopped_ = 0;
};

}  // namespace

bool is_any_draining(const State& state) {
  return std::ranges::any_of(state.nodes(),
                             [](const auto& entry) { return entry.second.drain.is_under_way(); });
}

DrainPlan plan_drains(const State& state, Planner& planner, WallTime now) {
  DrainPlan plan;
  for (const auto& [id, node] : state.nodes()) {
    if (node.drain.is_under_way()) OneDrain(state, planner, node, now).add_to(plan);
  }
  return plan;
}

}  // namespace blixard::sched

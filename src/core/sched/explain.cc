#include "core/sched/explain.h"

#include <algorithm>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "core/sched/queue.h"
#include "core/sched/shape.h"

namespace blixard::sched {

namespace {

using cluster::State;
using cluster::Vm;

// As Refusals says it of many.
std::string why(const State& state, const Fleet& fleet, const Request& request, NodeIndex at,
                const Obstacle& obstacle) {
  Refusals one(&state, fleet, request);
  one.count(at, obstacle);
  return one.causes().front().text;
}

class Explainer {
 public:
  Explainer(const State& state, StateFleet& fleet, const Vm& vm)
      : state_(state),
        state_fleet_(fleet),
        fleet_(fleet.fleet()),
        vm_(vm),
        request_(request_of(state, vm)),
        circumstances_(state),
        home_(vm.node ? fleet_.find(vm.node) : kNoNode),
        refusals_(&state, fleet_, request_),
        misses_(state, fleet_, request_) {}

  Explanation run() {
    lift();
    said_.strategy = strategy_of(*request_.wishes, state_.policy());
    said_.scored_by = base_of(said_.strategy, state_.policy());
    look_at_nodes();
    look_at_others();
    find_candidates();
    said_.causes = refusals_.causes();
    if (said_.fitting == 0 && home_ == kNoNode) said_.misses = misses_.nearest(kMisses);
    said_.verdict = fmt::format("VM {} {}", vm_.name, home_ == kNoNode ? prospect() : standing());
    put_back();
    return std::move(said_);
  }

 private:
  [[nodiscard]] const Shape& shape() {
    return fleet_.shapes().of(request_, said_.strategy, fleet_.classes());
  }
  [[nodiscard]] Situation situation() const {
    return {.circumstances = &circumstances_, .passed_over = passed_over_};
  }

  // Without the VM that is placed, and without what those before one that waits will take.
  void lift() {
    if (home_ != kNoNode) {
      fleet_.lift(home_, request_.demand, vm_.devices);
      circumstances_.leave_out(request_, vm_.node);
      return;
    }
    if (vm_.node || vm_.state == cluster::VmState::kSuspended) return;
    for (const Vm* other : in_turn(state_, all_of(fleet_))) {
      if (other == &vm_) break;
      ++said_.ahead;
      const std::set<VmId>* leaving = state_fleet_.making_room_for(other->name);
      if (leaving == nullptr) continue;
      const NodeIndex at = fleet_.find(state_.find_vm(*leaving->begin())->node);
      if (at == kNoNode) continue;
      Request kept = kept_for(request_of(state_, *other));
      fleet_.take(at, kept, {});
      kept_.emplace_back(at, std::move(kept));
    }
  }

  void put_back() {
    for (const auto& [at, request] : kept_)
      fleet_.give_back(at, request, {});
    if (home_ != kNoNode) fleet_.put_down(home_, request_.demand, vm_.devices);
  }

  std::vector<Obstacle> all_obstacles(NodeIndex at) {
    std::vector<Obstacle> all = obstacles(fleet_, at, shape());
    if (!circumstances_.matter_to(request_)) return all;
    const bool has_room =
        all.empty() || all.back().kind != Obstacle::Kind::kRoom;  // it is the last of its kinds
    for (Obstacle& obstacle : circumstances_.obstacles(fleet_, at, request_)) {
      const bool is_room = obstacle.kind == Obstacle::Kind::kReserved;
      if (has_room || !is_room) all.push_back(std::move(obstacle));
    }
    // Of no help is room where its saved guest cannot go on.
    const auto unfit = std::ranges::find(all, Obstacle::Kind::kSavedState, &Obstacle::kind);
    const auto room = std::ranges::find(all, Obstacle::Kind::kRoom, &Obstacle::kind);
    if (room < unfit && unfit != all.end()) std::rotate(room, unfit, unfit + 1);
    return all;
  }

  void look_at_nodes() {
    said_.nodes = fleet_.size();
    for (NodeIndex at = 0; at < fleet_.size(); ++at) {
      std::vector<Obstacle> all = all_obstacles(at);
      if (all.empty()) {
        ++said_.fitting;
        continue;
      }
      refusals_.count(at, all.front());
      if (at == home_) home_refusal_ = why(state_, fleet_, request_, at, all.front());
      if (said_.refused.size() < kRefusedNodes) {
        said_.refused.push_back(
            {.node = fleet_.node(at).name, .why = why(state_, fleet_, request_, at, all.front())});
      }
      misses_.count(at, std::move(all));
    }
  }

  void look_at_others() {
    if (vm_.node) return;
    if (const std::set<VmId>* leaving = state_fleet_.making_room_for(vm_.name)) {
      for (const VmId id : *leaving)
        said_.leaving.push_back(state_.find_vm(id)->name);
    }
    for (const Name& name : request_.wishes->groups) {
      const cluster::PlacementGroup* group = state_.find_group(name);
      const cluster::GroupMembers* members = state_.members_of(name);
      if (group == nullptr || members == nullptr || members->placed >= group->gang) continue;
      said_.gangs.push_back({.group = name,
                             .wanted = group->gang,
                             .placed = members->placed,
                             .waiting = members->pending});
    }
  }

  Explanation::Candidate candidate(NodeIndex at) {
    Explanation::Candidate found{
        .node = fleet_.node(at).id, .name = fleet_.node(at).name, .score = 0, .parts = {}};
    found.score = base_score(fleet_, at, shape(), &found.parts);
    if (!circumstances_.matter_to(request_)) return found;
    const Score penalty = circumstances_.penalty(fleet_, at, request_);
    if (penalty == 0) return found;
    found.score -= penalty;
    found.parts.push_back({.name = "soft rules of groups", .score = -penalty});
    return found;
  }

  void find_candidates() {
    const Decision first = home_ == kNoNode ? choose(fleet_, vm_, request_, situation())
                                            : decide(fleet_, request_, situation());
    best_ = first.at;
    const NodeIndex chosen = home_ == kNoNode ? best_ : home_;
    if (chosen == kNoNode) return;
    if (chosen == home_ && !home_refusal_.empty()) {
      said_.chosen = {.node = vm_.node, .name = fleet_.node(home_).name, .score = 0, .parts = {}};
    } else {
      said_.chosen = candidate(chosen);
    }
    passed_over_.push_back(chosen);
    while (said_.alternatives.size() < kAlternatives) {
      const Decision next = decide(fleet_, request_, situation());
      if (!next.is_placed()) break;
      said_.alternatives.push_back(candidate(next.at));
      passed_over_.push_back(next.at);
    }
  }

  // Of one that is placed.
  [[nodiscard]] std::string standing() const {
    const Name& home = fleet_.node(home_).name;
    std::string text = fmt::format("is on node {}", home);
    if (vm_.evicting) text = fmt::format("is told to leave node {}", home);
    if (!home_refusal_.empty())
      text += fmt::format(", which would not take it now: {}", home_refusal_);
    if (best_ != kNoNode && best_ != home_)
      text += fmt::format("; node {} would be chosen now", fleet_.node(best_).name);
    return text;
  }

  // Of one on no node.
  [[nodiscard]] std::string prospect() const {
    if (vm_.state != cluster::VmState::kSuspended) return fate();
    return fmt::format("is suspended, and takes no room; resumed now, it {}", fate());
  }

  // Of one that waits.
  [[nodiscard]] std::string fate() const {
    if (!said_.leaving.empty())
      return fmt::format("waits for {} VMs of lower priority to leave", said_.leaving.size());
    for (const Explanation::Gang& gang : said_.gangs) {
      return fmt::format(
          "waits for its gang: of group {} {} are placed at once, {} are placed and "
          "{} wait",
          gang.group, gang.wanted, gang.placed, gang.waiting);
    }
    if (said_.chosen) return fmt::format("would go to node {}", said_.chosen->name);
    if (said_.fitting == 0) return fmt::format("waits: {}", refusals_.sentence());
    return "waits: " + too_few_domains(state_.policy());
  }

  const State& state_;
  StateFleet& state_fleet_;
  Fleet& fleet_;
  const Vm& vm_;
  Request request_;
  Circumstances circumstances_;
  NodeIndex home_;
  Refusals refusals_;
  Misses misses_;
  Explanation said_;
  std::string home_refusal_;  // why its node would not take it now; empty: it would
  NodeIndex best_ = kNoNode;
  std::vector<NodeIndex> passed_over_;
  std::vector<std::pair<NodeIndex, Request>> kept_;
};

}  // namespace

Explanation explain(const State& state, StateFleet& fleet, const Vm& vm) {
  return Explainer(state, fleet, vm).run();
}

}  // namespace blixard::sched

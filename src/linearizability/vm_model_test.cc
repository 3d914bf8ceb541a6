#include "linearizability/vm_model.h"

#include <string>
#include <utility>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "linearizability/checker.h"
#include "linearizability/test_histories.h"

namespace blixard::linearizability {
namespace {

using cluster::VmDesired;
using cluster::VmState;
using Action = VmModel::Action;
using Answer = VmModel::Answer;
using Input = VmModel::Input;
using Output = VmModel::Output;
using Seen = VmModel::Seen;

// One client after the other.
class Story {
 public:
  Story& and_then(Action action, Output output, std::string name = "web") {
    if (action == Action::kList) name.clear();
    const std::uint64_t position = 2 * history_.size();
    history_.push_back({.process = 1,
                        .input = {.action = action, .name = std::move(name)},
                        .output = std::move(output),
                        .invoked = position,
                        .returned = position + 1});
    return *this;
  }
  // Of the create before it.
  Story& stops_when_evicted() {
    history_.back().input.stops_when_evicted = true;
    return *this;
  }
  Story& lost(Action action, std::string name = "web") {
    and_then(action, {}, std::move(name));
    history_.back().output.reset();
    history_.back().returned = kNever;
    return *this;
  }
  [[nodiscard]] Verdict verdict() const { return check(VmModel(), history_).verdict; }
  [[nodiscard]] bool is_ok() const { return verdict() == Verdict::kOk; }

 private:
  History<VmModel> history_;
};

Output shows(std::uint64_t id, VmDesired desired) {
  return {.answer = Answer::kDone, .seen = {{.name = {}, .id = id, .desired = desired}}};
}
Output shows(std::uint64_t id, std::uint64_t generation, VmState state) {
  return {.answer = Answer::kDone,
          .seen = {{.name = {},
                    .id = id,
                    .desired = {},
                    .generation = generation,
                    .tells_generation = true,
                    .state = state}}};
}
Output lists(std::vector<Seen> seen) { return {.answer = Answer::kDone, .seen = std::move(seen)}; }
Output refused(Answer answer) { return {.answer = answer, .seen = {}}; }
const Output kDone;

Story created() { return Story().and_then(Action::kCreate, kDone); }

TEST(VmModel, OnlyWhoStopsWhenEvictedIsWantedStoppedByItself) {
  const auto ending = [](Story story) {
    return story.and_then(Action::kGet, shows(1, VmDesired::kRunning))
        .and_then(Action::kGet, shows(1, VmDesired::kStopped));
  };
  EXPECT_FALSE(ending(created()).is_ok());
  Story evicted = ending(created().stops_when_evicted());
  EXPECT_TRUE(evicted.is_ok());
  // It stays so until somebody starts it.
  EXPECT_FALSE(Story(evicted).and_then(Action::kGet, shows(1, VmDesired::kRunning)).is_ok());
  EXPECT_TRUE(Story(evicted)
                  .and_then(Action::kStart, kDone)
                  .and_then(Action::kGet, shows(1, VmDesired::kRunning))
                  .and_then(Action::kGet, shows(1, VmDesired::kStopped))
                  .is_ok());
  EXPECT_FALSE(Story(evicted)
                   .and_then(Action::kDelete, kDone)
                   .and_then(Action::kGet, shows(1, VmDesired::kStopped))
                   .is_ok());
}

TEST(VmModel, ALifeInOrder) {
  Story story = created();
  story.and_then(Action::kGet, shows(1, VmDesired::kRunning))
      .and_then(Action::kStop, kDone)
      .and_then(Action::kGet, shows(1, VmDesired::kStopped))
      .and_then(Action::kStart, kDone)
      .and_then(Action::kGet, shows(1, VmDesired::kRunning))
      .and_then(Action::kDelete, kDone)
      .and_then(Action::kGet, shows(1, VmDesired::kDeleted))
      .and_then(Action::kGet, refused(Answer::kNotFound))
      .and_then(Action::kCreate, kDone)
      .and_then(Action::kGet, shows(2, VmDesired::kRunning));
  EXPECT_TRUE(story.is_ok());
}

TEST(VmModel, EachWordSaysHowAVmIsWanted) {
  const auto after = [](Action action, VmDesired desired) {
    return created()
        .and_then(Action::kStop, kDone)
        .and_then(action, kDone)
        .and_then(Action::kGet, shows(1, desired))
        .is_ok();
  };
  EXPECT_TRUE(after(Action::kPause, VmDesired::kPaused));
  EXPECT_TRUE(after(Action::kResume, VmDesired::kRunning));
  EXPECT_TRUE(after(Action::kSuspend, VmDesired::kSuspended));
  EXPECT_TRUE(after(Action::kRestore, VmDesired::kRunning));
  EXPECT_TRUE(after(Action::kSnapshot, VmDesired::kStopped));
  EXPECT_TRUE(after(Action::kDeleteSnapshot, VmDesired::kStopped));
  EXPECT_FALSE(after(Action::kPause, VmDesired::kStopped));
  EXPECT_FALSE(after(Action::kSuspend, VmDesired::kPaused));
  EXPECT_FALSE(after(Action::kSnapshot, VmDesired::kRunning));
}

TEST(VmModel, ADeletedVmIsNeitherSavedNorWoken) {
  const auto then = [](Action action, const Output& output) {
    return created().and_then(Action::kDelete, kDone).and_then(action, output).is_ok();
  };
  for (const Action action :
       {Action::kPause, Action::kResume, Action::kSuspend, Action::kSnapshot, Action::kRestore}) {
    EXPECT_TRUE(then(action, refused(Answer::kBeingDeleted)));
    EXPECT_FALSE(then(action, kDone));
  }
  // Of its snapshot nobody asks how it is wanted.
  EXPECT_TRUE(then(Action::kDeleteSnapshot, kDone));
  EXPECT_FALSE(then(Action::kDeleteSnapshot, refused(Answer::kBeingDeleted)));
}

TEST(VmModel, WhatNobodyWantedIsNotSeen) {
  EXPECT_FALSE(created().and_then(Action::kGet, shows(1, VmDesired::kStopped)).is_ok());
  EXPECT_FALSE(created().and_then(Action::kGet, refused(Answer::kNotFound)).is_ok());
  EXPECT_FALSE(Story().and_then(Action::kGet, shows(1, VmDesired::kRunning)).is_ok());
  EXPECT_FALSE(Story().and_then(Action::kStart, kDone).is_ok());
  EXPECT_FALSE(Story().and_then(Action::kCreate, refused(Answer::kExists)).is_ok());
  EXPECT_FALSE(created().and_then(Action::kCreate, kDone).is_ok());
  EXPECT_FALSE(created().and_then(Action::kStop, refused(Answer::kBeingDeleted)).is_ok());
  EXPECT_TRUE(created().and_then(Action::kCreate, refused(Answer::kExists)).is_ok());
  EXPECT_TRUE(Story().and_then(Action::kDelete, refused(Answer::kNotFound)).is_ok());
}

TEST(VmModel, ADeletedVmGoesWhenItGoes) {
  const auto deleted = [] { return created().and_then(Action::kDelete, kDone); };
  EXPECT_TRUE(deleted().and_then(Action::kStart, refused(Answer::kBeingDeleted)).is_ok());
  EXPECT_TRUE(deleted().and_then(Action::kStart, refused(Answer::kNotFound)).is_ok());
  EXPECT_TRUE(deleted().and_then(Action::kDelete, kDone).is_ok());
  EXPECT_TRUE(deleted().and_then(Action::kCreate, kDone).is_ok());
  EXPECT_TRUE(deleted().and_then(Action::kCreate, refused(Answer::kExists)).is_ok());
  EXPECT_FALSE(deleted().and_then(Action::kStart, kDone).is_ok());
  EXPECT_FALSE(deleted().and_then(Action::kGet, shows(1, VmDesired::kRunning)).is_ok());
}

TEST(VmModel, WhatIsGoneStaysGone) {
  Story gone = created();
  gone.and_then(Action::kDelete, kDone).and_then(Action::kGet, refused(Answer::kNotFound));
  EXPECT_TRUE(gone.is_ok());
  for (const Output& back : {shows(1, VmDesired::kDeleted), shows(1, VmDesired::kRunning), kDone}) {
    EXPECT_FALSE(Story(gone).and_then(Action::kGet, back).is_ok());
  }
  EXPECT_FALSE(Story(gone).and_then(Action::kCreate, refused(Answer::kExists)).is_ok());
}

TEST(VmModel, AnIdIsOfOneVm) {
  Story story = created();
  story.and_then(Action::kGet, shows(4, VmDesired::kRunning));
  EXPECT_FALSE(Story(story).and_then(Action::kGet, shows(5, VmDesired::kRunning)).is_ok());
  EXPECT_TRUE(Story(story).and_then(Action::kStop, shows(4, VmDesired::kStopped)).is_ok());
}

TEST(VmModel, ALostCommandMayHappenLaterOrNever) {
  Story story = created().lost(Action::kStop);
  story.and_then(Action::kGet, shows(1, VmDesired::kRunning))
      .and_then(Action::kGet, shows(1, VmDesired::kStopped));
  EXPECT_TRUE(story.is_ok());
  EXPECT_FALSE(Story(story).and_then(Action::kGet, shows(1, VmDesired::kRunning)).is_ok());
  EXPECT_TRUE(Story().lost(Action::kCreate).and_then(Action::kCreate, kDone).is_ok());
  EXPECT_TRUE(
      Story().lost(Action::kCreate).and_then(Action::kCreate, refused(Answer::kExists)).is_ok());
}

TEST(VmModel, ObservedStatesMoveAlongTheTable) {
  const auto then = [](std::uint64_t generation, VmState state) {
    Story story = created();
    story.and_then(Action::kGet, shows(1, 3, VmState::kRunning))
        .and_then(Action::kGet, shows(1, generation, state));
    return story.is_ok();
  };
  EXPECT_TRUE(then(3, VmState::kRunning));
  EXPECT_TRUE(then(3, VmState::kStarting));  // restarted in place
  EXPECT_TRUE(then(3, VmState::kPending));   // given back
  EXPECT_TRUE(then(4, VmState::kPlaced));
  EXPECT_FALSE(then(3, VmState::kPlaced));   // was before it ran
  EXPECT_FALSE(then(2, VmState::kRunning));  // an older assignment
}

TEST(VmModel, TheTablesWaysWithinAGeneration) {
  EXPECT_TRUE(may_be_seen_after(VmState::kPlaced, VmState::kRunning));
  EXPECT_TRUE(may_be_seen_after(VmState::kStopped, VmState::kRunning));
  for (unsigned state = 1; state <= static_cast<unsigned>(VmState::kSuspended); ++state) {
    const auto other = static_cast<VmState>(state);
    EXPECT_TRUE(may_be_seen_after(other, other));
    EXPECT_EQ(may_be_seen_after(VmState::kPending, other), other == VmState::kPending);
    EXPECT_EQ(may_be_seen_after(other, VmState::kPlaced), other == VmState::kPlaced);
  }
}

TEST(VmModel, AListIsOneInstant) {
  Story two;
  two.and_then(Action::kCreate, kDone, "a").and_then(Action::kCreate, kDone, "b");
  const Seen a{.name = "a", .id = 1, .desired = VmDesired::kRunning};
  const Seen b{.name = "b", .id = 2, .desired = VmDesired::kRunning};
  EXPECT_TRUE(Story(two).and_then(Action::kList, lists({a, b})).is_ok());
  EXPECT_FALSE(Story(two).and_then(Action::kList, lists({a})).is_ok());
  EXPECT_FALSE(Story(two).and_then(Action::kList, lists({})).is_ok());
  two.and_then(Action::kDelete, kDone, "b");
  EXPECT_TRUE(Story(two).and_then(Action::kList, lists({a})).is_ok());
  Story gone = Story(two).and_then(Action::kList, lists({a}));
  EXPECT_FALSE(gone.and_then(Action::kCreate, refused(Answer::kExists), "b").is_ok());
}

// Two lists that saw two creations in opposite orders; each name by itself is fine.
TEST(VmModel, ListsSeeAllNamesTogether) {
  History<VmModel> history;
  const auto add = [&](std::uint64_t process, Action action, const std::string& name,
                       std::vector<Seen> seen, std::uint64_t begin, std::uint64_t end) {
    history.push_back({.process = process,
                       .input = {.action = action, .name = name},
                       .output = Output{.answer = Answer::kDone, .seen = std::move(seen)},
                       .invoked = begin,
                       .returned = end});
  };
  const Seen a{.name = "a", .id = 0, .desired = {}};
  const Seen b{.name = "b", .id = 0, .desired = {}};
  add(1, Action::kCreate, "a", {}, 0, 10);
  add(2, Action::kCreate, "b", {}, 1, 11);
  add(3, Action::kList, "", {a}, 2, 8);
  EXPECT_EQ(check(VmModel(), history).verdict, Verdict::kOk);
  add(4, Action::kList, "", {b}, 3, 9);
  EXPECT_EQ(check(VmModel(), history).verdict, Verdict::kViolation);
}

// The product as clients see it, with agents that report and remove when they like.
struct Cluster {
  struct Vm {
    std::uint64_t id = 0;
    VmDesired desired = VmDesired::kRunning;
    std::uint64_t generation = 0;
    VmState state = VmState::kPending;
  };
  std::map<std::string, Vm> vms;
  std::uint64_t next_id = 1;
  Dice agents{99};

  void move(std::map<std::string, Vm>::iterator at) {
    Vm& vm = at->second;
    const auto to = static_cast<VmState>(1 + agents.below(10));
    if (vm.state == VmState::kPending) {
      vm.state = VmState::kPlaced;
      ++vm.generation;
    } else if (vm.desired == VmDesired::kDeleted) {
      vms.erase(at);
    } else if (cluster::may_follow(vm.state, to) && to != VmState::kPlaced) {
      vm.state = to;
    }
  }
  [[nodiscard]] static Seen seen(const std::string& name, const Vm& vm) {
    return {.name = name,
            .id = vm.id,
            .desired = vm.desired,
            .generation = vm.generation,
            .tells_generation = true,
            .state = vm.state};
  }
  [[nodiscard]] static VmDesired wanted_by(Action action) {
    switch (action) {
      case Action::kDelete:
        return VmDesired::kDeleted;
      case Action::kStop:
        return VmDesired::kStopped;
      case Action::kPause:
        return VmDesired::kPaused;
      case Action::kSuspend:
        return VmDesired::kSuspended;
      default:
        return VmDesired::kRunning;
    }
  }
  Output act(const Input& input) {
    for (int i = 0; i < 3 && !vms.empty(); ++i)
      move(std::next(vms.begin(), static_cast<std::ptrdiff_t>(agents.below(vms.size()))));
    const auto at = vms.find(input.name);
    Output output;
    if (input.action == Action::kList) {
      for (const auto& [name, vm] : vms)
        output.seen.push_back(seen(name, vm));
      return output;
    }
    if (input.action == Action::kCreate) {
      if (at != vms.end()) return refused(Answer::kExists);
      vms[input.name] = {
          .id = next_id,
          .desired = input.create_stopped ? VmDesired::kStopped : VmDesired::kRunning};
      output.seen.push_back({.name = {}, .id = next_id++, .desired = {}});
      return output;
    }
    if (at == vms.end()) return refused(Answer::kNotFound);
    if (input.action == Action::kGet) {
      output.seen.push_back(seen("", at->second));
      return output;
    }
    if (input.action == Action::kDeleteSnapshot) return output;
    const bool deletes = input.action == Action::kDelete;
    if (at->second.desired == VmDesired::kDeleted && !deletes)
      return refused(Answer::kBeingDeleted);
    if (input.action == Action::kSnapshot) return output;
    if (deletes && at->second.state == VmState::kPending) {
      vms.erase(at);
      return output;
    }
    at->second.desired = wanted_by(input.action);
    if (at->second.desired == VmDesired::kRunning &&
        (at->second.state == VmState::kStopped || at->second.state == VmState::kFailed)) {
      at->second.state = VmState::kPlaced;
      ++at->second.generation;
    }
    return output;
  }
};

Input ask(Dice& dice, bool with_lists) {
  Input input{.action = static_cast<Action>(dice.below(VmModel::kActions))};
  if (input.action == Action::kList && !with_lists) input.action = Action::kGet;
  if (input.action != Action::kList) input.name = "ab"[dice.below(2)];
  if (input.action == Action::kCreate) input.create_stopped = dice.one_in(3);
  return input;
}

History<VmModel> real(std::uint64_t seed, const Schedule& schedule, bool with_lists) {
  return real_history<VmModel>(
      seed, schedule, Cluster{.agents = Dice(seed)},
      [&](Dice& dice, std::uint64_t) { return ask(dice, with_lists); },
      [](Cluster& cluster, const Input& input) { return cluster.act(input); });
}

TEST(VmModel, AClusterIsLinearizable) {
  for (std::uint64_t seed = 0; seed < 1000; ++seed) {
    const Schedule schedule{.operations = 5 + seed % 60,
                            .processes = 1 + seed % 6,
                            .lost_one_in = seed % 3 == 0 ? 9U : 0U};
    const auto history = real(seed, schedule, seed % 2 == 0);
    const Outcome outcome = check(VmModel(), history);
    ASSERT_EQ(outcome.verdict, Verdict::kOk) << "seed " << seed;
    for (const PartOutcome& part : outcome.parts)
      ASSERT_TRUE(is_explained(VmModel(), history, part)) << "seed " << seed;
  }
}

// Of a real history one answer is exchanged for one that another operation was given.
TEST(VmModel, AgreesWithTryingEveryOrder) {
  std::size_t wrong = 0;
  for (std::uint64_t seed = 0; seed < 20'000; ++seed) {
    const Schedule schedule{.operations = 3 + seed % 5,
                            .processes = 1 + seed % 4,
                            .lost_one_in = seed % 3 == 0 ? 6U : 0U};
    auto history = real(seed, schedule, seed % 4 == 0);
    Dice dice(seed);
    auto& changed = history[dice.below(history.size())];
    const auto& other = history[dice.below(history.size())];
    if (changed.output && other.output &&
        (changed.input.action == Action::kList) == (other.input.action == Action::kList)) {
      changed.output = other.output;
    }
    const bool expected = has_any_order(VmModel(), history);
    if (!expected) ++wrong;
    const Outcome outcome = check(VmModel(), history);
    ASSERT_EQ(outcome.verdict, expected ? Verdict::kOk : Verdict::kViolation) << "seed " << seed;
    for (const PartOutcome& part : outcome.parts)
      ASSERT_TRUE(is_explained(VmModel(), history, part)) << "seed " << seed;
  }
  EXPECT_GT(wrong, 2000U);
}

}  // namespace
}  // namespace blixard::linearizability

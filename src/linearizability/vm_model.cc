#include "linearizability/vm_model.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "core/cluster/reasons.h"
#include "linearizability/mixing.h"
#include "linearizability/partition.h"

namespace blixard::linearizability {
namespace {

using cluster::VmDesired;
using cluster::VmState;
using enum VmModel::Action;
using Known = VmModel::Known;
using Output = VmModel::Output;
using Seen = VmModel::Seen;
using State = VmModel::State;

constexpr std::size_t kStates = static_cast<std::size_t>(VmState::kSuspended) + 1;
using Reach = std::array<std::array<bool, kStates>, kStates>;

// All ways along the table but those into "placed" (Warshall).
Reach reachable() {
  Reach reach{};
  for (std::size_t from = 1; from < kStates; ++from) {
    for (std::size_t to = 1; to < kStates; ++to) {
      const auto target = static_cast<VmState>(to);
      reach[from][to] = from == to || (target != VmState::kPlaced &&
                                       cluster::may_follow(static_cast<VmState>(from), target));
    }
  }
  for (std::size_t by = 1; by < kStates; ++by) {
    for (std::size_t from = 1; from < kStates; ++from) {
      for (std::size_t to = 1; to < kStates; ++to)
        reach[from][to] = reach[from][to] || (reach[from][by] && reach[by][to]);
    }
  }
  return reach;
}

// Takes in what an answer shows of a VM; false if it cannot be.
bool narrow(Known& known, const Seen& seen) {
  if (seen.id != 0) {
    if (known.id != 0 && known.id != seen.id) return false;
    known.id = seen.id;
  }
  if (known.stops_when_evicted && !known.deleting && seen.desired == VmDesired::kStopped) {
    known.desired = VmDesired::kStopped;
  }
  const VmDesired desired = known.deleting ? VmDesired::kDeleted : known.desired;
  if (seen.desired && *seen.desired != desired) return false;
  if (!seen.tells_generation) return true;
  if (seen.generation < known.generation) return false;
  if (seen.generation > known.generation) known.state.reset();
  known.generation = seen.generation;
  if (!seen.state) return true;
  if (known.state && !may_be_seen_after(*known.state, *seen.state)) return false;
  known.state = seen.state;
  return true;
}

// An answer that there is no such VM.
bool find_none(State& state, const std::string& name) {
  const auto known = state.find(name);
  if (known == state.end()) return true;
  if (!known->second.deleting) return false;
  state.erase(known);
  return true;
}

bool create(State& state, const VmModel::Input& input, const std::optional<Output>& output) {
  const auto known = state.find(input.name);
  const bool may_be_free = known == state.end() || known->second.deleting;
  if (output && output->answer == VmModel::Answer::kExists) return known != state.end();
  if (!may_be_free || (output && output->answer != VmModel::Answer::kDone)) return false;
  Known made{.desired = input.create_stopped ? VmDesired::kStopped : VmDesired::kRunning,
             .stops_when_evicted = input.stops_when_evicted};
  if (output && !output->seen.empty() && !narrow(made, output->seen.front())) return false;
  state.insert_or_assign(input.name, made);
  return true;
}

// How a VM is wanted after this; none: as before.
std::optional<VmDesired> desired_by(VmModel::Action action) {
  switch (action) {
    case kStart:
    case kResume:
    case kRestore:
      return VmDesired::kRunning;
    case kStop:
      return VmDesired::kStopped;
    case kPause:
      return VmDesired::kPaused;
    case kSuspend:
      return VmDesired::kSuspended;
    default:
      return std::nullopt;
  }
}

bool change(State& state, const VmModel::Input& input, const std::optional<Output>& output) {
  const auto answer = output ? output->answer : VmModel::Answer::kDone;
  if (answer == VmModel::Answer::kNotFound) return find_none(state, input.name);
  const auto known = state.find(input.name);
  if (known == state.end()) return false;
  const bool may_be_deleting = input.action == kDelete || input.action == kDeleteSnapshot;
  if (answer == VmModel::Answer::kBeingDeleted) return !may_be_deleting && known->second.deleting;
  if (answer != VmModel::Answer::kDone || (known->second.deleting && !may_be_deleting)) {
    return false;
  }
  if (input.action == kDelete) known->second.deleting = true;
  if (const auto desired = desired_by(input.action)) known->second.desired = *desired;
  return !output || output->seen.empty() || narrow(known->second, output->seen.front());
}

bool get(State& state, const VmModel::Input& input, const Output& output) {
  if (output.answer == VmModel::Answer::kNotFound) return find_none(state, input.name);
  const auto known = state.find(input.name);
  if (output.answer != VmModel::Answer::kDone || known == state.end()) return false;
  return output.seen.empty() || narrow(known->second, output.seen.front());
}

bool list(State& state, const Output& output) {
  if (output.answer != VmModel::Answer::kDone) return false;
  for (const Seen& seen : output.seen) {
    const auto known = state.find(seen.name);
    if (known == state.end() || !narrow(known->second, seen)) return false;
  }
  const auto is_listed = [&](const std::string& name) {
    return std::ranges::find(output.seen, name, &Seen::name) != output.seen.end();
  };
  for (auto known = state.begin(); known != state.end();) {
    if (is_listed(known->first)) {
      ++known;
    } else if (known->second.deleting) {
      known = state.erase(known);
    } else {
      return false;
    }
  }
  return true;
}

}  // namespace

bool may_be_seen_after(VmState from, VmState to) {
  static const Reach kReach = reachable();
  return kReach.at(static_cast<std::size_t>(from)).at(static_cast<std::size_t>(to));
}

std::optional<State> VmModel::step(const State& state, const Input& input,
                                   const std::optional<Output>& output) const {
  State next = state;
  bool accepts = false;
  switch (input.action) {
    case kCreate:
      accepts = create(next, input, output);
      break;
    case kGet:
      accepts = !output || get(next, input, *output);
      break;
    case kList:
      accepts = !output || list(next, *output);
      break;
    default:
      accepts = change(next, input, output);
  }
  if (!accepts) return std::nullopt;
  return next;
}

bool VmModel::is_read_only(const Input& input, const std::optional<Output>& output) const {
  return !output && (input.action == kGet || input.action == kList);
}

std::uint64_t VmModel::hash(const State& state) const {
  std::uint64_t hash = state.size();
  for (const auto& [name, known] : state) {
    hash = mix(mix(hash, name), known.id);
    hash = mix(hash, known.generation);
    hash = mix(hash, (known.deleting ? 1U : 0U) | (static_cast<unsigned>(known.desired) << 1) |
                         (known.state ? static_cast<unsigned>(*known.state) << 8 : 0U) |
                         (known.stops_when_evicted ? 1U << 16 : 0U));
  }
  return hash;
}

std::size_t VmModel::bytes(const State& state) const {
  std::size_t bytes = sizeof(State);
  for (const auto& [name, known] : state)
    bytes += 64 + sizeof(known) + sizeof(std::string) + name.size();
  return bytes;
}

std::vector<Part> VmModel::partition(const History<VmModel>& history) const {
  const bool has_lists = std::ranges::any_of(
      history, [](const auto& operation) { return operation.input.action == kList; });
  if (has_lists) return one_part(history);
  return partition_by_keys(history, [](const auto& operation) {
    return std::array<std::string_view, 1>{operation.input.name};
  });
}

std::string_view action_name(VmModel::Action action) {
  constexpr std::array<std::string_view, VmModel::kActions> kNames{
      "create", "start",  "stop",    "delete",   "get",     "list",
      "pause",  "resume", "suspend", "snapshot", "restore", "delete-snapshot"};
  return kNames.at(static_cast<std::size_t>(action));
}

std::string_view answer_name(VmModel::Answer answer) {
  switch (answer) {
    case VmModel::Answer::kDone:
      return "done";
    case VmModel::Answer::kExists:
      return cluster::reason::kVmExists;
    case VmModel::Answer::kNotFound:
      return cluster::reason::kVmNotFound;
    case VmModel::Answer::kBeingDeleted:
      return cluster::reason::kVmBeingDeleted;
  }
  return {};
}

std::string text_of(const VmModel::Input& input, const std::optional<Output>& output) {
  std::string text(action_name(input.action));
  if (!input.name.empty()) text += " " + input.name;
  if (input.create_stopped) text += " stopped";
  if (input.stops_when_evicted) text += " stops when evicted";
  text += " ->";
  if (!output) return text + " ?";
  if (output->answer != VmModel::Answer::kDone || output->seen.empty()) {
    return text + " " + std::string(answer_name(output->answer));
  }
  for (const Seen& seen : output->seen) {
    text += " " + (input.action == kList ? seen.name : std::string());
    if (seen.id != 0) text += fmt::format("#{}", seen.id);
    if (seen.desired) text += fmt::format(" wanted {}", cluster::desired_name(*seen.desired));
    if (seen.tells_generation) text += fmt::format(" generation {}", seen.generation);
    if (seen.state) text += fmt::format(" {}", cluster::state_name(*seen.state));
    if (&seen != &output->seen.back()) text += ",";
  }
  return text;
}

}  // namespace blixard::linearizability

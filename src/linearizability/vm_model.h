#pragma once

// The product's VMs, as clients of the API see them: create, start, stop, pause, resume, suspend,
// snapshot, restore, delete the snapshot, delete, get, list.
//
// What is really guaranteed, and so is modelled, by name:
// - Existence and what is desired change only by these commands, but for a VM that was made to stop
//   when it has to leave its node: that makes it desired stopped, at any time. A name is given once
//   until its VM is gone; ids are never given twice.
// - A deleted VM goes when its node has let go of it, at once if it had none. A client cannot know
//   when. So after a delete the VM is "deleting or gone" until an answer tells: vm_not_found says
//   gone, any sight of it says not yet. Nothing but a create brings the name back, and that only
//   once the VM is gone.
// - What says how a VM is wanted (start, stop, pause, resume, suspend, restore) changes nothing of
// one
//   that is being deleted; it is refused (or finds none). So is a snapshot. Whether it was refused
//   for another reason, of what the VM is observed to do, is not for the model to know.
// - Snapshots are taken by nodes, some time later, so whether there is one is not modelled.
// - What a VM is observed to do moves by itself: its node reports it. But it moves in order. The
//   generation never falls. Within one generation the observed state follows the product's table of
//   transitions (core/cluster/model.h, may_follow); one report after the other may be missed, so
//   what counts is whether a way leads there. A VM becomes placed only with a new generation, so
//   within one nothing leads to "placed", and nothing leads away from "pending".
// - A generation grows when the VM is placed, taken from a lost node, or started after it ended.
//   None of these is only for clients to do, so a start says nothing of it.
//
// Not modelled, since they may change under a reader: reason, ports, pid, counters, times.
// A list sees all VMs in one instant. A history with lists therefore is one part; without, each
// name is.

#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/cluster/model.h"
#include "linearizability/history.h"

namespace blixard::linearizability {

class VmModel {
 public:
  enum class Action : std::uint8_t {
    kCreate,
    kStart,
    kStop,
    kDelete,
    kGet,
    kList,
    kPause,
    kResume,
    kSuspend,
    kSnapshot,
    kRestore,
    kDeleteSnapshot,
  };
  static constexpr std::size_t kActions = 12;
  enum class Answer : std::uint8_t { kDone, kExists, kNotFound, kBeingDeleted };
  struct Input {
    Action action = Action::kGet;
    std::string name;  // "" for a list
    bool create_stopped = false;
    bool stops_when_evicted = false;  // of a create
    friend auto operator<=>(const Input&, const Input&) = default;
  };
  // A VM as an answer shows it. What is 0 or none was not told.
  struct Seen {
    std::string name;
    std::uint64_t id = 0;
    std::optional<cluster::VmDesired> desired;
    std::uint64_t generation = 0;
    bool tells_generation = false;
    std::optional<cluster::VmState> state;
    friend auto operator<=>(const Seen&, const Seen&) = default;
  };
  struct Output {
    Answer answer = Answer::kDone;
    std::vector<Seen> seen;  // one at most; of a list any number, each name once
    friend auto operator<=>(const Output&, const Output&) = default;
  };

  // What is known of a name that is not free.
  struct Known {
    bool deleting = false;  // or gone already
    std::uint64_t id = 0;   // 0: not known yet
    cluster::VmDesired desired = cluster::VmDesired::kRunning;
    std::uint64_t generation = 0;           // the highest seen
    std::optional<cluster::VmState> state;  // the last seen in that generation
    bool stops_when_evicted = false;
    friend bool operator==(const Known&, const Known&) = default;
  };
  using State = std::map<std::string, Known, std::less<>>;  // names missing are free

  [[nodiscard]] State initial() const { return {}; }
  [[nodiscard]] std::optional<State> step(const State& state, const Input& input,
                                          const std::optional<Output>& output) const;
  // Only what tells nothing: an answer may narrow what is known.
  [[nodiscard]] bool is_read_only(const Input& input, const std::optional<Output>& output) const;
  [[nodiscard]] std::uint64_t hash(const State& state) const;
  [[nodiscard]] std::size_t bytes(const State& state) const;
  [[nodiscard]] std::vector<Part> partition(const History<VmModel>& history) const;
};

// Whether a VM seen in `from` may be seen in `to` later, its generation being the same.
bool may_be_seen_after(cluster::VmState from, cluster::VmState to);

// What a person reads: `stop web -> vm_not_found`.
std::string text_of(const VmModel::Input& input, const std::optional<VmModel::Output>& output);

std::string_view action_name(VmModel::Action action);  // "delete-snapshot"
std::string_view answer_name(VmModel::Answer answer);  // "vm_exists"

}  // namespace blixard::linearizability

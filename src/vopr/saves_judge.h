#pragma once

// What must hold of guests that are saved ("saved-once"): each goes on at most once for each time
// that the log says so, and what the cluster holds for saved does not run.
//
// * A guest that was loaded from what was saved of a VM is let run only as that VM, and only when
// the
//   log says that this assignment uses it (Saves::used_by); of one such word one guest runs.
// * What runs is what the log names: guests of one digest are one saved guest, those of two are
// two.
// * From when the cluster is told that a guest was saved to go on elsewhere, its process neither
//   runs nor has run since it was saved, unless what was saved is given up, or was lost by a fault.
// * What a Suspended VM goes on from was not used.
//
// A saved guest is known by the number that the scripted QEMU gives each save (GuestView::save).

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <utility>

#include "base/ids.h"
#include "core/cluster/state.h"
#include "sim/qemu/scripted_qemu.h"
#include "vopr/recorder.h"

namespace blixard::vopr {

class SavesJudge {
 public:
  // `is_harmed`: whether a fault damaged or removed that file somewhere.
  SavesJudge(Recorder& recorder, std::function<bool(const cluster::Digest&)> is_harmed)
      : recorder_(recorder), is_harmed_(std::move(is_harmed)) {}

  // All that there was of a guest was written; it stands still.
  void on_saved(std::uint32_t machine, const sim::GuestView& guest, std::uint64_t save);
  // A guest is let run, for the first time if it is new to this process.
  void on_runs(std::uint32_t machine, NodeId node, const sim::GuestView& guest);
  void on_stands(std::uint32_t machine, const sim::GuestView& guest);
  void on_ended(std::uint32_t machine, const sim::GuestView& guest);
  // Looks only at an index that is new.
  void on_applied(const cluster::State& state, LogIndex index);

  // The machine id of the VM's guest that this is a save of; null: it is of a template, or of none.
  [[nodiscard]] const std::string* machine_id_in(std::uint64_t save) const;

 private:
  struct Made {
    Uuid uuid;
    std::string machine_id;
    cluster::Digest digest{};
    bool is_bound = false;  // to its digest, by a start that used it
  };
  // The log's word that an assignment goes on from a saved guest; the newest of a VM.
  struct Use {
    Generation generation;
    NodeId node;
    cluster::Digest digest{};
    bool is_spent = false;
  };
  struct Process {
    Uuid uuid;
    NodeId node;
    std::string name;
    bool runs = false;
    bool has_run = false;  // since it was saved
  };
  using ProcessKey = std::tuple<std::uint32_t, std::int64_t, std::uint64_t>;
  static ProcessKey key_of(std::uint32_t machine, const sim::GuestView& guest);

  void begin(NodeId node, const sim::GuestView& guest);
  void bind(const sim::GuestView& guest, const Use& use);
  void look(const cluster::Vm& vm);
  void check_away(const cluster::Vm& vm);
  void accuse(const std::string& text);

  Recorder& recorder_;
  std::function<bool(const cluster::Digest&)> is_harmed_;
  LogIndex last_;
  std::uint64_t revision_ = 0;
  std::map<std::uint64_t, Made> made_;
  std::map<cluster::Digest, std::uint64_t> by_digest_;
  std::map<Uuid, Use> uses_;
  std::map<ProcessKey, Process> processes_;
  struct Away {
    NodeId node;
    cluster::Digest digest{};
  };
  std::map<Uuid, Away> away_;  // whose guest on that node was saved, to go on elsewhere
};

}  // namespace blixard::vopr

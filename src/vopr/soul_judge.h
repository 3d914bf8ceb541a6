#pragma once

// What must hold of guests that are clones, or go on from what was saved of their VM ("souls"):
// before the cluster's state shows such a VM Running, its guest was told who it is, and has nothing
// of its template's, or of others that go on from the same, that it must not have.
//
// * Its host name is the VM's; its MAC address is that of the VM's uuid, and so is the machine id
// of
//   a clone. Who goes on keeps the machine id that it had.
// * It was loaded from what was saved.
// * Its time of day is the machine's, within kClockMax, while it runs.
// * No two guests whose VMs were shown Running have the same MAC address or machine id, clones or
//   not; nor the same state of the random generator, one after the other neither.
//
// Looked at when the state shows a VM Running for the first time in an assignment, and again of all
// when the cluster has come to rest, also of those that are paused, but for their time. Reports
// come late: when a guest ends and another is begun, what is said of the first one may arrive in
// the time of the second. So only the first guest of an assignment is judged while things go wrong.

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "base/ids.h"
#include "core/cluster/state.h"
#include "sim/qemu/scripted_qemu.h"
#include "vopr/recorder.h"

namespace blixard::vopr {

class SoulJudge {
 public:
  static constexpr Duration kClockMax = 2s;

  struct Living {
    sim::GuestView guest;
    std::uint64_t wall_jumps = 0;  // of its machine's clock, so far
    std::string saved_machine_id;  // when it was saved; empty: it did not go on from a save of a VM
  };
  // The guest of the VM that has this uuid, on whichever machine; none: it has none that ran.
  using Look = std::function<std::optional<Living>(const Uuid&)>;
  SoulJudge(Recorder& recorder, Look look) : recorder_(recorder), look_(std::move(look)) {}

  // A guest of this VM begins to run; it can be looked at.
  void on_begun(const Uuid& uuid);
  // Looks only at an index that is new.
  void on_applied(const cluster::State& state, LogIndex index);
  // What is wrong with the guest of any VM that runs; empty: nothing.
  [[nodiscard]] std::string missing(const cluster::State& state) const;

 private:
  struct Assignment {
    Generation generation;
    bool is_clear = false;     // it was seen before it was said to run
    std::uint32_t guests = 0;  // that began
    bool is_judged = false;
    std::uint64_t wall_jumps = 0;  // when the first guest began
  };

  void judge(const cluster::Vm& vm, Assignment& assignment);

  Recorder& recorder_;
  Look look_;
  LogIndex last_;
  std::uint64_t revision_ = 0;
  std::map<Uuid, Assignment> assignments_;
  std::map<Uuid, env::ProcessId> shown_;           // guests whose VM was shown Running
  std::map<std::uint64_t, env::ProcessId> seeds_;  // all that such guests ever had
};

}  // namespace blixard::vopr

#pragma once

// This node's hands: makes the VMs assigned to it be as desired, and says what it sees.
//
// It only reads the applied state and only answers by reports; it may be killed at any instant.
// A new one adopts the guests that still run (same process), starts none twice, and removes what
// belongs to nobody, but only after it knows the state to be current, so that a node that was away
// never kills a healthy VM on old news.

#include <map>
#include <memory>
#include <string>

#include "env/env.h"
#include "env/scope.h"
#include "node/agent/vm_keeper.h"

namespace blixard::agent {

class Agent {
 public:
  Agent(env::Env env, replica::Replica& replica, vm::Driver& driver, image::Store& images,
        NodeId self, std::string records_directory);

  // Until cancelled (guests run on) or until leave() is done (they do not).
  env::Task<Result<void>> run();

  // Stops every guest of this node, each by its own ladder, side by side; then run() returns.
  void leave();

  // The newest bytes of a guest's console. Errors: kNotFound "vm_not_here".
  env::Task<Result<std::string>> console(VmId id, std::size_t size_max);

 private:
  void look_at(const cluster::Vm& vm);
  void look_at_all();
  void follow_changes();
  env::Task<void> keep(VmId id);
  env::Task<void> sweep(std::map<VmId, vm::Record> unclaimed);

  env::Env env_;
  Records records_;
  Reports reports_;
  Services services_;
  std::map<VmId, std::unique_ptr<VmKeeper>> keepers_;
  std::map<VmId, vm::Record> found_records_;
  env::Scope* scope_ = nullptr;
  env::Signal kept_;  // a keeper has ended
  std::uint64_t seen_revision_ = 0;
  bool leaving_ = false;
};

}  // namespace blixard::agent

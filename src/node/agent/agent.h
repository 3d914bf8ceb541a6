#pragma once

// This node's hands: makes the VMs assigned to it be as desired, and says what it sees.
//
// It only reads the applied state and only answers by reports; it may be killed at any instant.
// A new one adopts the guests that still run (same process), starts none twice, and removes what
// belongs to nobody. It touches nothing before it knows the state to be current, so that a node
// that was away never kills a healthy VM on old news.
//
// Each VM of which something is here, or should be, has one VmKeeper, and nothing else touches it.

#include <map>
#include <memory>
#include <string>

#include "base/payload.h"
#include "env/env.h"
#include "env/scope.h"
#include "node/agent/vm_keeper.h"

namespace blixard::agent {

class Agent {
 public:
  Agent(env::Env env, replica::Replica& replica, vm::Driver& driver, image::Store& images,
        NodeId self, std::string records_directory,
        telemetry::Telemetry& telemetry = telemetry::Telemetry::none(),
        trace::Tracer* tracer = nullptr, templates::Store* templates = nullptr,
        saved::Store* saved = nullptr, AskHolder ask_holder = {});

  // Until cancelled (guests run on) or until leave() is done (they do not).
  env::Task<Result<void>> run();

  // Stops every guest of this node, each by its own ladder, side by side; then run() returns.
  // Before the state is known to be current it stops none.
  void leave();

  // The newest bytes of a guest's console. Errors: kFailedPrecondition "vm_not_here", kNotFound
  // "console_empty".
  env::Task<Result<std::string>> console(VmId id, std::size_t size_max);

  // A template of that image of the cluster, made now or found made. Errors: kNotFound
  // "image_not_found", kInvalidArgument "spec_invalid", those of templates::Store::make().
  env::Task<Result<templates::Manifest>> make_template(std::string image, std::uint32_t vcpus,
                                                       Bytes memory);

  // A piece of a saved guest, for the node that the VM goes on on (saved/piece_request.h). Errors:
  // kInvalidArgument "request_malformed", kPermissionDenied "saved_guest_not_yours", those of
  // saved::Store::piece().
  env::Task<Result<std::string>> give_saved(NodeId asker, Payload body);

  // Reports that the log has not taken yet.
  [[nodiscard]] std::size_t reports_waiting() const { return reports_.waiting(); }

 private:
  env::Task<Result<void>> wait_until_current();
  void look_at(const cluster::Vm& vm);
  void look_at_all();
  void follow_changes();
  env::Task<void> follow();
  void begin_keeping(VmId id);
  env::Task<void> keep(VmId id);
  env::Task<void> sweep();
  env::Task<void> tidy_saved();
  [[nodiscard]] bool goes_on_at(NodeId node, const image::Digest& digest) const;
  [[nodiscard]] bool is_named(VmId id, const image::Digest& digest) const;
  // What the keeping of templates depends on here.
  templates::Host template_host();

  env::Env env_;
  Records records_;
  Reports reports_;
  Services services_;
  std::map<VmId, std::unique_ptr<VmKeeper>> keepers_;
  FoundRecords found_;
  env::Scope* scope_ = nullptr;
  env::Signal changed_;  // a keeper has ended, or it is time to leave
  std::uint64_t seen_revision_ = 0;
  bool leaving_ = false;
};

}  // namespace blixard::agent

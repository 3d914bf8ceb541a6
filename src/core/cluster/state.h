#pragma once

// The state machine under the replicated log: apply() and nothing else changes it.
//
// apply() is pure and total: the same commands in the same order give the same state, byte for
// byte, on every node, and a command that may not be carried out changes nothing and says why. It
// has no clock and no randomness (both come in with the command) and it trusts no plan: what the
// leader checked before proposing is checked here again.
//
// A client's request id is remembered with the answer it got (the last limits::kRememberedRequests
// of them), so a retry is answered, not carried out, a second time.

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/result.h"
#include "core/cluster/model.h"

namespace blixard::v1 {
class Command;
}

namespace blixard::cluster {

// One change of the state, for those who watch it (the agent, event streams).
struct Change {
  enum class Kind : std::uint8_t {
    kVmChanged,
    kVmRemoved,
    kNodeChanged,
    kImageChanged,
    kImageRemoved,
  };
  Kind kind = Kind::kVmChanged;
  std::uint64_t revision = 0;  // of the state after it; grows by one with each change
  std::uint64_t object_id = 0;
  std::string name;
};

// What a node can still take: its capacity less what is placed on it (and not deleted).
struct Free {
  std::int64_t vcpus = 0;
  std::int64_t memory_mib = 0;
};

class State {
 public:
  using ChangeSink = std::function<void(const Change&)>;

  // Errors: those of the command (kNotFound "vm_not_found", kAlreadyExists "vm_exists",
  // kFailedPrecondition "transition_refused", kAborted "stale_generation" and so on). The state is
  // unchanged then, but for the remembered answer.
  Result<Outcome> apply(LogIndex index, const v1::Command& command, const ChangeSink& changed);

  [[nodiscard]] const std::map<VmId, Vm>& vms() const { return vms_; }
  [[nodiscard]] const std::map<NodeId, Node>& nodes() const { return nodes_; }
  [[nodiscard]] const std::map<ImageId, Image>& images() const { return images_; }
  [[nodiscard]] const Vm* find_vm(std::string_view name) const;
  [[nodiscard]] const Vm* find_vm(VmId id) const;
  [[nodiscard]] const Node* find_node(NodeId id) const;
  [[nodiscard]] const Image* find_image(std::string_view name) const;
  [[nodiscard]] Free free_on(const Node& node) const;
  [[nodiscard]] std::uint64_t revision() const { return revision_; }

  // Deterministic; equal states give equal bytes.
  [[nodiscard]] std::string encode() const;
  // Checks all it reads. Errors: kDataLoss "snapshot_invalid", kFailedPrecondition
  // "model_too_new".
  static Result<State> decode(std::string_view bytes);
  // XXH3-128 of encode(), in hex.
  [[nodiscard]] std::string hash() const;

 private:
  // The cluster helper fills this in.
  std::map<VmId, Vm> vms_;
  std::map<NodeId, Node> nodes_;
  std::map<ImageId, Image> images_;
  std::uint64_t next_id_ = 1;
  std::uint64_t revision_ = 0;
};

// Size and form of a command from outside (the log, a peer). Errors: kDataLoss "command_invalid",
// kFailedPrecondition "model_too_new".
Result<void> check_command(const v1::Command& command);

}  // namespace blixard::cluster

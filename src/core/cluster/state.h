#pragma once

// The state machine under the replicated log: apply() and nothing else changes it.
//
// apply() is pure and total: the same commands in the same order give the same state, byte for
// byte, on every node, and a command that may not be carried out changes nothing and says why. It
// has no clock and no randomness (both come in with the command) and it trusts no plan: what the
// leader checked before proposing is checked here again.
//
// A client's request id is remembered with the answer it got (the last limits::kRememberedRequests
// of them), so a retry is answered, not carried out, a second time. The same id with another
// command is a fault of the client. What servers stamp (time, the uuid of a new VM) may differ
// between the tries.
//
// Invariants, checked by decode() and by a property test: names and uuids are unique among what
// exists; a VM is Pending or Suspended exactly while it has no node; a VM that is not being deleted
// has its image; generations only grow; ids are never given out again; nothing is placed on a node
// that is leaving.
//
// Members. The founder makes the state; every other node enters by EnrolNode, with a token and the
// next id, and is then added to the configuration. It leaves in two steps: RemoveNode, which may be
// refused, marks it leaving; DropNode travels with the change that takes it out of the
// configuration, and cannot be refused any more. A state without a founder (a model under test)
// takes every node that registers.
//
// Placement. A plan is made on a state that has moved on when it is applied. So apply() counts
// again what other commands can have taken: room, devices, ports, what reservations keep, what
// quotas and hard rules of groups allow. Constraints it does not look at: the plan says which
// revision of the node it saw.
//
// Rules that came with a version hold from the moment that all nodes know it (model_version()), and
// fields that came with it stay as they were until then: else nodes with an older program, which
// still apply the same log, would come to another state.

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <boost/unordered/unordered_flat_map.hpp>

#include "base/ids.h"
#include "base/name.h"
#include "base/result.h"
#include "core/cluster/model.h"
#include "core/cluster/policy.h"
#include "core/cluster/requests.h"
#include "core/cluster/vms.h"
#include "core/raft/types.h"

namespace blixard::v1 {
class AddImage;
class Command;
class CreateToken;
class CreateVm;
class DeleteSnapshot;
class DrainNode;
class DropNode;
class EndDrain;
class EnrolNode;
class EvictVm;
class ExplainPending;
class PlaceGang;
class PlaceVm;
class RegisterNode;
class RemoveGroup;
class RemoveImage;
class RemoveNode;
class RemoveReservation;
class RemoveTenant;
class ReportVms;
class RestoreSnapshot;
class RevokeToken;
class SetDesired;
class SetGroup;
class SetPolicy;
class SetReservation;
class SetTenant;
class StateSnapshot;
class TakeSnapshot;
class UpdateNode;
class UpdateNodeAddress;
class VmReport;
}  // namespace blixard::v1

namespace blixard::cluster {

// One change of the state, for those who watch it (the agent, event streams).
struct Change {
  enum class Kind : std::uint8_t {
    kVmChanged,
    kVmRemoved,
    kNodeChanged,
    kNodeRemoved,
    kImageChanged,
    kImageRemoved,
    kPolicyChanged,
    kGroupChanged,
    kGroupRemoved,
    kTenantChanged,
    kTenantRemoved,
    kReservationChanged,
    kReservationRemoved,
  };
  Kind kind = Kind::kVmChanged;
  std::uint64_t revision = 0;   // of the state after it; grows by one with each change
  std::uint64_t object_id = 0;  // 0: it is known by its name; of the policy that is empty too
  Name name;
};

// Who makes a cluster: node 1, a server and its only voter.
struct Founder {
  Uuid cluster;
  std::string name;
  std::string peer_address;
};

class State {
 public:
  using ChangeSink = std::function<void(const Change&)>;

  // The beginning of a cluster. Errors: check_name()'s and check_peer_address()'s.
  static Result<State> found(const Founder& founder);

  // Errors: those of the command (kNotFound "vm_not_found", kAlreadyExists "vm_exists",
  // kFailedPrecondition "transition_refused" and so on; core/cluster/reasons.h has them all), and
  // those of check_command(), after which the caller must not go on along this log. The state is
  // unchanged then, but for the remembered answer.
  //
  // ReportVms: each report counts for itself. One of another generation or node, or of a VM that is
  // gone, is late: dropped, and no error. One that may not be (a refused transition, bad values) is
  // dropped too, and is the error of the command if all were so. `released` means that nothing of
  // the VM runs or lies on the node any more: with desired Deleted it removes the VM, with state
  // Pending it frees it for another node.
  //
  // SetDesired to what is desired already is success without a change, but for a start of a VM that
  // ended (Stopped or Failed): it is a new assignment to the same node, at the next generation. Of
  // a suspended VM a start makes it pending, to go on from what was saved; a stop gives that up.
  //
  // CreateVm with desired Stopped places the VM like any other; its node does not start it.
  Result<Outcome> apply(LogIndex index, const v1::Command& command, const ChangeSink& changed);

  // An entry of consensus that changed who takes part: `configuration` is what holds from here on.
  // `command` travelled with the change, encoded, and is applied after it; empty: none. When it is
  // refused the configuration is changed all the same. Errors: apply()'s.
  Result<Outcome> apply_configuration(LogIndex index, const raft::ConfState& configuration,
                                      std::string_view command, const ChangeSink& changed);

  // Who takes part in consensus. Replicated: in snapshots and in the hash.
  [[nodiscard]] const raft::ConfState& configuration() const { return configuration_; }
  [[nodiscard]] Membership membership(NodeId id) const;

  [[nodiscard]] const std::map<VmId, Vm>& vms() const { return vms_.all(); }
  // Those on no node, by id: what placement looks at.
  [[nodiscard]] const std::set<VmId>& pending() const { return vms_.on(NodeId()); }
  // Those on a node, by id.
  [[nodiscard]] const std::set<VmId>& vms_on(NodeId node) const { return vms_.on(node); }
  // Those of which a saved guest is on that node's disk, by id.
  [[nodiscard]] const std::set<VmId>& vms_saved_at(NodeId node) const {
    return vms_.saved_at(node);
  }
  // The next ones behind that name, which need not be anybody's, in the order of names.
  [[nodiscard]] std::vector<const Vm*> vms_after(std::string_view name, std::size_t count) const {
    return vms_.after(name, count);
  }
  [[nodiscard]] std::size_t vms_in(VmState state) const { return vms_.count_in(state); }
  [[nodiscard]] const std::map<NodeId, Node>& nodes() const { return nodes_; }
  [[nodiscard]] const std::map<ImageId, Image>& images() const { return images_; }
  [[nodiscard]] const std::map<TokenId, Token>& tokens() const { return tokens_; }
  [[nodiscard]] const Uuid& cluster() const { return cluster_; }  // nil: no founder
  // What EnrolNode would meet, so that a stranger's attempt costs no entry of the log: the node
  // that it is already (the same key and token, again), or null, for a new one. `time` is the
  // command's. Errors: those of apply().
  [[nodiscard]] Result<const Node*> may_enrol(const v1::EnrolNode& command, WallTime time) const;
  // Was a member and is none any more. Of an id that was not given out yet: no, not removed.
  [[nodiscard]] bool was_removed(NodeId id) const;
  [[nodiscard]] const Node* find_node(std::string_view name) const;
  [[nodiscard]] const Vm* find_vm(std::string_view name) const { return vms_.find(name); }
  [[nodiscard]] const Vm* find_vm(VmId id) const { return vms_.find(id); }
  [[nodiscard]] const Node* find_node(NodeId id) const;
  [[nodiscard]] const Image* find_image(std::string_view name) const;
  // What the node can still take: what it offers under the policy, less what the VMs on it were
  // promised, whatever they do now, until their node released them. Less than nothing when the node
  // came back smaller, or the policy promises less.
  [[nodiscard]] resources::Room room_on(const Node& node) const;
  // Of that, what reservations keep from VMs of this tenant (as Wishes::tenant has it) and
  // priority.
  [[nodiscard]] resources::Amounts held_back(NodeId node, const Name& tenant,
                                             std::uint32_t priority) const;
  // The first host port the spec asks for that another VM on the node has; 0 if there is none.
  [[nodiscard]] std::uint16_t taken_port(NodeId node, const VmSpec& spec) const;
  [[nodiscard]] bool is_port_taken(NodeId node, std::uint16_t host_port) const {
    return vms_.is_taken(node, host_port);
  }
  // Placement.
  [[nodiscard]] const PlacementPolicy& policy() const { return policy_; }
  [[nodiscard]] const std::map<Name, PlacementGroup>& groups() const { return groups_; }
  [[nodiscard]] const std::map<Name, Tenant>& tenants() const { return tenants_; }
  [[nodiscard]] const std::map<Name, Reservation>& reservations() const { return reservations_; }
  // Null: there is none.
  [[nodiscard]] const PlacementGroup* find_group(std::string_view name) const;
  [[nodiscard]] const Tenant* find_tenant(std::string_view name) const;
  [[nodiscard]] const Reservation* find_reservation(std::string_view name) const;
  // By name.
  [[nodiscard]] const std::set<Name>& reservations_on(NodeId node) const;
  // Groups that have a rule which names that one.
  [[nodiscard]] const std::set<Name>& groups_naming(const Name& group) const;
  // Null: it has none.
  [[nodiscard]] const GroupMembers* members_of(const Name& group) const {
    return vms_.members(group);
  }
  [[nodiscard]] std::uint32_t members_in(const Name& group, const Node& node,
                                         TopologyLevel level) const;
  // `tenant` as Wishes::tenant has it.
  [[nodiscard]] TenantUse use_of(const Name& tenant) const { return vms_.use(tenant); }
  [[nodiscard]] TenantShare share_of(NodeId node, const Name& tenant) const {
    return vms_.share(node, tenant);
  }
  // With VMs, but for the default one.
  [[nodiscard]] const std::map<Name, TenantUse>& named_tenants() const {
    return vms_.named_tenants();
  }
  [[nodiscard]] std::uint64_t revision() const { return revision_; }
  // What commands and snapshots are to say; see kModelVersion.
  [[nodiscard]] std::uint32_t model_version() const { return model_version_; }

  // Deterministic; equal states give equal bytes.
  [[nodiscard]] std::string encode() const;
  // Checks all it reads. Errors: kDataLoss "snapshot_invalid", kFailedPrecondition
  // "model_too_new".
  static Result<State> decode(std::string_view bytes);
  // XXH3-128 of encode(), in hex.
  [[nodiscard]] std::string hash() const;

  friend bool operator==(const State&, const State&) = default;

 private:
  // What comes with a command beside its content.
  struct Step {
    std::uint32_t version = 0;
    WallTime time;
    const ChangeSink& changed;
  };

  // One per command; the id of the object it made or changed.
  Result<std::uint64_t> carry_out(const v1::Command& command, const Step& step);
  Result<std::uint64_t> carry_out(const v1::RegisterNode& command, const Step& step);
  Result<std::uint64_t> carry_out(const v1::CreateToken& command, const Step& step);
  Result<std::uint64_t> carry_out(const v1::RevokeToken& command, const Step& step);
  Result<std::uint64_t> carry_out(const v1::EnrolNode& command, const Step& step);
  Result<std::uint64_t> carry_out(const v1::RemoveNode& command, const Step& step);
  Result<std::uint64_t> carry_out(const v1::DropNode& command, const Step& step);
  Result<std::uint64_t> carry_out(const v1::UpdateNodeAddress& command, const Step& step);
  Result<std::uint64_t> carry_out(const v1::CreateVm& command, const Step& step);
  Result<std::uint64_t> carry_out(const v1::SetDesired& command, const Step& step);
  Result<std::uint64_t> carry_out(const v1::PlaceVm& command, const Step& step);
  Result<std::uint64_t> carry_out(const v1::ExplainPending& command, const Step& step);
  Result<std::uint64_t> carry_out(const v1::ReportVms& command, const Step& step);
  Result<std::uint64_t> carry_out(const v1::AddImage& command, const Step& step);
  Result<std::uint64_t> carry_out(const v1::RemoveImage& command, const Step& step);
  Result<std::uint64_t> carry_out(const v1::PlaceGang& command, const Step& step);
  Result<std::uint64_t> carry_out(const v1::EvictVm& command, const Step& step);
  Result<std::uint64_t> carry_out(const v1::UpdateNode& command, const Step& step);
  Result<std::uint64_t> carry_out(const v1::DrainNode& command, const Step& step);
  Result<std::uint64_t> carry_out(const v1::EndDrain& command, const Step& step);
  Result<std::uint64_t> carry_out(const v1::SetPolicy& command, const Step& step);
  Result<std::uint64_t> carry_out(const v1::SetGroup& command, const Step& step);
  Result<std::uint64_t> carry_out(const v1::RemoveGroup& command, const Step& step);
  Result<std::uint64_t> carry_out(const v1::SetTenant& command, const Step& step);
  Result<std::uint64_t> carry_out(const v1::RemoveTenant& command, const Step& step);
  Result<std::uint64_t> carry_out(const v1::SetReservation& command, const Step& step);
  Result<std::uint64_t> carry_out(const v1::RemoveReservation& command, const Step& step);
  Result<std::uint64_t> carry_out(const v1::TakeSnapshot& command, const Step& step);
  Result<std::uint64_t> carry_out(const v1::RestoreSnapshot& command, const Step& step);
  Result<std::uint64_t> carry_out(const v1::DeleteSnapshot& command, const Step& step);
  Result<void> take_report(NodeId node, const v1::VmReport& report, const Step& step);

  Result<Node*> member(NodeId id);
  // The token that the secret belongs to.
  [[nodiscard]] Result<const Token*> token_of(const v1::EnrolNode& command) const;
  Result<void> may_leave(const Node& node, bool force) const;
  // What only that node has of saved guests is lost with it.
  void forget_saved_at(const Node& node, const Step& step);
  [[nodiscard]] Result<void> may_lose_saved(const Node& node) const;
  void free_vms_of(const Node& node, const Step& step);
  void set_configuration(const raft::ConfState& configuration, const ChangeSink& changed);
  [[nodiscard]] Result<const Vm*> vm_to_change(const std::string& name, VmId id) const;
  // Errors: kFailedPrecondition "vm_not_running", "vm_being_deleted".
  static Result<void> may_pause(const Vm& vm);
  static Result<void> may_save(const Vm& vm);
  [[nodiscard]] Result<void> may_restore(const Vm& vm) const;
  static Result<void> check_fits(const Vm& vm, const SavedGuest& saved, const Node& node);
  // What a report says of saved guests. Errors: kInvalidArgument "report_invalid",
  // kFailedPrecondition "saved_guest_used".
  static Result<void> take_saves(const v1::VmReport& report, Vm& vm);
  // An ended VM may start where it is.
  [[nodiscard]] Result<void> may_start_there(const Vm& vm) const;
  // Placement: what may keep a VM from a node. Errors: those of PlaceVm.
  [[nodiscard]] Result<const Node*> node_to_place_on(const v1::PlaceVm& command,
                                                     const Vm& vm) const;
  // The devices it gets.
  [[nodiscard]] Result<resources::DeviceNumbers> check_room(const v1::PlaceVm& command,
                                                            const Vm& vm, const Node& node) const;
  [[nodiscard]] Result<void> check_reserved(const Vm& vm, const Node& node,
                                            const resources::Demand& demand,
                                            const resources::Amounts& room) const;
  [[nodiscard]] Result<void> check_groups(const Vm& vm, const Node& node) const;
  [[nodiscard]] Result<void> check_rule(const PlacementGroup& group, const GroupRule& rule,
                                        const Vm& vm, const Node& node) const;
  // Of those the VM is in, with so many more members placed.
  [[nodiscard]] Result<void> check_gangs(const Vm& vm, std::uint32_t more) const;
  [[nodiscard]] Result<void> check_tenant_on(const Vm& vm, const Node& node) const;
  // All of these, and then the VM is placed; it is not announced. Of a part of a gang, gangs are
  // for the caller to check.
  enum class Gang : std::uint8_t { kAlone, kPart };
  Result<const Vm*> place(const v1::PlaceVm& command, Gang gang, const Step& step);
  [[nodiscard]] Result<void> may_preempt(const Vm& victim, const Vm& by) const;

  // Quotas and rates. Errors: kResourceExhausted.
  [[nodiscard]] Result<void> check_named(const Wishes& wishes) const;
  [[nodiscard]] Result<void> check_quota(const std::string& name, const VmSpec& spec) const;
  enum class Spending : std::uint8_t { kCreate, kStart, kDelete, kPreemption };
  Result<void> charge(const Wishes& wishes, Spending spending, const Step& step);

  // Of what is reserved for it there.
  [[nodiscard]] resources::Amounts unused(const Name& owner, NodeId node,
                                          const resources::Amounts& reserved) const;
  [[nodiscard]] Result<void> check_reservation_fits(const Reservation& reservation,
                                                    const Node& node) const;
  void put(PlacementGroup group);
  void forget_naming(const PlacementGroup& group);
  void put(const Reservation& reservation);
  void erase_reservation(const Name& name);
  // Of what plans look at: the next revision, if all nodes count them.
  void revise(Node& node) const;
  static std::unexpected<Error> no_vm(VmId id);
  // A VM at that generation.
  [[nodiscard]] Result<const Vm*> vm_at(VmId id, Generation generation) const;
  // One that is pending.
  [[nodiscard]] Result<const Vm*> pending_vm(VmId id, Generation generation) const;
  // Changes the VM and says so.
  template <class Edit>
  void change_vm(VmId id, const Step& step, Edit edit) {
    const Vm& changed = vms_.change(id, edit);
    announce(Change::Kind::kVmChanged, changed.id.value, changed.name, step);
  }
  void remove_vm(VmId id, const Step& step);
  void raise_model_version();
  void announce(Change::Kind kind, std::uint64_t id, const Name& name, const Step& step);

  // Puts a record of a snapshot in its place. Errors: kDataLoss "snapshot_invalid".
  Result<void> restore_cluster(const v1::StateSnapshot& snapshot);
  Result<void> restore(const Token& token);
  Result<void> restore(Node node);
  Result<void> restore(Image image);
  Result<void> restore(Vm vm);
  [[nodiscard]] Result<void> check_devices(const Vm& vm) const;
  [[nodiscard]] Result<void> check_saves(const Vm& vm) const;
  Result<void> restore_policy(const v1::StateSnapshot& snapshot);
  Result<void> restore_reservations(const v1::StateSnapshot& snapshot);

  // To look up in only: its order is nobody's business.
  template <class Id>
  using ByName = boost::unordered_flat_map<Name, Id, Name::Hash>;

  Vms vms_;
  std::map<NodeId, Node> nodes_;
  std::map<ImageId, Image> images_;
  std::map<TokenId, Token> tokens_;
  PlacementPolicy policy_;
  std::map<Name, PlacementGroup> groups_;
  std::map<Name, Tenant> tenants_;
  std::map<Name, Reservation> reservations_;
  raft::ConfState configuration_;
  Requests requests_;
  Uuid cluster_;
  std::uint64_t next_id_ = 1;  // of a VM or an image
  std::uint64_t next_node_id_ = 1;
  std::uint64_t revision_ = 0;
  std::uint32_t model_version_ = kUntoldModelVersion;

  // Follow from the above; not in snapshots.
  ByName<NodeId> node_names_;
  ByName<ImageId> image_names_;
  std::map<Name, std::set<Name>> naming_;         // a group, and those whose rules name it
  std::map<NodeId, std::set<Name>> reserved_on_;  // of nodes that have some
};

// The least version of the model that has all that the command says.
std::uint32_t required_version(const v1::Command& command);
// Leaves out what the command's version does not have and what it means the same without: facts
// about a node, which that tells again when all know them.
void fit_to_version(v1::Command& command);

// Size and form of a command from outside (the log, a peer): what does not depend on the state, and
// that its version has all that it says. Errors: kDataLoss "command_invalid", kFailedPrecondition
// "model_too_new".
Result<void> check_command(const v1::Command& command);
// The same for who knows its size.
Result<void> check_command(const v1::Command& command, std::size_t bytes);

}  // namespace blixard::cluster

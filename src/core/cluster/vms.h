#pragma once

// The VMs of a state, and all that follows from them: by name, in the order of names, on which
// node, in which observed state, and what their nodes promised them. Who asks for a page, a count
// or the VMs of a node pays for what is answered and not for all VMs.
//
// A VM comes by add(), goes by remove() and is changed by change(), and nowhere else: each of them
// keeps everything else here, so nothing can be forgotten at one of many places. What follows is
// in no snapshot; decode() adds the VMs again.
//
// Invariants, counted anew by a property test: names, uuids and, on one node, published host ports
// are unique; each VM is on one node, or waits for one, or is suspended; the counts by state are
// those of the VMs; a node without VMs has promised nothing; a group without members and a tenant
// without VMs are not here.
//
// A VM that asks for nothing of its placement costs no memory but its own: what is counted by
// tenant and group has entries only for those that were named.

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/unordered/unordered_flat_map.hpp>
#include <boost/unordered/unordered_flat_set.hpp>

#include "base/ids.h"
#include "base/name.h"
#include "core/cluster/model.h"
#include "core/cluster/uuid_hash.h"

namespace blixard::cluster {

// Of a node, to the VMs on it: whatever they do now, until their node released them.
struct Promised {
  resources::Amounts amounts;        // without dedicated cores
  std::int64_t dedicated_milli = 0;  // of cores: how often they count is for the policy to say
  friend bool operator==(const Promised&, const Promised&) = default;

  // As much room as it takes.
  [[nodiscard]] resources::Amounts taken(const resources::Overcommit& overcommit) const;
};

// Of a tenant on one node.
struct TenantShare {
  Name tenant;  // empty: the default one
  std::uint32_t vms = 0;
  Promised promised;
  friend bool operator==(const TenantShare&, const TenantShare&) = default;
};

// What all VMs of a tenant were made with, placed or not.
struct TenantUse {
  std::uint64_t vms = 0;
  std::int64_t vcpus = 0;
  std::int64_t memory_mib = 0;
  std::int64_t disk_mib = 0;
  friend bool operator==(const TenantUse&, const TenantUse&) = default;
};

struct GroupMembers {
  std::map<NodeId, std::uint32_t> on;  // how many on a node, of nodes that have some
  std::uint32_t placed = 0;
  std::uint32_t pending = 0;
  std::uint32_t suspended = 0;
  friend bool operator==(const GroupMembers&, const GroupMembers&) = default;
};

class Vms {
 public:
  // By id.
  [[nodiscard]] const std::map<VmId, Vm>& all() const { return vms_; }
  [[nodiscard]] std::size_t size() const { return vms_.size(); }
  // Null: there is none. Valid until the VM is removed.
  [[nodiscard]] const Vm* find(VmId id) const;
  [[nodiscard]] const Vm* find(std::string_view name) const;
  [[nodiscard]] bool has_uuid(const Uuid& uuid) const { return uuids_.contains(uuid); }
  // The VMs behind that name in the order of names, at most so many. O(count * log(VMs)).
  [[nodiscard]] std::vector<const Vm*> after(std::string_view name, std::size_t count) const;
  // Those on a node; of no node: those that wait for one, which a suspended one does not. Valid
  // until the next change.
  [[nodiscard]] const std::set<VmId>& on(NodeId node) const;
  // Those of which a saved guest is on that node's disk: what they go on from, or their snapshot.
  [[nodiscard]] const std::set<VmId>& saved_at(NodeId node) const;
  [[nodiscard]] std::size_t count_in(VmState state) const {
    return counts_.at(static_cast<std::size_t>(state));
  }
  [[nodiscard]] Promised promised(NodeId node) const;
  // Counters, by name, and thousandths of devices, by number, that VMs on the node have.
  [[nodiscard]] const std::vector<resources::Counter>& counters_taken(NodeId node) const;
  [[nodiscard]] const std::vector<std::int32_t>& devices_taken(NodeId node) const;
  // `tenant` as Wishes::tenant has it: empty is the default one.
  [[nodiscard]] TenantShare share(NodeId node, const Name& tenant) const;
  [[nodiscard]] TenantUse use(const Name& tenant) const;
  // By name, of those that have VMs, but for the default one.
  [[nodiscard]] const std::map<Name, TenantUse>& named_tenants() const { return tenants_; }
  // Null: it has none.
  [[nodiscard]] const GroupMembers* members(const Name& group) const;
  [[nodiscard]] bool is_taken(NodeId node, std::uint16_t host_port) const {
    return host_ports_.contains({node, host_port});
  }

  // Precondition: its id, name and uuid are not here, nor its host ports on its node.
  const Vm& add(Vm vm);
  // Precondition: the VM is here, `edit` leaves its id, name, uuid and spec, and when it goes to
  // another node, its host ports are not taken there.
  template <class Edit>
  const Vm& change(VmId id, Edit edit) {
    Vm& vm = vms_.at(id);
    const Standing before = standing_of(vm);
    edit(vm);
    follow(before, vm);
    return vm;
  }
  // Precondition: it is here.
  Vm remove(VmId id);

  friend bool operator==(const Vms&, const Vms&) = default;

 private:
  // Of what is saved of a VM; none: nothing is.
  struct Holders {
    NodeId resume_from;
    NodeId snapshot;
    friend bool operator==(const Holders&, const Holders&) = default;
  };
  // Of a VM, what is indexed here and changes in its life.
  struct Standing {
    NodeId node;
    VmState state;
    resources::DeviceNumbers devices;
    Holders holders;
  };
  struct Account {
    std::set<VmId> vms;
    Promised promised;
    std::vector<resources::Counter> counters;  // by name, none of 0
    std::vector<std::int32_t> device_milli;    // by number, the last not 0
    std::vector<TenantShare> tenants;          // by tenant, but for the default one
    friend bool operator==(const Account&, const Account&) = default;
  };
  struct ByText {
    using is_transparent = void;
    bool operator()(std::string_view a, std::string_view b) const { return a < b; }
  };

  static Standing standing_of(const Vm& vm) {
    return {.node = vm.node,
            .state = vm.state,
            .devices = vm.devices,
            .holders = holders_of(*vm.saves)};
  }
  static Holders holders_of(const Saves& saves) {
    return {.resume_from = saves.resume_from ? saves.resume_from->holder : NodeId(),
            .snapshot = saves.snapshot ? saves.snapshot->holder : NodeId()};
  }
  void hold(VmId id, const Holders& holders);
  void let_go(VmId id, const Holders& holders);
  std::uint32_t& count_of(VmState state) { return counts_.at(static_cast<std::size_t>(state)); }
  void follow(const Standing& before, const Vm& vm);
  // Of those on no node.
  std::set<VmId>& homeless(VmState state) {
    return state == VmState::kSuspended ? suspended_ : waiting_;
  }
  // The VM's id, out of the set of its node or into it, with what the node promised it.
  std::set<VmId>::node_type leave(const Standing& before, const Vm& vm);
  void enter(const Vm& vm, std::set<VmId>::node_type id);
  void promise(Account& account, const Vm& vm);
  void release(Account& account, const Standing& before, const Vm& vm);
  // By one, in or out.
  void count_tenant(const Vm& vm, int change);
  void count_groups(const Vm& vm, const Standing& as, int change);

  std::map<VmId, Vm> vms_;
  // To look up in only: their order is nobody's business.
  boost::unordered_flat_map<Name, VmId, Name::Hash> names_;
  boost::unordered_flat_set<Uuid, UuidHash> uuids_;
  std::set<Name, ByText> in_order_;
  std::set<VmId> waiting_;
  std::set<VmId> suspended_;
  std::map<NodeId, Account> accounts_;  // of nodes with VMs
  std::map<NodeId, std::set<VmId>> saved_;
  std::map<Name, GroupMembers> groups_;
  std::map<Name, TenantUse> tenants_;
  TenantUse default_tenant_;
  std::set<std::pair<NodeId, std::uint16_t>> host_ports_;
  std::array<std::uint32_t, kVmStates.size() + 1> counts_{};  // by state, which begins at 1
};

}  // namespace blixard::cluster

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
// are unique; each VM is on one node, or on none; the counts by state are those of the VMs; a node
// without VMs has promised nothing.

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
  std::int64_t vcpus = 0;
  std::int64_t memory_mib = 0;
  friend bool operator==(const Promised&, const Promised&) = default;
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
  // Those on a node; of no node: those that wait for one. Valid until the next change.
  [[nodiscard]] const std::set<VmId>& on(NodeId node) const;
  [[nodiscard]] std::size_t count_in(VmState state) const {
    return counts_.at(static_cast<std::size_t>(state));
  }
  [[nodiscard]] Promised promised(NodeId node) const;
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
  // Of a VM, what is indexed here and changes in its life.
  struct Standing {
    NodeId node;
    VmState state;
  };
  struct Account {
    std::set<VmId> vms;
    Promised promised;
    friend bool operator==(const Account&, const Account&) = default;
  };
  struct ByText {
    using is_transparent = void;
    bool operator()(std::string_view a, std::string_view b) const { return a < b; }
  };

  static Standing standing_of(const Vm& vm) { return {.node = vm.node, .state = vm.state}; }
  std::uint32_t& count_of(VmState state) { return counts_.at(static_cast<std::size_t>(state)); }
  void follow(const Standing& before, const Vm& vm);
  // The VM's id, out of the set of its node or into it, with what the node promised it.
  std::set<VmId>::node_type leave(NodeId node, const Vm& vm);
  void enter(const Vm& vm, std::set<VmId>::node_type id);
  void promise(Promised& promised, const Vm& vm);
  void release(Promised& promised, NodeId node, const Vm& vm);

  std::map<VmId, Vm> vms_;
  // To look up in only: their order is nobody's business.
  boost::unordered_flat_map<Name, VmId, Name::Hash> names_;
  boost::unordered_flat_set<Uuid, UuidHash> uuids_;
  std::set<Name, ByText> in_order_;
  std::set<VmId> waiting_;
  std::map<NodeId, Account> accounts_;  // of nodes with VMs
  std::set<std::pair<NodeId, std::uint16_t>> host_ports_;
  std::array<std::uint32_t, kVmStates.size() + 1> counts_{};  // by state, which begins at 1
};

}  // namespace blixard::cluster

#include "core/cluster/vms.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/bug.h"

namespace blixard::cluster {

const Vm* Vms::find(VmId id) const {
  const auto found = vms_.find(id);
  return found == vms_.end() ? nullptr : &found->second;
}

const Vm* Vms::find(std::string_view name) const {
  const auto found = names_.find(Name::find(name));
  return found == names_.end() ? nullptr : &vms_.at(found->second);
}

std::vector<const Vm*> Vms::after(std::string_view name, std::size_t count) const {
  std::vector<const Vm*> page;
  page.reserve(std::min(count, vms_.size()));
  for (auto next = in_order_.upper_bound(name); next != in_order_.end(); ++next) {
    if (page.size() == count) break;
    page.push_back(&vms_.at(names_.at(*next)));
  }
  return page;
}

const std::set<VmId>& Vms::on(NodeId node) const {
  static const std::set<VmId> kNone;
  if (!node) return waiting_;
  const auto found = accounts_.find(node);
  return found == accounts_.end() ? kNone : found->second.vms;
}

Promised Vms::promised(NodeId node) const {
  const auto found = accounts_.find(node);
  return found == accounts_.end() ? Promised{} : found->second.promised;
}

const Vm& Vms::add(Vm vm) {
  const VmId id = vm.id;
  const bool is_new = names_.try_emplace(vm.name, id).second && uuids_.insert(vm.uuid).second;
  BLX_ASSERT(is_new);
  in_order_.insert(vm.name);
  ++count_of(vm.state);
  if (vm.node) {
    Account& account = accounts_[vm.node];
    account.vms.insert(id);
    if (!BLX_BUG(kSnapshotForgetsSums)) promise(account.promised, vm);
  } else {
    waiting_.insert(id);
  }
  const auto [added, is_added] = vms_.try_emplace(id, std::move(vm));
  BLX_ASSERT(is_added);
  return added->second;
}

Vm Vms::remove(VmId id) {
  auto found = vms_.extract(id);
  BLX_ASSERT(!found.empty());
  Vm vm = std::move(found.mapped());
  --count_of(vm.state);
  (void)leave(vm.node, vm);
  names_.erase(vm.name);
  in_order_.erase(vm.name);
  uuids_.erase(vm.uuid);
  return vm;
}

void Vms::follow(const Standing& before, const Vm& vm) {
  if (before.state != vm.state) {
    --count_of(before.state);
    ++count_of(vm.state);
  }
  if (before.node != vm.node) enter(vm, leave(before.node, vm));
}

std::set<VmId>::node_type Vms::leave(NodeId node, const Vm& vm) {
  if (!node) return waiting_.extract(vm.id);
  const auto account = accounts_.find(node);
  BLX_ASSERT(account != accounts_.end());
  auto id = account->second.vms.extract(vm.id);
  release(account->second.promised, node, vm);
  // An empty account is no account, so that states which are equal compare equal.
  if (account->second == Account{}) accounts_.erase(account);
  return id;
}

void Vms::enter(const Vm& vm, std::set<VmId>::node_type id) {
  BLX_ASSERT(!id.empty());
  if (!vm.node) {
    waiting_.insert(std::move(id));
    return;
  }
  Account& account = accounts_[vm.node];
  account.vms.insert(std::move(id));
  promise(account.promised, vm);
}

void Vms::promise(Promised& promised, const Vm& vm) {
  promised.vcpus += vm.spec.vcpus;
  promised.memory_mib += vm.spec.memory_mib;
  for (const PublishedPort& port : vm.spec.published_ports) {
    if (port.host_port != 0) host_ports_.emplace(vm.node, port.host_port);
  }
}

void Vms::release(Promised& promised, NodeId node, const Vm& vm) {
  // Deleted is final: a VM leaves its node with that only when it goes.
  if (BLX_BUG(kForgetsToFree) && vm.desired == VmDesired::kDeleted) return;
  promised.vcpus -= vm.spec.vcpus;
  promised.memory_mib -= vm.spec.memory_mib;
  for (const PublishedPort& port : vm.spec.published_ports)
    host_ports_.erase({node, port.host_port});
}

}  // namespace blixard::cluster

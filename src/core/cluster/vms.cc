#include "core/cluster/vms.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/bug.h"

namespace blixard::cluster {

namespace {

void move_promised(Promised& promised, const VmSpec& spec, std::int64_t sign) {
  const Wishes& wishes = *spec.wishes;
  const std::int64_t cpu_milli = wishes.cpu_milli != 0 ? std::int64_t{wishes.cpu_milli}
                                                       : spec.vcpus * resources::kMilliPerCore;
  (wishes.dedicated_cpus ? promised.dedicated_milli : promised.amounts.cpu_milli) +=
      sign * cpu_milli;
  promised.amounts.memory_mib += sign * spec.memory_mib;
  promised.amounts.disk_mib += sign * wishes.disk_mib;
  promised.amounts.network_mbit += sign * wishes.network_mbit;
}

void move_counters(std::vector<resources::Counter>& taken,
                   const std::vector<resources::Counter>& counters, std::int64_t sign) {
  for (const resources::Counter& counter : counters) {
    auto at = std::ranges::lower_bound(taken, counter.name, {}, &resources::Counter::name);
    if (at == taken.end() || at->name != counter.name) at = taken.insert(at, {counter.name, 0});
    at->amount += sign * counter.amount;
    if (at->amount == 0) taken.erase(at);
  }
}

void move_devices(std::vector<std::int32_t>& taken, const std::vector<resources::DeviceNeed>& needs,
                  const resources::DeviceNumbers& numbers, std::int32_t sign) {
  auto number = numbers.begin();
  for (const resources::DeviceNeed& need : needs) {
    for (std::uint32_t one = 0; one < need.count && number != numbers.end(); ++one, ++number) {
      if (*number >= taken.size()) taken.resize(*number + std::size_t{1});
      taken[*number] += sign * need.milli;
    }
  }
  while (!taken.empty() && taken.back() == 0)
    taken.pop_back();
}

void move_share(std::vector<TenantShare>& shares, const VmSpec& spec, int sign) {
  const Name& tenant = spec.wishes->tenant;
  if (tenant.empty()) return;
  auto at = std::ranges::lower_bound(shares, tenant, {}, &TenantShare::tenant);
  if (at == shares.end() || at->tenant != tenant) {
    at = shares.insert(at, {.tenant = tenant, .vms = 0, .promised = {}});
  }
  at->vms += static_cast<std::uint32_t>(sign);
  move_promised(at->promised, spec, sign);
  if (at->vms == 0) shares.erase(at);
}

}  // namespace

resources::Amounts Promised::taken(const resources::Overcommit& overcommit) const {
  constexpr std::int64_t kWhole = 100;
  resources::Amounts all = amounts;
  all.cpu_milli += dedicated_milli * overcommit.cpu_percent / kWhole;
  return all;
}

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

const std::set<VmId>& Vms::saved_at(NodeId node) const {
  static const std::set<VmId> kNone;
  const auto found = saved_.find(node);
  return found == saved_.end() ? kNone : found->second;
}

Promised Vms::promised(NodeId node) const {
  const auto found = accounts_.find(node);
  return found == accounts_.end() ? Promised{} : found->second.promised;
}

const std::vector<resources::Counter>& Vms::counters_taken(NodeId node) const {
  static const std::vector<resources::Counter> kNone;
  const auto found = accounts_.find(node);
  return found == accounts_.end() ? kNone : found->second.counters;
}

const std::vector<std::int32_t>& Vms::devices_taken(NodeId node) const {
  static const std::vector<std::int32_t> kNone;
  const auto found = accounts_.find(node);
  return found == accounts_.end() ? kNone : found->second.device_milli;
}

TenantShare Vms::share(NodeId node, const Name& tenant) const {
  const auto found = accounts_.find(node);
  TenantShare share{.tenant = tenant, .vms = 0, .promised = {}};
  if (found == accounts_.end()) return share;
  const Account& account = found->second;
  if (!tenant.empty()) {
    const auto named = std::ranges::lower_bound(account.tenants, tenant, {}, &TenantShare::tenant);
    return named != account.tenants.end() && named->tenant == tenant ? *named : share;
  }
  // What the named ones leave.
  share.vms = static_cast<std::uint32_t>(account.vms.size());
  share.promised = account.promised;
  for (const TenantShare& named : account.tenants) {
    share.vms -= named.vms;
    share.promised.amounts -= named.promised.amounts;
    share.promised.dedicated_milli -= named.promised.dedicated_milli;
  }
  return share;
}

TenantUse Vms::use(const Name& tenant) const {
  if (tenant.empty()) return default_tenant_;
  const auto found = tenants_.find(tenant);
  return found == tenants_.end() ? TenantUse{} : found->second;
}

const GroupMembers* Vms::members(const Name& group) const {
  const auto found = groups_.find(group);
  return found == groups_.end() ? nullptr : &found->second;
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
    if (!BLX_BUG(kSnapshotForgetsSums)) promise(account, vm);
  } else {
    homeless(vm.state).insert(id);
  }
  count_tenant(vm, 1);
  count_groups(vm, standing_of(vm), 1);
  hold(id, holders_of(*vm.saves));
  const auto [added, is_added] = vms_.try_emplace(id, std::move(vm));
  BLX_ASSERT(is_added);
  return added->second;
}

Vm Vms::remove(VmId id) {
  auto found = vms_.extract(id);
  BLX_ASSERT(!found.empty());
  Vm vm = std::move(found.mapped());
  --count_of(vm.state);
  (void)leave(standing_of(vm), vm);
  count_tenant(vm, -1);
  count_groups(vm, standing_of(vm), -1);
  let_go(id, holders_of(*vm.saves));
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
  if (const Holders holders = holders_of(*vm.saves); holders != before.holders) {
    let_go(vm.id, before.holders);
    hold(vm.id, holders);
  }
  const bool stays =
      before.node == vm.node && (vm.node || &homeless(before.state) == &homeless(vm.state));
  if (stays) {
    BLX_ASSERT(before.devices == vm.devices);
    return;
  }
  enter(vm, leave(before, vm));
  count_groups(vm, before, -1);
  count_groups(vm, standing_of(vm), 1);
}

void Vms::hold(VmId id, const Holders& holders) {
  for (const NodeId holder : {holders.resume_from, holders.snapshot})
    if (holder) saved_[holder].insert(id);
}

void Vms::let_go(VmId id, const Holders& holders) {
  for (const NodeId holder : {holders.resume_from, holders.snapshot}) {
    const auto found = saved_.find(holder);
    if (found == saved_.end()) continue;
    found->second.erase(id);
    if (found->second.empty()) saved_.erase(found);
  }
}

std::set<VmId>::node_type Vms::leave(const Standing& before, const Vm& vm) {
  if (!before.node) return homeless(before.state).extract(vm.id);
  const auto account = accounts_.find(before.node);
  BLX_ASSERT(account != accounts_.end());
  auto id = account->second.vms.extract(vm.id);
  release(account->second, before, vm);
  // An empty account is no account, so that states which are equal compare equal.
  if (account->second == Account{}) accounts_.erase(account);
  return id;
}

void Vms::enter(const Vm& vm, std::set<VmId>::node_type id) {
  BLX_ASSERT(!id.empty());
  if (!vm.node) {
    homeless(vm.state).insert(std::move(id));
    return;
  }
  Account& account = accounts_[vm.node];
  account.vms.insert(std::move(id));
  promise(account, vm);
}

void Vms::promise(Account& account, const Vm& vm) {
  move_promised(account.promised, vm.spec, 1);
  for (const PublishedPort& port : vm.spec.published_ports) {
    if (port.host_port != 0) host_ports_.emplace(vm.node, port.host_port);
  }
  if (vm.spec.wishes.is_default()) return;
  move_counters(account.counters, vm.spec.wishes->counters, 1);
  move_devices(account.device_milli, vm.spec.wishes->devices, vm.devices, 1);
  move_share(account.tenants, vm.spec, 1);
}

void Vms::release(Account& account, const Standing& before, const Vm& vm) {
  // Deleted is final: a VM leaves its node with that only when it goes.
  if (BLX_BUG(kForgetsToFree) && vm.desired == VmDesired::kDeleted) return;
  move_promised(account.promised, vm.spec, -1);
  for (const PublishedPort& port : vm.spec.published_ports)
    host_ports_.erase({before.node, port.host_port});
  if (vm.spec.wishes.is_default()) return;
  move_counters(account.counters, vm.spec.wishes->counters, -1);
  move_devices(account.device_milli, vm.spec.wishes->devices, before.devices, -1);
  move_share(account.tenants, vm.spec, -1);
}

void Vms::count_tenant(const Vm& vm, int change) {
  const Name& tenant = vm.spec.wishes->tenant;
  TenantUse& use = tenant.empty() ? default_tenant_ : tenants_[tenant];
  use.vms += static_cast<std::uint64_t>(change);
  use.vcpus += std::int64_t{vm.spec.vcpus} * change;
  use.memory_mib += std::int64_t{vm.spec.memory_mib} * change;
  use.disk_mib += vm.spec.wishes->disk_mib * change;
  if (!tenant.empty() && use.vms == 0) tenants_.erase(tenant);
}

void Vms::count_groups(const Vm& vm, const Standing& as, int change) {
  const auto by = static_cast<std::uint32_t>(change);
  for (const Name& name : vm.spec.wishes->groups) {
    GroupMembers& members = groups_[name];
    if (as.node) {
      members.placed += by;
      if ((members.on[as.node] += by) == 0) members.on.erase(as.node);
    } else {
      (as.state == VmState::kSuspended ? members.suspended : members.pending) += by;
    }
    if (members.placed + members.pending + members.suspended == 0) groups_.erase(name);
  }
}

}  // namespace blixard::cluster

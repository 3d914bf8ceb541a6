// What tenants may have and do.

#include <fmt/format.h>

#include "core/cluster/reasons.h"
#include "core/cluster/state.h"

namespace blixard::cluster {

// Groups, and the node of the strategy manual.
Result<void> State::check_named(const Wishes& wishes) const {
  for (const Name& group : wishes.groups) {
    if (groups_.contains(group)) continue;
    return fail(Code::kNotFound, reason::kGroupNotFound,
                fmt::format("no placement group is named {}", group));
  }
  if (!wishes.node.empty() && find_node(std::string_view(wishes.node)) == nullptr) {
    return fail(Code::kNotFound, reason::kNodeNotFound,
                fmt::format("no node is named {}", wishes.node));
  }
  return {};
}

Result<void> State::check_quota(const std::string& name, const VmSpec& spec) const {
  if (tenants_.empty()) return {};
  const Tenant* tenant = find_tenant(tenant_of(*spec.wishes));
  if (tenant == nullptr) return {};
  const Quota& quota = tenant->quota;
  const TenantUse use = vms_.use(spec.wishes->tenant);
  if (quota.vms != 0 && use.vms >= quota.vms) {
    return fail(Code::kResourceExhausted, reason::kQuotaExceeded,
                fmt::format("tenant {} has {} of {} VMs: raise its quota or delete one",
                            tenant->name, use.vms, quota.vms));
  }
  const auto check = [&](std::int64_t used, std::int64_t needed, std::int64_t most,
                         const char* unit) -> Result<void> {
    if (most == 0 || needed == 0 || used + needed <= most) return {};
    return fail(Code::kResourceExhausted, reason::kQuotaExceeded,
                fmt::format("tenant {} has {} of {} {}, VM {} needs {}: raise its quota or delete "
                            "VMs",
                            tenant->name, used, most, unit, name, needed));
  };
  BLX_TRY(check(use.vcpus, spec.vcpus, quota.vcpus, "vCPUs"));
  BLX_TRY(check(use.memory_mib, spec.memory_mib, quota.memory_mib, "MiB of memory"));
  return check(use.disk_mib, spec.wishes->disk_mib, quota.disk_mib, "MiB of disk");
}

Result<void> State::charge(const Wishes& wishes, Spending spending, const Step& step) {
  if (tenants_.empty()) return {};
  const auto found = tenants_.find(Name::find(tenant_of(wishes)));
  if (found == tenants_.end()) return {};
  Tenant& tenant = found->second;
  const auto spend = [&](const Rate& rate, Bucket& left, const char* reason,
                         const char* what) -> Result<void> {
    if (left.take(rate, step.time)) return {};
    constexpr std::int64_t kMsPerSecond = 1000;
    const std::int64_t wait_ms = left.wait_ms(rate, step.time);
    return fail(
        Code::kResourceExhausted, reason,
        fmt::format("tenant {} may {} {} an hour, {} at once: the next in {} s", tenant.name, what,
                    rate.per_hour, rate.burst, (wait_ms + kMsPerSecond - 1) / kMsPerSecond));
  };
  switch (spending) {
    case Spending::kCreate:
      return spend(tenant.creates, tenant.creates_left, reason::kRateExceeded, "create VMs");
    case Spending::kStart:
      return spend(tenant.starts, tenant.starts_left, reason::kRateExceeded, "start VMs");
    case Spending::kDelete:
      return spend(tenant.deletes, tenant.deletes_left, reason::kRateExceeded, "delete VMs");
    case Spending::kPreemption:
      return spend(preemption_rate(tenant), tenant.preemptions_left, reason::kPreemptionBudget,
                   "preempt VMs");
  }
  return {};
}

}  // namespace blixard::cluster

#include "node/vm/groups.h"

#include "node/vm/label.h"

namespace blixard::vm {

env::Task<Result<void>> give_up_standby_group(env::Process& process, Record record) {
  if (record.group == group_name(record.id)) co_return Result<void>();
  BLX_CO_TRY(co_await process.kill_group(record.group));
  co_return co_await process.remove_group(record.group);
}

env::Task<Result<void>> remove_groups(env::Process& process, Record record) {
  const std::string own = group_name(record.id);
  if (record.group != own) BLX_CO_TRY(co_await process.remove_group(record.group));
  co_return co_await process.remove_group(own);
}

env::Task<Result<std::vector<VmId>>> vms_with_groups(env::Process& process,
                                                     std::set<std::string> taken) {
  BLX_CO_TRY(const std::vector<std::string> groups, co_await process.groups());
  std::vector<VmId> ids;
  for (const std::string& group : groups) {
    const auto id = parse_group_name(group);
    if (id && !taken.contains(group)) ids.push_back(*id);
  }
  co_return ids;
}

}  // namespace blixard::vm

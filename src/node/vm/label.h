#pragma once

// How the drivers name what they keep of a VM: its folder, and the group of its processes.

#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "node/vm/driver.h"

namespace blixard::vm {

// The guest of the KVM trial (qemu/qemu_driver.h) has no number of the cluster's. Its directory and
// group are named "trial", and what a daemon that died in the middle left of it is a leftover as
// any other.
inline constexpr VmId kTrialVm{std::numeric_limits<std::uint64_t>::max()};

// How directories and groups name a VM: its number, "trial", "template" or "standby-7".
std::string label(VmId id);
// Of its processes.
inline constexpr std::string_view kGroupPrefix = "vm-";
std::string group_name(VmId id);
// It is that of the VM, or that of the standby whose process the VM took.
bool is_group_of(const Record& record);
// None: `text` is not the label of a VM.
std::optional<VmId> parse_label(std::string_view text);
std::optional<VmId> parse_group_name(std::string_view group);

}  // namespace blixard::vm

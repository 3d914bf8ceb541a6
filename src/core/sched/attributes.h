#pragma once

// What is known of a node by name; condition.h looks at it.
//
//   name role architecture kernel version accelerator hypervisor vcpus memory_mib disk_mib
//   network_mbit cost_per_hour datacenter zone rack label.KEY device.KIND device.KIND.model
//
// `hypervisor` and `device.KIND.model` may have several values.

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "core/cluster/model.h"
#include "core/cluster/wishes.h"

namespace blixard::sched {

// None: it has no such attribute, or no value of it.
std::vector<std::string> attribute_of(const cluster::Node& node, std::string_view name);

// All that it has, by name.
std::vector<cluster::Label> attributes_of(const cluster::Node& node);

// What cluster::check_wishes() cannot know: whether the attributes exist and the patterns can be
// read. Errors: kInvalidArgument "constraint_invalid".
Result<void> check_attributes(const cluster::Wishes& wishes);

}  // namespace blixard::sched

#pragma once

// What is known of a node by name, and whether it meets a constraint.
//
//   name role architecture kernel version accelerator hypervisor vcpus memory_mib disk_mib
//   network_mbit cost_per_hour datacenter zone rack label.KEY device.KIND device.KIND.model
//
// `hypervisor` and `device.KIND.model` may have several values: a constraint is met when one of
// them meets it, and a negative one when none of them is what it excludes. An attribute without a
// value meets only the negative ones and not-exists.
//
// Patterns are RE2's: their cost is linear in the text, their memory bounded.

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

bool meets(const cluster::Node& node, const cluster::Constraint& constraint);

// What cluster::check_wishes() cannot know: whether the attributes exist and the patterns can be
// read. Errors: kInvalidArgument "constraint_invalid".
Result<void> check_attributes(const cluster::Wishes& wishes);

}  // namespace blixard::sched

#pragma once

// What is asked about placement, as the API has it.

#include <boost/json/object.hpp>

#include "core/cluster/policy.h"
#include "core/cluster/wishes.h"

namespace blixard::app {

// Only what was asked for.
boost::json::object placement_json(const cluster::Wishes& wishes);
boost::json::object rule_json(const cluster::GroupRule& rule);

}  // namespace blixard::app

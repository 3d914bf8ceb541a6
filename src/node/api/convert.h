#pragma once

// The model's values as messages of the public API.

#include <string>

#include "base/ids.h"
#include "base/result.h"
#include "base/units.h"
#include "blixard/v1/api.pb.h"
#include "core/cluster/model.h"
#include "core/cluster/state.h"

namespace blixard::api {

v1::Vm to_message(const cluster::Vm& vm, const cluster::State& state);
v1::Node to_message(const cluster::Node& node, const cluster::State& state);
v1::Image to_message(const cluster::Image& image);

// The command's form of a VM to create, whose identity follows from the request. Errors:
// kInvalidArgument of what apply would not refuse and no node could ever meet.
Result<v1::CreateVm> to_command(const v1::CreateVmRequest& request, const Uuid& request_id);
// The command's form of an imported image.
v1::AddImage to_command(const cluster::Image& image);

// "2026-01-31T08:05:00.250Z"; "" for no time.
std::string time_text(WallTime time);

}  // namespace blixard::api

#include "core/sched/shape.h"

#include <algorithm>

namespace blixard::sched {

namespace {

// Classes come with nodes.
void compile(Shape& shape, const DeviceClasses& classes) {
  const resources::Amounts& amounts = shape.demand.amounts;
  shape.need = {.cpu_milli = RoomTree::needed(amounts.cpu_milli),
                .memory_mib = RoomTree::needed(amounts.memory_mib),
                .disk_mib = RoomTree::needed(amounts.disk_mib),
                .network_mbit = RoomTree::needed(amounts.network_mbit),
                .device_milli = RoomTree::kNothing,
                .whole_devices = RoomTree::kNothing};
  shape.serving.clear();
  for (const resources::DeviceNeed& need : shape.demand.devices) {
    shape.serving.push_back(classes.serving(need));
    shape.need.device_milli = std::max(shape.need.device_milli, need.milli);
    if (need.milli >= resources::kWholeDevice) {
      shape.need.whole_devices =
          std::max(shape.need.whole_devices, static_cast<std::int32_t>(need.count));
    }
  }
  // Where several kinds are needed one is looked for; the tree only says where to look.
  if (!shape.serving.empty()) shape.need.classes = shape.serving.front();
  shape.classes = classes.size();
}

}  // namespace

Shape& Shapes::of(const Request& request, cluster::Strategy strategy,
                  const DeviceClasses& classes) {
  std::string key = shape_key(request, strategy);
  if (const auto found = by_key_.find(key); found != by_key_.end()) {
    Shape& known = *found->second;
    if (known.classes != classes.size()) compile(known, classes);
    return known;
  }
  if (by_key_.size() >= kShapes) by_key_.clear();
  auto shape = std::make_unique<Shape>();
  shape->demand = request.demand;
  shape->wishes = request.wishes;
  shape->image = request.image;
  shape->architecture = Name(request.architecture);
  shape->strategy = strategy;
  for (const cluster::Constraint& constraint : request.wishes->constraints)
    shape->constraints.emplace_back(constraint);
  for (const cluster::Preference& preference : request.wishes->preferences)
    shape->preferences.emplace_back(preference.constraint);
  compile(*shape, classes);
  return *by_key_.emplace(std::move(key), std::move(shape)).first->second;
}

void Shapes::forget() { by_key_.clear(); }

}  // namespace blixard::sched

#include "core/sched/request.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>

namespace blixard::sched {

namespace {

// Numbers are of one length, and texts say theirs, so that no two contents have the same bytes.
class Key {
 public:
  Key() { bytes_.reserve(kUsual); }
  Key& number(std::int64_t value) {
    std::array<char, sizeof value> bytes;
    std::memcpy(bytes.data(), &value, sizeof value);
    bytes_.append(bytes.data(), bytes.size());
    return *this;
  }
  Key& text(std::string_view value) {
    number(static_cast<std::int64_t>(value.size()));
    bytes_ += value;
    return *this;
  }
  Key& constraint(const cluster::Constraint& each) {
    text(each.attribute).number(static_cast<std::int64_t>(each.op));
    number(static_cast<std::int64_t>(each.values.size()));
    for (const std::string& value : each.values)
      text(value);
    return *this;
  }
  template <class Range>
  Key& count(const Range& range) {
    return number(static_cast<std::int64_t>(range.size()));
  }
  std::string take() { return std::move(bytes_); }

 private:
  static constexpr std::size_t kUsual = 256;

  std::string bytes_;
};

void add_demand(Key& key, const resources::Demand& demand) {
  key.count(demand.counters);
  for (const auto& counter : demand.counters)
    key.text(counter.name).number(counter.amount);
  key.count(demand.devices);
  for (const auto& need : demand.devices) {
    key.text(need.kind).number(need.count).number(need.milli).count(need.models);
    for (const Name& model : need.models)
      key.text(model);
  }
}

void add_wishes(Key& key, const cluster::Wishes& wishes) {
  key.count(wishes.constraints);
  for (const auto& each : wishes.constraints)
    key.constraint(each);
  key.count(wishes.preferences);
  for (const auto& each : wishes.preferences)
    key.constraint(each.constraint).number(each.weight);
  key.count(wishes.tolerations);
  for (const auto& each : wishes.tolerations)
    key.text(each.key).text(each.value);
  const cluster::Locality& locality = wishes.locality;
  key.text(locality.datacenter).text(locality.zone).number(locality.strict ? 1 : 0);
  key.number(locality.max_latency_ms).count(locality.excluded_datacenters);
  for (const Name& each : locality.excluded_datacenters)
    key.text(each);
  key.text(wishes.node);
}

}  // namespace

Request request_of(const cluster::VmSpec& spec, const Name& name, VmId vm,
                   const resources::Overcommit& overcommit) {
  Request request{.vm = vm,
                  .name = name,
                  .demand = cluster::demand_of(spec, overcommit),
                  .wishes = spec.wishes,
                  .ports = {},
                  .image = spec.image,
                  .architecture = {}};
  for (const auto& port : spec.published_ports)
    if (port.host_port != 0) request.ports.push_back(port.host_port);
  std::ranges::sort(request.ports);
  return request;
}

Request kept_for(Request request) {
  request.demand.devices.clear();
  request.ports.clear();
  return request;
}

std::string shape_key(const Request& request, cluster::Strategy strategy) {
  Key key;
  const resources::Amounts& amounts = request.demand.amounts;
  key.number(static_cast<std::int64_t>(strategy));
  key.number(amounts.cpu_milli).number(amounts.memory_mib);
  key.number(amounts.disk_mib).number(amounts.network_mbit);
  key.text(request.image).text(request.architecture);
  if (!request.demand.counters.empty() || !request.demand.devices.empty() ||
      !request.wishes.is_default()) {
    add_demand(key, request.demand);
    add_wishes(key, *request.wishes);
  }
  return key.take();
}

}  // namespace blixard::sched

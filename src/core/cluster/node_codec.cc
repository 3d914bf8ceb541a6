// Nodes on the wire and on disk.

#include <algorithm>
#include <limits>
#include <utility>

#include "base/limits.h"
#include "core/cluster/codec.h"
#include "core/cluster/reasons.h"
#include "core/cluster/text.h"
#include "core/cluster/wishes_codec.h"

namespace blixard::cluster {

namespace {

std::unexpected<Error> invalid_record(const char* field) {
  return fail(Code::kDataLoss, "snapshot_invalid", field);
}

std::unexpected<Error> invalid_record(const char* record, const Error& error) {
  return fail(Code::kDataLoss, "snapshot_invalid", record + (": " + error.message()));
}

// Of a RegisterNode and of a record, which have the same fields. What is too many for the model is
// too many for check_node() as well.
void read_offers(const auto& message, Node& node) {
  node.disk_mib = message.capacity().disk_mib();
  node.network_mbit = message.capacity().network_mbit();
  node.counters = read_counters(message.capacity().counters());
  for (const v1::DeviceGroup& group : message.capacity().devices()) {
    node.devices.push_back(
        {.kind = Name(group.kind()), .model = Name(group.model()), .count = group.count()});
  }
  node.architecture = message.architecture();
  node.kernel_version = message.kernel_version();
  node.hypervisors.assign(message.hypervisors().begin(), message.hypervisors().end());
  node.told_labels = read_labels(message.labels());
  node.topology = read_topology(message.topology());
  node.cost_per_hour_micro = message.cost_per_hour_micro();
  for (const std::string& image : message.images())
    node.images.emplace_back(image);
}

void write_offers(const Node& node, auto* out) {
  v1::NodeCapacity& capacity = *out->mutable_capacity();
  capacity.set_disk_mib(node.disk_mib);
  capacity.set_network_mbit(node.network_mbit);
  write_counters(node.counters, capacity.mutable_counters());
  for (const resources::DeviceGroup& group : node.devices) {
    v1::DeviceGroup* added = capacity.add_devices();
    added->set_kind(group.kind.text());
    added->set_model(group.model.text());
    added->set_count(group.count);
  }
  out->set_architecture(node.architecture);
  out->set_kernel_version(node.kernel_version);
  for (const std::string& hypervisor : node.hypervisors)
    out->add_hypervisors(hypervisor);
  write_labels(node.told_labels, out->mutable_labels());
  if (node.topology != Topology{}) write_topology(node.topology, out->mutable_topology());
  out->set_cost_per_hour_micro(node.cost_per_hour_micro);
  for (const Name& image : node.images)
    out->add_images(image.text());
}

Result<Drain> read_drain(const v1::DrainRecord& record) {
  const bool is_timed =
      record.since_unix_ms() > 0 && record.deadline_unix_ms() >= 0 && record.ended_unix_ms() >= 0;
  if (!is_timed) return invalid_record("node: drain: time");
  if (record.parallel() == 0 || record.parallel() > limits::kDrainParallel) {
    return invalid_record("node: drain: parallel");
  }
  if (!is_bounded_text(record.outcome(), limits::kReasonBytes)) {
    return invalid_record("node: drain: outcome");
  }
  return Drain{.since = WallTime{record.since_unix_ms()},
               .deadline = WallTime{record.deadline_unix_ms()},
               .parallel = record.parallel(),
               .ended = WallTime{record.ended_unix_ms()},
               .outcome = record.outcome()};
}

void write_drain(const Drain& drain, v1::DrainRecord* out) {
  out->set_since_unix_ms(drain.since.unix_ms);
  out->set_deadline_unix_ms(drain.deadline.unix_ms);
  out->set_parallel(drain.parallel);
  out->set_ended_unix_ms(drain.ended.unix_ms);
  out->set_outcome(drain.outcome);
}

Result<void> read_operators(const v1::NodeRecord& record, Node& node) {
  node.set_labels = read_labels(record.set_labels());
  auto taints = read_taints(record.taints());
  if (!taints) return invalid_record("node", taints.error());
  node.taints = std::move(*taints);
  node.cordoned = record.cordoned();
  if (record.has_drain()) {
    BLX_TRY(node.drain, read_drain(record.drain()));
  }
  node.revision = record.revision();
  return {};
}

}  // namespace

Result<Node> read_registration(const v1::RegisterNode& command, std::uint32_t version) {
  Node node{.id = NodeId(command.node_id()),
            .name = Name(command.name()),
            .vcpus = command.capacity().vcpus(),
            .memory_mib = command.capacity().memory_mib(),
            .accelerator = command.accelerator(),
            .tsc_khz = command.tsc_khz(),
            .version = command.version(),
            .model_version = std::max(command.model_version(), kUntoldModelVersion)};
  if (version >= kPlacementVersion) read_offers(command, node);
  if (version >= kStartVersion) node.hypervisor_version = command.hypervisor_version();
  BLX_TRY(check_node(node));
  return node;
}

void write_registration(const Node& node, v1::RegisterNode* out) {
  out->set_node_id(node.id.value);
  out->set_name(node.name.text());
  out->mutable_capacity()->set_vcpus(node.vcpus);
  out->mutable_capacity()->set_memory_mib(node.memory_mib);
  out->set_accelerator(node.accelerator);
  out->set_tsc_khz(node.tsc_khz);
  out->set_version(node.version);
  out->set_model_version(node.model_version);
  write_offers(node, out);
  out->set_hypervisor_version(node.hypervisor_version);
}

Result<Node> read_node(const v1::NodeRecord& record) {
  // A record of model version 1 has no role: every node was a server.
  const auto role =
      record.role() == v1::NODE_ROLE_UNSPECIFIED ? NodeRole::kServer : read_role(record.role());
  if (!role) return invalid_record("node: role");
  Digest key_digest{};
  if (!record.key_digest().empty()) {
    const auto digest = read_digest(record.key_digest());
    if (!digest) return invalid_record("node: key_digest");
    key_digest = *digest;
  }
  if (auto address = check_peer_address(record.peer_address());
      !address && !record.peer_address().empty()) {
    return invalid_record("node", address.error());
  }
  Node node{.id = NodeId(record.id()),
            .name = Name(record.name()),
            .role = *role,
            .peer_address = record.peer_address(),
            .key_digest = key_digest,
            .leaving = record.leaving(),
            .vcpus = record.capacity().vcpus(),
            .memory_mib = record.capacity().memory_mib(),
            .accelerator = record.accelerator(),
            .tsc_khz = record.tsc_khz(),
            .version = record.version(),
            .model_version = std::max(record.model_version(), kUntoldModelVersion),
            .registered = WallTime{record.registered_unix_ms()}};
  read_offers(record, node);
  node.hypervisor_version = record.hypervisor_version();
  BLX_TRY(read_operators(record, node));
  if (auto checked = check_node(node); !checked) return invalid_record("node", checked.error());
  return node;
}

void write_node(const Node& node, v1::NodeRecord* out) {
  out->set_id(node.id.value);
  out->set_name(node.name.text());
  out->mutable_capacity()->set_vcpus(node.vcpus);
  out->mutable_capacity()->set_memory_mib(node.memory_mib);
  out->set_accelerator(node.accelerator);
  out->set_tsc_khz(node.tsc_khz);
  out->set_version(node.version);
  if (node.model_version != kUntoldModelVersion) out->set_model_version(node.model_version);
  out->set_registered_unix_ms(node.registered.unix_ms);
  out->set_role(write_role(node.role));
  out->set_peer_address(node.peer_address);
  if (node.key_digest != Digest{}) out->set_key_digest(write_digest(node.key_digest));
  out->set_leaving(node.leaving);
  write_offers(node, out);
  write_labels(node.set_labels, out->mutable_set_labels());
  write_taints(node.taints, out->mutable_taints());
  out->set_cordoned(node.cordoned);
  if (node.drain.is_set()) write_drain(node.drain, out->mutable_drain());
  out->set_revision(node.revision);
  out->set_hypervisor_version(node.hypervisor_version);
}

}  // namespace blixard::cluster

#pragma once

// For tests of the model and of what is built on it: a state driven by commands written as text.
//
//   Scenario cluster;
//   cluster.apply(R"(remove_image { name: "alpine" })");
//
// Indexes and times count up by themselves, and every change is kept. Header only, so that nothing
// of it is in the product.

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <google/protobuf/text_format.h>

#include "base/assert.h"
#include "blixard/v1/cluster.pb.h"
#include "core/cluster/state.h"

namespace blixard::cluster {

class Scenario {
 public:
  State state;
  std::vector<Change> changes;
  // That commands are stamped with; an older one is what an older program would have said.
  std::uint32_t version = kModelVersion;

  // In text format; version and time are filled in where the text has none.
  static v1::Command command(std::string_view text) {
    v1::Command command;
    const bool parsed = google::protobuf::TextFormat::ParseFromString(std::string(text), &command);
    BLX_ASSERT(parsed);
    if (command.version() == 0) command.set_version(kModelVersion);
    return command;
  }

  Result<Outcome> apply(std::string_view text) { return apply(command(text)); }
  Result<Outcome> apply(v1::Command command) {
    ++index_;
    if (command.time_unix_ms() == 0) {
      command.set_time_unix_ms(static_cast<std::int64_t>(index_) * 1000);
    }
    if (version != kModelVersion) command.set_version(version);
    return state.apply(LogIndex(index_), command,
                       [this](const Change& change) { changes.push_back(change); });
  }

  Result<Outcome> add_node(std::uint64_t id, std::uint32_t vcpus, std::uint32_t memory_mib,
                           const std::string& accelerator = "") {
    v1::Command command;
    command.set_version(kModelVersion);
    auto& node = *command.mutable_register_node();
    node.set_node_id(id);
    node.set_name("n" + std::to_string(id));
    node.mutable_capacity()->set_vcpus(vcpus);
    node.mutable_capacity()->set_memory_mib(memory_mib);
    node.set_accelerator(accelerator);
    return apply(std::move(command));
  }

  // A scenario whose cluster has a founder, node 1 "n1", without capacity yet.
  static Scenario founded() {
    Scenario cluster;
    Uuid id;
    id.bytes.fill(0xc1);
    auto state = State::found({.cluster = id, .name = "n1", .peer_address = "10.0.0.1:7481"});
    BLX_ASSERT(state.has_value());
    cluster.state = std::move(*state);
    return cluster;
  }

  static v1::Command token_command(std::uint64_t id, std::int64_t lifetime_ms,
                                   v1::NodeRole role = v1::NODE_ROLE_SERVER) {
    v1::Command command;
    command.set_version(kModelVersion);
    auto& token = *command.mutable_create_token();
    token.set_token_id(id);
    token.set_secret_hash(std::string(32, static_cast<char>('a' + id % 26)));
    token.set_role(role);
    token.set_lifetime_ms(lifetime_ms);
    return command;
  }
  // With the secret that belongs to the token.
  static v1::Command enrol_command(std::uint64_t token, const std::string& name, char key = 'k') {
    v1::Command command;
    command.set_version(kModelVersion);
    auto& node = *command.mutable_enrol_node();
    node.set_token_id(token);
    node.set_secret_hash(std::string(32, static_cast<char>('a' + token % 26)));
    node.set_name(name);
    node.set_peer_address("10.0.0.2:7481");
    node.set_key_digest(std::string(32, key));
    return command;
  }
  Result<Outcome> enrol(std::uint64_t token, const std::string& name, char key = 'k') {
    return apply(enrol_command(token, name, key));
  }

  // What a cluster begins with when nobody has to join: nodes 1 "n1" and so on at these addresses,
  // of which the first `voters` are voters and the others no part of consensus yet.
  static State first_state(const std::vector<std::string>& addresses, std::size_t voters) {
    auto state = State::found(
        {.cluster = Uuid::from_random(1, 2), .name = "n1", .peer_address = addresses.front()});
    BLX_ASSERT(state.has_value());
    raft::ConfState configuration;
    for (std::size_t id = 1; id <= addresses.size(); ++id) {
      if (id > 1) {
        BLX_ASSERT(state->apply(LogIndex(1), token_command(id, 1000), nullptr).has_value());
        v1::Command command = enrol_command(id, "n" + std::to_string(id), static_cast<char>(id));
        command.mutable_enrol_node()->set_peer_address(addresses[id - 1]);
        const auto enrolled = state->apply(LogIndex(1), command, nullptr);
        BLX_ASSERT(enrolled && enrolled->object_id == id);
      }
      if (id <= voters) configuration.voters.emplace_back(id);
    }
    BLX_ASSERT(state->apply_configuration(LogIndex(1), configuration, {}, nullptr).has_value());
    return std::move(*state);
  }

  // In the next entry.
  Result<Outcome> configure(std::vector<NodeId> voters, std::vector<NodeId> learners = {},
                            const v1::Command* command = nullptr) {
    ++index_;
    return state.apply_configuration(
        LogIndex(index_), {.voters = std::move(voters), .learners = std::move(learners)},
        command == nullptr ? std::string() : command->SerializeAsString(),
        [this](const Change& change) { changes.push_back(change); });
  }

  Result<Outcome> add_image(const std::string& name) {
    v1::Command command;
    command.set_version(kModelVersion);
    auto& image = *command.mutable_add_image();
    image.set_name(name);
    auto& file = *image.add_files();
    file.set_name("vmlinux");
    file.set_bytes(4096);
    file.set_digest(std::string(32, 'd'));
    return apply(std::move(command));
  }

  // From image "alpine", with a uuid of its own for each name.
  static v1::Command create_command(const std::string& name, std::uint32_t vcpus,
                                    std::uint32_t memory_mib, std::uint32_t host_port = 0) {
    v1::Command command;
    command.set_version(kModelVersion);
    auto& vm = *command.mutable_create_vm();
    vm.set_name(name);
    vm.set_desired(v1::VM_DESIRED_RUNNING);
    std::string uuid = name;
    uuid.resize(16, '.');
    vm.set_uuid(uuid);
    vm.mutable_spec()->set_image("alpine");
    vm.mutable_spec()->set_vcpus(vcpus);
    vm.mutable_spec()->set_memory_mib(memory_mib);
    if (host_port != 0) {
      auto& port = *vm.mutable_spec()->add_published_ports();
      port.set_host_port(host_port);
      port.set_guest_port(80);
    }
    return command;
  }
  // With a PlacementSpec in text format.
  static v1::Command create_command(const std::string& name, const std::string& placement,
                                    std::uint32_t vcpus, std::uint32_t memory_mib) {
    v1::Command command = create_command(name, vcpus, memory_mib);
    const bool parsed = google::protobuf::TextFormat::ParseFromString(
        placement, command.mutable_create_vm()->mutable_spec()->mutable_placement());
    BLX_ASSERT(parsed);
    return command;
  }
  Result<Outcome> create(const std::string& name, std::uint32_t vcpus = 1,
                         std::uint32_t memory_mib = 128, std::uint32_t host_port = 0) {
    return apply(create_command(name, vcpus, memory_mib, host_port));
  }

  // With the generation the VM has now.
  v1::PlaceVm placement(const std::string& name, std::uint64_t node) const {
    const Vm* vm = state.find_vm(name);
    v1::PlaceVm placement;
    placement.set_vm_id(vm->id.value);
    placement.set_generation(vm->generation.value);
    placement.set_node_id(node);
    return placement;
  }
  v1::Command place_command(const std::string& name, std::uint64_t node) const {
    v1::Command command;
    command.set_version(kModelVersion);
    *command.mutable_place_vm() = placement(name, node);
    return command;
  }
  Result<Outcome> place(const std::string& name, std::uint64_t node) {
    return apply(place_command(name, node));
  }
  v1::Command gang_command(
      const std::vector<std::pair<std::string, std::uint64_t>>& placements) const {
    v1::Command command;
    command.set_version(kModelVersion);
    command.mutable_place_gang();
    for (const auto& [name, node] : placements)
      *command.mutable_place_gang()->add_placements() = placement(name, node);
    return command;
  }
  v1::Command evict_command(const std::string& name, v1::EvictCause cause,
                            const std::string& by = "") const {
    v1::Command command;
    command.set_version(kModelVersion);
    auto& evict = *command.mutable_evict_vm();
    evict.set_vm_id(state.find_vm(name)->id.value);
    evict.set_generation(state.find_vm(name)->generation.value);
    evict.set_cause(cause);
    if (!by.empty()) evict.set_by_vm_id(state.find_vm(by)->id.value);
    return command;
  }

  // From the node the VM is on, at its generation.
  Result<Outcome> report(const std::string& name, v1::VmState seen, bool released = false) {
    const Vm* vm = state.find_vm(name);
    v1::Command command;
    command.set_version(kModelVersion);
    command.mutable_report_vms()->set_node_id(vm->node.value);
    auto& report = *command.mutable_report_vms()->add_reports();
    report.set_vm_id(vm->id.value);
    report.set_generation(vm->generation.value);
    report.set_state(seen);
    report.set_released(released);
    return apply(std::move(command));
  }

  Result<Outcome> desire(const std::string& name, v1::VmDesired desired) {
    v1::Command command;
    command.set_version(kModelVersion);
    command.mutable_set_desired()->set_name(name);
    command.mutable_set_desired()->set_desired(desired);
    return apply(std::move(command));
  }

 private:
  std::uint64_t index_ = 0;
};

}  // namespace blixard::cluster

#pragma once

// For tests of guests that are saved: three nodes, and what the node of VM "web" says of it.

#include <string>
#include <string_view>
#include <utility>

#include <gtest/gtest.h>

#include "core/cluster/test_apply.h"

namespace blixard::cluster {

// In text format; with one of its fields otherwise.
inline std::string guest(std::string_view field = "", const std::string& value = "") {
  std::string text;
  const std::pair<std::string_view, std::string> fields[] = {
      {"digest", "'01234567890123456789012345678901'"},
      {"bytes", "4096"},
      {"accelerator", "'kvm'"},
      {"hypervisor_version", "'7.2.22'"},
      {"tsc_khz", "2000000"},
      {"saved_unix_ms", "77"},
  };
  for (const auto& [name, usual] : fields)
    text += std::string(name) + ": " + (name == field ? value : usual) + " ";
  return "saved { " + text + "}";
}

// Nodes 1 and 2 are alike; node 3 has another hypervisor.
class Saved : public Apply {
 protected:
  void SetUp() override {
    Apply::SetUp();
    for (const std::uint64_t id : {1, 2, 3})
      add_host(id, id == 3 ? "8.0" : "7.2.22", 2'000'000);
    cluster_.changes.clear();
  }

  void add_host(std::uint64_t id, const std::string& version, std::uint64_t tsc_khz) {
    must("register_node { node_id: " + std::to_string(id) + " name: 'n" + std::to_string(id) +
         "' capacity { vcpus: 4 memory_mib: 1024 } accelerator: 'kvm' hypervisor_version: '" +
         version + "' tsc_khz: " + std::to_string(tsc_khz) + " }");
  }

  static std::string desired_command(const std::string& desired, const std::string& name = "web") {
    return "set_desired { name: '" + name + "' desired: VM_DESIRED_" + desired + " }";
  }
  void desire(const std::string& desired) { must(desired_command(desired)); }
  void expect_no(const std::string& desired, std::string_view reason) {
    expect_refused(desired_command(desired), Code::kFailedPrecondition, reason);
  }

  // Of web, from its node, at its generation.
  std::string report_command(const std::string& rest) {
    return "report_vms { node_id: " + std::to_string(vm("web").node.value) +
           " reports { vm_id: " + std::to_string(vm("web").id.value) +
           " generation: " + std::to_string(vm("web").generation.value) + " " + rest + " } }";
  }
  void report(const std::string& rest) { must(report_command(rest)); }
  void report_saved() { report("state: VM_STATE_SUSPENDED released: true " + guest()); }

  void make_running() { make("web", {v1::VM_STATE_STARTING, v1::VM_STATE_RUNNING}); }
  void make_suspended() {
    make_running();
    desire("SUSPENDED");
    report_saved();
    ASSERT_EQ(vm("web").state, VmState::kSuspended);
  }
  void make_snapshot() {
    make_running();
    must("take_snapshot { name: 'web' }");
    report("state: VM_STATE_RUNNING snapshot { number: 1 " + guest() + " }");
    ASSERT_TRUE(vm("web").saves->snapshot);
  }
};

}  // namespace blixard::cluster

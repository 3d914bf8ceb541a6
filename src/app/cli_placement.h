#pragma once

// The words about placement on the command line: what `vm create` may ask of a node, what operators
// say of nodes, the policy, groups, tenants and reservations.

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include "app/cli.h"

namespace blixard::app {

// Turns one of our parsers into a check whose message the user sees.
template <class Parse>
CLI::Validator checked_by(Parse parse, const char* form) {
  return CLI::Validator(
      [parse](const std::string& text) {
        const auto parsed = parse(text);
        return parsed ? std::string() : std::string(parsed.error().detail());
      },
      form, form);
}

class PlacementWords {
 public:
  // Adds a subcommand that, when it is given, makes what the function returns the command.
  using Add = std::function<CLI::App*(CLI::App& parent, const char* name, const char* what,
                                      std::function<Action()> chosen)>;

  explicit PlacementWords(Add add) : add_(std::move(add)) {}

  void add_to_create(CLI::App& create);
  void add_to_vm(CLI::App& vm);
  void add_to_node(CLI::App& node);
  void add_to_program(CLI::App& app);

  // Of `vm create`. Errors: kInvalidArgument.
  [[nodiscard]] Result<cluster::Wishes> wishes() const;

 private:
  // As they were given.
  struct Asked {
    std::string cpu;
    bool dedicated_cpus = false;
    std::string disk;
    std::uint32_t network_mbit = 0;
    std::vector<std::string> devices;
    std::vector<std::string> counters;
    std::string tenant;
    std::uint32_t priority = cluster::kPriorityDefault;
    bool preemptible = false;
    std::string on_evict = "move";
    std::vector<std::string> groups;
    std::vector<std::string> constraints;
    std::vector<std::string> preferences;
    std::vector<std::string> tolerations;
    std::string datacenter;
    std::string zone;
    bool strict_locality = false;
    std::vector<std::string> excluded_datacenters;
    std::uint32_t max_latency_ms = 0;
    std::string strategy;
    std::string node;
  };

  template <class T>
  CLI::App* add(CLI::App& parent, const char* name, const char* what, T& bound) {
    return add_(parent, name, what, [&bound] { return Action(bound); });
  }
  void add_resources(CLI::App& create);
  void add_wishes(CLI::App& create);
  void add_locality(CLI::App& create);
  void add_drain(CLI::App& node);
  void add_plan(CLI::App& app);
  void add_policy(CLI::App& app);
  void add_groups(CLI::App& app);
  void add_tenants(CLI::App& app);
  void add_reservations(CLI::App& app);

  Add add_;
  Asked asked_;
  NodeUpdate label_, unlabel_, taint_, untaint_, cordon_, uncordon_;
  NodeShow node_show_;
  VmExplain explain_;
  PlanCommand plan_;
  NodeDrain drain_, undrain_;
  bool drain_in_background_ = false;
  PolicyCommand policy_;
  GroupCommand group_list_, group_set_, group_delete_;
  TenantCommand tenant_list_, tenant_set_, tenant_delete_;
  ReservationCommand reservation_list_, reservation_set_, reservation_delete_;
};

}  // namespace blixard::app

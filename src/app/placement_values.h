#pragma once

// What is said about placement on the command line and in the configuration file, as people write
// it: labels, devices, counters, constraints. What is refused says how it is written.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "core/cluster/model.h"
#include "core/cluster/policy.h"

namespace blixard::app {

// "disk=ssd,team=blue"; "" has none. Errors: kInvalidArgument.
Result<std::vector<cluster::Label>> parse_labels(std::string_view text);
// Of a node: "gpu:a100:4,fpga::1", as KIND:MODEL:COUNT. Errors: kInvalidArgument.
Result<std::vector<resources::DeviceGroup>> parse_device_groups(std::string_view text);
// "licence:10,slot:3". Errors: kInvalidArgument.
Result<std::vector<resources::Counter>> parse_counters(std::string_view text);
// Of a VM: "gpu:2", "gpu:0.5" or "gpu:1:a100|t4", as KIND:COUNT:MODELS. Errors: kInvalidArgument.
Result<resources::DeviceNeed> parse_device_need(std::string_view text);
// "200GiB", "2TiB", "512MiB". Errors: kInvalidArgument.
Result<std::int64_t> parse_disk_mib(std::string_view text);
// "1.25" in millionths. Errors: kInvalidArgument.
Result<std::int64_t> parse_cost_micro(std::string_view text);
// "0.5" or "2" vCPUs, in thousandths. Errors: kInvalidArgument.
Result<std::uint32_t> parse_cpu_milli(std::string_view text);

// "architecture=x86_64", "label.disk!=hdd", "zone in a,b", "zone not-in a,b", "vcpus>=8",
// "kernel version>=6.1", "kernel version<7", "name~web-[0-9]+", "label.gpu" (there is one),
// "!label.old". Errors: kInvalidArgument.
Result<cluster::Constraint> parse_constraint(std::string_view text);
// A constraint and what it is worth: "zone=a:50". Errors: kInvalidArgument.
Result<cluster::Preference> parse_preference(std::string_view text);
// "KEY", "KEY=VALUE", each with ":refuse" or ":avoid" behind it; refuse without. Errors:
// kInvalidArgument.
Result<cluster::Taint> parse_taint(std::string_view text);
// "KEY" or "KEY=VALUE". Errors: kInvalidArgument.
Result<cluster::Toleration> parse_toleration(std::string_view text);

// "spread:node:1", "together:zone", "near:db:zone", "away:db:node"; a soft one ends in ":soft=50".
// Errors: kInvalidArgument.
Result<cluster::GroupRule> parse_rule(std::string_view text);
// "5/h", "10/m" or "50/s", with ":BURST" behind it; without one the burst is that number. Errors:
// kInvalidArgument.
Result<cluster::Rate> parse_rate(std::string_view text);
// "moderate", or "200/120/110/15": of CPU, memory and disk, and the reserve. Errors:
// kInvalidArgument.
Result<resources::Overcommit> parse_overcommit(std::string_view text);
// "off", or "20:10": from 20 % of imbalance on, 10 moves an hour. Errors: kInvalidArgument.
Result<cluster::RebalancePolicy> parse_rebalance(std::string_view text);
// A whole number. Errors: kInvalidArgument.
Result<std::uint32_t> parse_count(std::string_view text);
// "fra:ams:9", in milliseconds. Errors: kInvalidArgument.
Result<cluster::Latency> parse_latency(std::string_view text);
// "node", "rack", "zone", "datacenter".
std::optional<cluster::TopologyLevel> parse_level(std::string_view text);

// "=", "version>=": between the attribute and its values.
std::string_view op_text(cluster::ConstraintOp op);
// As parse_constraint() reads it.
std::string constraint_text(const cluster::Constraint& constraint);

}  // namespace blixard::app

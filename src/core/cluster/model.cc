#include "core/cluster/model.h"

#include <algorithm>
#include <functional>
#include <initializer_list>
#include <set>

#include <fmt/format.h>

#include "base/limits.h"
#include "core/cluster/reasons.h"
#include "core/cluster/text.h"

namespace blixard::cluster {

namespace {

using enum VmState;

constexpr std::uint16_t bit(VmState state) {
  return static_cast<std::uint16_t>(1u << static_cast<unsigned>(state));
}

constexpr std::uint16_t set_of(std::initializer_list<VmState> states) {
  std::uint16_t set = 0;
  for (const VmState state : states)
    set = static_cast<std::uint16_t>(set | bit(state));
  return set;
}

// Which states may follow, at the state's own number.
constexpr std::array<std::uint16_t, 12> kFollowers = {
    0,
    /* pending   */ set_of({kPlaced}),
    /* placed    */ set_of({kStarting, kStopped, kFailed, kLost, kPending}),
    /* starting  */ set_of({kRunning, kStopping, kStopped, kFailed, kLost}),
    // Starting again is a restart in place, by the VM's policy.
    /* running   */
    set_of({kStopping, kStopped, kFailed, kLost, kPaused, kMigrating, kStarting, kSuspended}),
    /* stopping  */ set_of({kStopped, kFailed, kLost}),
    /* stopped   */ set_of({kStarting, kPending, kLost, kFailed}),
    /* failed    */ set_of({kStarting, kStopped, kPending, kLost}),
    /* lost      */ set_of({kRunning, kStopped, kFailed, kPending, kStarting}),
    /* paused    */ set_of({kRunning, kStopping, kStopped, kFailed, kLost, kSuspended}),
    /* migrating */ set_of({kRunning, kStopped, kFailed, kLost}),
    /* suspended */ set_of({kPending}),
};

bool is_name_byte(char byte) {
  return (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') || byte == '-';
}

// Of a file in an image: may become a path component, so neither "." nor ".." nor "a/b".
bool is_file_name(std::string_view name) {
  const auto allowed = [](char byte) {
    return is_name_byte(byte) || (byte >= 'A' && byte <= 'Z') || byte == '.' || byte == '_';
  };
  return !name.empty() && name.size() <= limits::kNameLength && name.front() != '.' &&
         std::ranges::all_of(name, allowed);
}

std::unexpected<Error> spec_fault(std::string detail) {
  return fail(Code::kInvalidArgument, reason::kSpecInvalid, std::move(detail));
}

Result<void> check_spec_ports(const std::vector<PublishedPort>& ports) {
  if (ports.size() > limits::kPublishedPorts) {
    return spec_fault(fmt::format("published_ports: {} of them, at most {} are possible",
                                  ports.size(), limits::kPublishedPorts));
  }
  std::set<std::uint16_t> taken;
  for (const PublishedPort& port : ports) {
    if (port.guest_port == 0)
      return spec_fault("published_ports: the guest's port must be 1-65535");
    if (port.host_port != 0 && !taken.insert(port.host_port).second) {
      return spec_fault(
          fmt::format("published_ports: host port {} is published twice", port.host_port));
    }
  }
  return {};
}

}  // namespace

void assign_again(Vm& vm, WallTime time) {
  vm.generation = vm.generation.next();
  vm.state = VmState::kPlaced;
  vm.reason.clear();
  vm.changed = time;
  end_snapshot(vm, "the VM was started anew");
}

void await_placement(Vm& vm, WallTime time) {
  vm.state = VmState::kPending;
  vm.reason = kWaitingForPlacement;
  vm.changed = time;
}

void unassign(Vm& vm) {
  vm.node = NodeId();
  vm.devices.clear();
  vm.evicting = false;
  vm.published_ports.clear();
  vm.pid = 0;
  vm.accelerator.clear();
  vm.restarts = 0;
  vm.start = {};
  end_snapshot(vm, "the VM left its node");
}

std::string_view state_name(VmState state) {
  switch (state) {
    case kPending:
      return "pending";
    case kPlaced:
      return "placed";
    case kStarting:
      return "starting";
    case kRunning:
      return "running";
    case kStopping:
      return "stopping";
    case kStopped:
      return "stopped";
    case kFailed:
      return "failed";
    case kLost:
      return "lost";
    case kPaused:
      return "paused";
    case kMigrating:
      return "migrating";
    case kSuspended:
      return "suspended";
  }
  return "unknown";
}

std::string_view desired_name(VmDesired desired) {
  switch (desired) {
    case VmDesired::kRunning:
      return "running";
    case VmDesired::kStopped:
      return "stopped";
    case VmDesired::kDeleted:
      return "deleted";
    case VmDesired::kPaused:
      return "paused";
    case VmDesired::kSuspended:
      return "suspended";
  }
  return "unknown";
}

std::string_view restart_name(RestartPolicy policy) {
  switch (policy) {
    case RestartPolicy::kNever:
      return "never";
    case RestartPolicy::kOnFailure:
      return "on-failure";
    case RestartPolicy::kAlways:
      return "always";
  }
  return "unknown";
}

std::optional<RestartPolicy> parse_restart(std::string_view name) {
  for (const auto policy :
       {RestartPolicy::kNever, RestartPolicy::kOnFailure, RestartPolicy::kAlways}) {
    if (name == restart_name(policy)) return policy;
  }
  return std::nullopt;
}

std::string_view role_name(NodeRole role) {
  switch (role) {
    case NodeRole::kServer:
      return "server";
    case NodeRole::kWorker:
      return "worker";
  }
  return "unknown";
}

std::optional<NodeRole> parse_role(std::string_view name) {
  for (const auto role : {NodeRole::kServer, NodeRole::kWorker}) {
    if (name == role_name(role)) return role;
  }
  return std::nullopt;
}

resources::Demand demand_of(const VmSpec& spec, const resources::Overcommit& overcommit) {
  const Wishes& wishes = *spec.wishes;
  constexpr std::int64_t kWhole = 100;
  std::int64_t cpu_milli = wishes.cpu_milli != 0 ? std::int64_t{wishes.cpu_milli}
                                                 : spec.vcpus * resources::kMilliPerCore;
  if (wishes.dedicated_cpus) cpu_milli = cpu_milli * overcommit.cpu_percent / kWhole;
  return {.amounts = {.cpu_milli = cpu_milli,
                      .memory_mib = spec.memory_mib,
                      .disk_mib = wishes.disk_mib,
                      .network_mbit = wishes.network_mbit},
          .counters = wishes.counters,
          .devices = wishes.devices};
}

resources::Supply supply_of(const Node& node) {
  return {.amounts = {.cpu_milli = node.vcpus * resources::kMilliPerCore,
                      .memory_mib = node.memory_mib,
                      .disk_mib = node.disk_mib,
                      .network_mbit = node.network_mbit},
          .counters = node.counters,
          .devices = node.devices};
}

resources::Supply offered_by(const Node& node, const resources::Overcommit& overcommit) {
  resources::Supply supply = supply_of(node);
  supply.amounts = resources::offered(supply.amounts, overcommit);
  return supply;
}

std::int64_t whole_vcpus(std::int64_t cpu_milli) {
  const std::int64_t rest = cpu_milli % resources::kMilliPerCore;
  return cpu_milli / resources::kMilliPerCore - (rest < 0 ? 1 : 0);
}

const std::string* label_of(const Node& node, std::string_view key) {
  for (const auto* labels : {&node.set_labels, &node.told_labels}) {
    const auto found = std::ranges::lower_bound(*labels, key, {}, &Label::key);
    if (found != labels->end() && found->key == key) return &found->value;
  }
  return nullptr;
}

std::string_view closed_text(const Node& node) {
  if (node.leaving) return "is being removed";
  if (node.drain.is_set()) return "is drained";
  return node.cordoned ? "is cordoned" : "";
}

bool takes_vms(const Node& node) { return closed_text(node).empty(); }

const Taint* refusing_taint(const Node& node, const Wishes& wishes) {
  const auto refuses = [&](const Taint& taint) {
    return taint.effect == TaintEffect::kRefuse &&
           std::ranges::none_of(wishes.tolerations,
                                [&](const Toleration& each) { return each.tolerates(taint); });
  };
  const auto found = std::ranges::find_if(node.taints, refuses);
  return found == node.taints.end() ? nullptr : &*found;
}

std::string_view cause_name(EvictCause cause) {
  switch (cause) {
    case EvictCause::kDrain:
      return "drain";
    case EvictCause::kPreemption:
      return "preemption";
    case EvictCause::kRebalance:
      return "rebalance";
  }
  return "unknown";
}

std::string_view on_evict_name(OnEvict on_evict) {
  return on_evict == OnEvict::kStop ? "stop" : "move";
}

Membership membership_in(const raft::ConfState& configuration, NodeId node) {
  const auto in = [&](const std::vector<NodeId>& nodes) {
    return std::ranges::find(nodes, node) != nodes.end();
  };
  if (in(configuration.voters) || in(configuration.voters_outgoing)) return Membership::kVoter;
  return in(configuration.learners) ? Membership::kLearner : Membership::kNone;
}

std::string_view membership_name(Membership membership) {
  switch (membership) {
    case Membership::kNone:
      return "joining";
    case Membership::kLearner:
      return "learner";
    case Membership::kVoter:
      return "voter";
  }
  return "unknown";
}

bool is_valid(const raft::ConfState& configuration) {
  const auto ordered = [](const std::vector<NodeId>& nodes) {
    return nodes.size() <= limits::kNodes && (nodes.empty() || nodes.front()) &&
           std::ranges::adjacent_find(nodes, std::greater_equal<>()) == nodes.end();
  };
  const auto apart = [](const std::vector<NodeId>& a, const std::vector<NodeId>& b) {
    return std::ranges::none_of(a, [&](NodeId id) { return std::ranges::binary_search(b, id); });
  };
  return ordered(configuration.voters) && ordered(configuration.learners) &&
         ordered(configuration.voters_outgoing) && ordered(configuration.learners_next) &&
         apart(configuration.voters, configuration.learners) &&
         apart(configuration.voters_outgoing, configuration.learners);
}

bool may_follow(VmState from, VmState to) {
  return (kFollowers.at(static_cast<std::size_t>(from)) & bit(to)) != 0;
}

std::string transition_text(VmState from, VmState to) {
  return fmt::format("{} -> {}", state_name(from), state_name(to));
}

Result<void> check_name(std::string_view name) {
  if (name.empty()) return fail(Code::kInvalidArgument, reason::kNameInvalid, "the name is empty");
  if (name.size() > limits::kNameLength) {
    return fail(
        Code::kInvalidArgument, reason::kNameInvalid,
        fmt::format("{} characters, at most {} are possible", name.size(), limits::kNameLength));
  }
  if (!std::ranges::all_of(name, is_name_byte)) {
    return fail(Code::kInvalidArgument, reason::kNameInvalid,
                fmt::format("{}: only a-z, 0-9 and - are possible",
                            bounded_text(name, limits::kNameLength)));
  }
  return {};
}

Result<void> check_spec(const VmSpec& spec) {
  if (auto image = check_name(spec.image); !image) {
    return spec_fault(fmt::format("image: {}", image.error().detail()));
  }
  if (spec.vcpus < 1 || spec.vcpus > limits::kVcpus) {
    return spec_fault(fmt::format("vcpus: {} is not between 1 and {}", spec.vcpus, limits::kVcpus));
  }
  if (spec.memory_mib < limits::kMemoryMibMin || spec.memory_mib > limits::kMemoryMibMax) {
    return spec_fault(fmt::format("memory_mib: {} is not between {} and {}", spec.memory_mib,
                                  limits::kMemoryMibMin, limits::kMemoryMibMax));
  }
  if (spec.stop_grace_seconds > limits::kStopGraceSecondsMax) {
    return spec_fault(fmt::format("stop_grace_seconds: {} is more than {}", spec.stop_grace_seconds,
                                  limits::kStopGraceSecondsMax));
  }
  BLX_TRY(check_spec_ports(spec.published_ports));
  if (spec.wishes.is_default()) return {};
  BLX_TRY(check_wishes(*spec.wishes));
  if (spec.wishes->cpu_milli > spec.vcpus * resources::kMilliPerCore) {
    return fail(Code::kInvalidArgument, reason::kPlacementInvalid,
                fmt::format("cpu_milli: {} is more than its {} vCPUs can use",
                            spec.wishes->cpu_milli, spec.vcpus));
  }
  return {};
}

Result<void> check_published(const std::vector<PublishedPort>& ports) {
  const bool whole = std::ranges::all_of(
      ports, [](const PublishedPort& port) { return port.host_port != 0 && port.guest_port != 0; });
  if (!whole || ports.size() > limits::kPublishedPorts) {
    return fail(Code::kInvalidArgument, reason::kReportInvalid, "published_ports");
  }
  return {};
}

Result<void> check_peer_address(std::string_view address) {
  const std::size_t colon = address.rfind(':');
  const auto is_digit = [](char byte) { return byte >= '0' && byte <= '9'; };
  if (!is_line(address, limits::kAddressBytes) || colon == std::string_view::npos || colon == 0 ||
      address.size() - colon < 2 || address.size() - colon > 6 ||
      !std::ranges::all_of(address.substr(colon + 1), is_digit)) {
    return fail(Code::kInvalidArgument, reason::kNodeInvalid, "peer_address: not HOST:PORT");
  }
  return {};
}

Result<void> check_image(const Image& image) {
  const auto fault = [](std::string field) {
    return fail(Code::kInvalidArgument, reason::kImageInvalid, std::move(field));
  };
  BLX_TRY(check_name(image.name));
  if (!is_line(image.architecture, limits::kWordBytes)) return fault("architecture");
  if (!is_line(image.kernel_version, limits::kWordBytes)) return fault("kernel_version");
  if (!is_line(image.cmdline, limits::kCmdlineBytes)) return fault("cmdline");
  if (image.files.empty()) return fault("files: there are none");
  if (image.files.size() > limits::kImageFiles) {
    return fault(fmt::format("files: {} of them, at most {} are possible", image.files.size(),
                             limits::kImageFiles));
  }
  std::set<std::string_view> names;
  for (const ImageFile& file : image.files) {
    if (!is_file_name(file.name)) {
      return fault("files: name " + bounded_text(file.name, limits::kNameLength));
    }
    if (!names.insert(file.name).second) return fault("files: two are named " + file.name);
    if (file.size.value == 0 || file.size.value > limits::kImageFileBytes) {
      return fault("files: size of " + file.name);
    }
  }
  return {};
}

}  // namespace blixard::cluster

#include "app/configuration.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "app/placement_values.h"
#include "base/limits.h"
#include "core/cluster/model.h"
#include "env/network.h"
#include "node/otlp/exporter.h"

namespace blixard::app {
namespace {

std::unexpected<Error> invalid(std::string detail) {
  return fail(Code::kInvalidArgument, "configuration_invalid", std::move(detail));
}

Result<void> any_text(std::string_view /*text*/) { return {}; }

Result<void> check_not_empty(std::string_view text) {
  if (text.empty()) return invalid("it is empty");
  return {};
}

Result<void> check_node_name(std::string_view text) {
  if (text.empty()) return {};
  if (!cluster::check_name(text)) return invalid("not a name: a-z, 0-9 and -, at most 63");
  return {};
}

Result<void> check_address(std::string_view text) {
  const auto endpoint = env::Endpoint::parse(text);
  if (!endpoint || endpoint->kind != env::Endpoint::Kind::kTcp) {
    return invalid("not an address: write it as 127.0.0.1:7480");
  }
  return {};
}
Result<void> check_address_or_off(std::string_view text) {
  return text == "off" ? Result<void>() : check_address(text);
}
Result<void> check_address_or_nothing(std::string_view text) {
  return text.empty() ? Result<void>() : check_address(text);
}

Result<void> check_collector(std::string_view text) {
  if (text.empty()) return {};
  if (const auto target = otlp::parse_endpoint(text); !target) {
    return std::unexpected(target.error());
  }
  return {};
}

// A value that one of our parsers takes, or none.
template <auto kParse>
Result<void> checked(std::string_view text) {
  if (const auto parsed = kParse(text); !parsed) return std::unexpected(parsed.error());
  return {};
}

Result<void> check_disk(std::string_view text) {
  return text.empty() ? Result<void>() : checked<parse_disk_mib>(text);
}
Result<void> check_cost(std::string_view text) {
  return text.empty() ? Result<void>() : checked<parse_cost_micro>(text);
}

std::vector<Key> node_keys() {
  using C = Configuration;
  return {
      {.name = "node.data",
       .flag = "--data",
       .help = "Directory of all that this node keeps.",
       .kind = TextKey{[](C& c) -> auto& { return c.data_directory; }, check_not_empty}},
      {.name = "node.name",
       .flag = "--name",
       .help = "Name of this node when it enters a cluster. Empty: the host's name.",
       .example = "\"n1\"",
       .kind = TextKey{[](C& c) -> auto& { return c.name; }, check_node_name}},
      {.name = "node.accelerator",
       .flag = "--accelerator",
       .help = "What runs guests: auto, kvm, or tcg, which is software emulation.",
       .kind = ChoiceKey{[](C& c) -> auto& { return c.accelerator; }, {"auto", "kvm", "tcg"}}},
      {.name = "node.stop_guests_on_exit",
       .flag = "--stop-guests-on-exit",
       .help = "Stop this node's VMs when the daemon ends. Otherwise they run on and the next "
               "daemon takes them over.",
       .kind = ToggleKey{[](C& c) -> auto& { return c.stop_guests_on_exit; }}},
      {.name = "node.templates_mib",
       .flag = "--templates-mib",
       .help = "Disk for saved guests, from which VMs start in a tenth of the time, in MiB. 0: all "
               "VMs boot.",
       .kind = CountKey{[](C& c) -> auto& { return c.templates_mib; }, 0,
                        limits::kTemplateFileBytes >> 20}},
      {.name = "node.standbys",
       .flag = "--standbys",
       .help =
           "Hypervisors that stand by for VMs that start from a saved guest, at most. Each has 20 "
           "to 60 MiB of memory. 0: none.",
       .kind = CountKey{[](C& c) -> auto& { return c.standbys; }, 0, 64}},
      {.name = "node.hypervisor",
       .flag = "--hypervisor",
       .help = "qemu; or simulated: guests are only pretended, for load tests and for trying a "
               "cluster.",
       .kind = ChoiceKey{[](C& c) -> auto& { return c.hypervisor; }, {"qemu", "simulated"}}},
      {.name = "node.simulated_boot_ms",
       .flag = "--simulated-boot",
       .help = "Milliseconds that a pretended guest boots.",
       .kind = CountKey{[](C& c) -> auto& { return c.simulated_boot_ms; }, 0, 600'000}},
      {.name = "node.simulated_vcpus",
       .flag = "--simulated-vcpus",
       .help = "Processors of a pretended host, each with 256 MiB of memory.",
       .kind = CountKey{[](C& c) -> auto& { return c.simulated_vcpus; }, 1, limits::kNodeVcpus}},
  };
}

std::vector<Key> offer_keys() {
  using C = Configuration;
  return {
      {.name = "node.datacenter",
       .flag = "--datacenter",
       .help = "Where the machine stands, for placement that spreads or stays near.",
       .example = "\"fra1\"",
       .kind = TextKey{[](C& c) -> auto& { return c.datacenter; }, check_node_name}},
      {.name = "node.zone",
       .flag = "--zone",
       .help = "A part of the datacenter that fails by itself.",
       .example = "\"fra1-a\"",
       .kind = TextKey{[](C& c) -> auto& { return c.zone; }, check_node_name}},
      {.name = "node.rack",
       .flag = "--rack",
       .help = "The rack, within the zone.",
       .example = "\"r12\"",
       .kind = TextKey{[](C& c) -> auto& { return c.rack; }, check_node_name}},
      {.name = "node.labels",
       .flag = "--labels",
       .help = "What VMs may ask for, as label.KEY. An operator's own labels come before them.",
       .example = "\"disk=ssd,team=blue\"",
       .kind = TextKey{[](C& c) -> auto& { return c.labels; }, checked<parse_labels>}},
      {.name = "node.disk",
       .help = "Disk that may be promised to VMs. Empty: the size of the one that holds node.data.",
       .example = "\"200GiB\"",
       .kind = TextKey{[](C& c) -> auto& { return c.disk; }, check_disk}},
      {.name = "node.network_mbit",
       .help = "Network that may be promised to VMs, in Mbit/s. 0: to none that ask for it.",
       .kind = CountKey{[](C& c) -> auto& { return c.network_mbit; }, 0, limits::kNetworkMbit}},
      {.name = "node.devices",
       .flag = "--devices",
       .help = "Devices that VMs may be given, as KIND:MODEL:COUNT. They are counted; handing them "
               "to the guest is the operator's.",
       .example = "\"gpu:a100:4,fpga::1\"",
       .kind = TextKey{[](C& c) -> auto& { return c.devices; }, checked<parse_device_groups>}},
      {.name = "node.counters",
       .help = "Anything else that is counted, as NAME:AMOUNT.",
       .example = "\"licence:10\"",
       .kind = TextKey{[](C& c) -> auto& { return c.counters; }, checked<parse_counters>}},
      {.name = "node.cost_per_hour",
       .help = "What the machine costs, in any money, for the strategy cost-optimized.",
       .example = "\"0.35\"",
       .kind = TextKey{[](C& c) -> auto& { return c.cost_per_hour; }, check_cost}},
  };
}

std::vector<Key> cluster_keys() {
  using C = Configuration;
  return {
      {.name = "cluster.bootstrap",
       .flag = "--bootstrap",
       .help =
           "Begin a new cluster with this node. Ignored once the data directory belongs to one.",
       .kind = ToggleKey{[](C& c) -> auto& { return c.bootstrap; }}},
      {.name = "cluster.join",
       .flag = "--join",
       .environment = "BLIXARD_JOIN",
       .help = "TOKEN@HOST:PORT: join the cluster of the server at that peer address. Ignored once "
               "joined.",
       .example = "\"TOKEN@192.0.2.7:7481\"",
       .secret = true,
       .kind = TextKey{[](C& c) -> auto& { return c.join; }, any_text}},
      {.name = "cluster.peer_listen",
       .flag = "--peer-listen",
       .help = "Address for the other nodes. The default is for nodes of one machine.",
       .kind = TextKey{[](C& c) -> auto& { return c.peer_listen; }, check_address}},
      {.name = "cluster.advertise",
       .flag = "--advertise",
       .help = "Address the other nodes reach this one at. Empty: that of cluster.peer_listen.",
       .example = "\"192.0.2.7:7481\"",
       .kind = TextKey{[](C& c) -> auto& { return c.advertise; }, check_address_or_nothing}},
      {.name = "cluster.snapshot_entries",
       .flag = "--snapshot-entries",
       .help = "A snapshot of the state is taken after so many entries of the log. Half as many "
               "stay behind it for nodes that are a little late.",
       .kind = CountKey{[](C& c) -> auto& { return c.snapshot_entries; }, 10, 1'000'000}},
  };
}

std::vector<Key> service_keys() {
  using C = Configuration;
  return {
      {.name = "api.listen",
       .flag = "--listen",
       .help = "Address of the API. off: the unix socket only.",
       .kind = TextKey{[](C& c) -> auto& { return c.listen; }, check_address_or_off}},
      {.name = "api.connections_max",
       .help = "Connections to the API at once. One more is told to come back later.",
       .at_run_time = true,
       .kind = CountKey{[](C& c) -> auto& { return c.connections_max; }, 1,
                        limits::kHttpConnectionsMost}},
      {.name = "api.event_streams_max",
       .help = "Clients that follow events at once.",
       .at_run_time = true,
       .kind = CountKey{[](C& c) -> auto& { return c.event_streams_max; }, 0,
                        limits::kEventStreamsMost}},
      {.name = "api.console_tail_bytes_max",
       .help = "Bytes of a VM's console in one answer, whatever is asked for.",
       .at_run_time = true,
       .kind = CountKey{[](C& c) -> auto& { return c.console_tail_bytes_max; }, 1,
                        limits::kLogTailBytes}},
      {.name = "log.level",
       .flag = "--log-level",
       .help = "Which lines are written: debug, info, warn or error, and all that are worse.",
       .at_run_time = true,
       .kind = ChoiceKey{[](C& c) -> auto& { return c.log_level; },
                         {"debug", "info", "warn", "error"}}},
      {.name = "telemetry.otlp_endpoint",
       .help = "Where traces and metrics are sent, by OTLP over HTTP. Empty: nowhere.",
       .example = "\"http://127.0.0.1:4318\"",
       .at_run_time = true,
       .kind = TextKey{[](C& c) -> auto& { return c.otlp_endpoint; }, check_collector}},
      {.name = "telemetry.trace_sample_ratio",
       .help = "The part of requests that are traced, from 0 to 1.",
       .at_run_time = true,
       .kind = RatioKey{[](C& c) -> auto& { return c.trace_sample_ratio; }}},
      {.name = "telemetry.count_allocations",
       .help = "Count what each part of the program asks of the allocator, for the metrics.",
       .at_run_time = true,
       .kind = ToggleKey{[](C& c) -> auto& { return c.count_allocations; }}},
  };
}

// The way to a value of a configuration that stays as it is.
template <class Kind>
const auto& value_at(const Kind& kind, const Configuration& configuration) {
  return kind.at(const_cast<Configuration&>(configuration));
}

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char letter : text) {
    if (letter == '"' || letter == '\\') out += '\\';
    out += letter;
  }
  return out + "\"";
}

template <class... Each>
struct Overloaded : Each... {
  using Each::operator()...;
};

observe::Level level_named(std::string_view name) {
  for (const auto level : {observe::Level::kDebug, observe::Level::kWarn, observe::Level::kError}) {
    if (observe::level_name(level) == name) return level;
  }
  return observe::Level::kInfo;
}

}  // namespace

env::Settings settings_of(const Configuration& configuration) {
  return {.log_level = level_named(configuration.log_level),
          .http_connections = configuration.connections_max,
          .event_streams = configuration.event_streams_max,
          .console_tail_bytes = configuration.console_tail_bytes_max,
          .otlp_endpoint = configuration.otlp_endpoint,
          .trace_sample_ratio = configuration.trace_sample_ratio,
          .count_allocations = configuration.count_allocations};
}

std::span<const Key> keys() {
  static const std::vector<Key> kKeys = [] {
    std::vector<Key> all;
    for (const auto& part : {node_keys(), offer_keys(), cluster_keys(), service_keys()})
      all.insert(all.end(), part.begin(), part.end());
    return all;
  }();
  return kKeys;
}

std::string value_text(const Key& key, const Configuration& configuration) {
  return std::visit(
      Overloaded{
          [&](const TextKey& kind) { return quoted(value_at(kind, configuration)); },
          [&](const ChoiceKey& kind) { return quoted(value_at(kind, configuration)); },
          [&](const CountKey& kind) { return fmt::format("{}", value_at(kind, configuration)); },
          [&](const RatioKey& kind) { return fmt::format("{}", value_at(kind, configuration)); },
          [&](const ToggleKey& kind) {
            return std::string(value_at(kind, configuration) ? "true" : "false");
          },
      },
      key.kind);
}

std::string shown_value(const Key& key, const Configuration& configuration) {
  std::string text = value_text(key, configuration);
  return key.secret && text != "\"\"" ? "(hidden)" : text;
}

std::string range_text(const Key& key) {
  return std::visit(
      Overloaded{
          [](const TextKey&) { return std::string("a text"); },
          [](const ChoiceKey& kind) {
            std::string text(kind.choices.front());
            for (std::size_t i = 1; i < kind.choices.size(); ++i) {
              text += i + 1 == kind.choices.size() ? " or " : ", ";
              text += kind.choices[i];
            }
            return text;
          },
          [](const CountKey& kind) { return fmt::format("from {} to {}", kind.least, kind.most); },
          [](const RatioKey&) { return std::string("from 0 to 1"); },
          [](const ToggleKey&) { return std::string("true or false"); },
      },
      key.kind);
}

Result<void> set_from_text(const Key& key, std::string_view text, Configuration& configuration) {
  if (text.size() > limits::kConfigurationTextBytes) {
    return invalid(fmt::format("a value has at most {} bytes", limits::kConfigurationTextBytes));
  }
  const auto refused = [&]() -> Result<void> { return invalid("it must be " + range_text(key)); };
  const auto read_number = [&](auto& number) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    return error == std::errc() && end == text.data() + text.size();
  };
  return std::visit(Overloaded{
                        [&](const TextKey& kind) -> Result<void> {
                          BLX_TRY(kind.check(text));
                          kind.at(configuration) = text;
                          return {};
                        },
                        [&](const ChoiceKey& kind) -> Result<void> {
                          if (std::ranges::find(kind.choices, text) == kind.choices.end())
                            return refused();
                          kind.at(configuration) = text;
                          return {};
                        },
                        [&](const CountKey& kind) -> Result<void> {
                          std::uint64_t number = 0;
                          if (!read_number(number) || number < kind.least || number > kind.most)
                            return refused();
                          kind.at(configuration) = number;
                          return {};
                        },
                        [&](const RatioKey& kind) -> Result<void> {
                          double number = 0;
                          // Also of what is no number at all.
                          if (!read_number(number) || !(number >= 0 && number <= 1))
                            return refused();
                          kind.at(configuration) = number;
                          return {};
                        },
                        [&](const ToggleKey& kind) -> Result<void> {
                          if (text != "true" && text != "false") return refused();
                          kind.at(configuration) = text == "true";
                          return {};
                        },
                    },
                    key.kind);
}

void copy_value(const Key& key, const Configuration& from, Configuration& to) {
  std::visit([&](const auto& kind) { kind.at(to) = value_at(kind, from); }, key.kind);
}

std::string origin_text(const Key& key, const Origin& origin, std::string_view path) {
  switch (origin.kind) {
    case Origin::Kind::kDefault:
      break;
    case Origin::Kind::kFile:
      return fmt::format("{}:{}", path, origin.line);
    case Origin::Kind::kEnvironment:
      return std::string(key.environment);
    case Origin::Kind::kOption:
      return std::string(key.flag);
  }
  return "default";
}

std::vector<std::size_t> differing(const Configuration& a, const Configuration& b) {
  std::vector<std::size_t> all;
  for (std::size_t i = 0; i < keys().size(); ++i) {
    if (value_text(keys()[i], a) != value_text(keys()[i], b)) all.push_back(i);
  }
  return all;
}

}  // namespace blixard::app

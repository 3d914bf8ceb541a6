#include "app/daemon.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <string_view>

#include <fmt/format.h>
#include <systemd/sd-daemon.h>

#include "app/failpoint_commands.h"
#include "app/log_sink.h"
#include "app/placement_values.h"
#include "app/reloader.h"
#include "app/version.h"
#include "core/wire/checksum.h"
#include "linux/runtime.h"
#include "node/node.h"
#include "node/vm/qemu/qemu_driver.h"
#include "node/vm/sim/pretended_host.h"
#include "observe/allocations.h"

namespace blixard::app {
namespace {

std::string absolute(const std::string& path) {
  if (path.starts_with('/')) return path;
  std::string here(4096, '\0');
  if (::getcwd(here.data(), here.size()) == nullptr) return path;
  return env::join_path(here.c_str(), path);
}

// Everything was checked when the configuration was read.
Result<node::Offer> offer_of(const Configuration& options) {
  node::Offer offer{.network_mbit = static_cast<std::int64_t>(options.network_mbit),
                    .topology = {.datacenter = Name(options.datacenter),
                                 .zone = Name(options.zone),
                                 .rack = Name(options.rack)}};
  if (!options.disk.empty()) {
    BLX_TRY(offer.disk_mib, parse_disk_mib(options.disk));
  }
  BLX_TRY(offer.counters, parse_counters(options.counters));
  BLX_TRY(offer.devices, parse_device_groups(options.devices));
  BLX_TRY(offer.labels, parse_labels(options.labels));
  if (!options.cost_per_hour.empty()) {
    BLX_TRY(offer.cost_per_hour_micro, parse_cost_micro(options.cost_per_hour));
  }
  return offer;
}

Result<node::Config> config_from(const Configuration& options) {
  node::Config config{.data_directory = absolute(options.data_directory),
                      .name = options.name,
                      .listen = std::nullopt,
                      .version = std::string(kVersion)};
  config.bootstrap = options.bootstrap;
  config.join = options.join;
  config.advertise = options.advertise;
  config.replica.snapshot_entries = options.snapshot_entries;
  config.replica.trailing_entries = options.snapshot_entries / 2;
  BLX_TRY(config.offer, offer_of(options));
  BLX_TRY(config.peer_listen, env::Endpoint::parse(options.peer_listen));
  if (options.listen != "off") {
    BLX_TRY(config.listen, env::Endpoint::parse(options.listen));
  }
  return config;
}

void announce(const node::Ready& ready) {
  std::fprintf(stderr, "ready: node %s (id %s, peers on %s) on unix:%s%s%s\n", ready.name.c_str(),
               std::to_string(ready.id.value).c_str(), ready.peer_listen.text().c_str(),
               ready.socket.c_str(), ready.listen ? " and " : "",
               ready.listen ? ready.listen->text().c_str() : "");
  ::sd_notify(0, "READY=1");
}

// The first signal stops in order; a second one while that lasts ends the process at once, which
// is safe too: the next daemon adopts what runs.
env::Task<void> stop_on_signal(linux_side::Runtime& runtime, node::Node& node,
                               node::StopGuests guests) {
  if (!co_await runtime.wait_for_stop_signal()) co_return;
  ::sd_notify(0, "STOPPING=1");
  node.stop(guests);
  if (!co_await runtime.wait_for_stop_signal()) co_return;
  ::_exit(kExitFailed);
}

int exit_code(const Result<void>& done) {
  if (done) return kExitDone;
  if (done.error().reason() == "removed") return kExitRemoved;
  return done.error().reason() == "no_cluster" ? kExitNoCluster : kExitFailed;
}

env::Task<void> reload_on_signal(linux_side::Runtime& runtime, Reloader& reloader) {
  // Without a file the signal is what it is to every program: the terminal is gone.
  if (!reloader.has_file()) co_return;
  while (co_await runtime.wait_for_reload_signal())
    ignore(reloader.reload(), "it is in the log");
}

env::Task<Result<void>> run_until_stopped(linux_side::Runtime& runtime, Reloader& reloader,
                                          node::Config config, vm::Driver& driver) {
  const env::Env env = runtime.env();
  const bool stops_guests = reloader.running().stop_guests_on_exit;
  config.settings = &reloader.settings();
  config.configuration = &reloader;
  node::Node node(env, std::move(config), driver);
  env::Scope scope(env.executor, co_await env::this_cancellation());
  scope.spawn(
      stop_on_signal(runtime, node, stops_guests ? node::StopGuests::kYes : node::StopGuests::kNo));
  scope.spawn(reload_on_signal(runtime, reloader));
  Result<void> done = co_await node.run(announce);
  scope.cancel();
  co_await scope.join();
  co_return done;
}

// Where each hypervisor keeps its guests, in the data directory.
constexpr std::string_view kQemuGuests = "vms";
constexpr std::string_view kPretendedGuests = "pretended-vms";

// Guests of the other hypervisor would be taken for ended ones, and their files be removed while
// they run.
env::Task<Result<void>> check_no_guests(env::Disk& disk, std::string directory,
                                        std::string_view hypervisor) {
  const auto guests = co_await disk.list(directory);
  if (!guests && guests.error().code() == Code::kNotFound) co_return Result<void>();
  BLX_CO_TRY(guests);
  // Each guest has a directory of its own.
  if (std::ranges::none_of(*guests, &env::DirectoryEntry::is_directory)) co_return Result<void>();
  co_return fail(Code::kFailedPrecondition, "hypervisor_changed",
                 fmt::format("{} has guests of {}: delete these VMs first, or use another --data",
                             directory, hypervisor));
}

env::Task<Result<void>> run_with_qemu(linux_side::Runtime& runtime, Reloader& reloader,
                                      node::Config config) {
  BLX_CO_TRY(co_await check_no_guests(runtime.env().disk,
                                      env::join_path(config.data_directory, kPretendedGuests),
                                      "hypervisor simulated"));
  const std::string& accelerator = reloader.running().accelerator;
  qemu::Options driver_options{.directory = env::join_path(config.data_directory, kQemuGuests)};
  if (accelerator == "kvm") driver_options.accelerator = vm::Accelerator::kKvm;
  if (accelerator == "tcg") driver_options.accelerator = vm::Accelerator::kTcg;
  config.templates = mib(reloader.running().templates_mib);
  config.standbys = reloader.running().standbys;
  qemu::QemuDriver driver(runtime.env(), std::move(driver_options));
  Result<void> done = co_await run_until_stopped(runtime, reloader, std::move(config), driver);
  co_await driver.close();
  co_return done;
}

env::Task<Result<void>> run_pretending(linux_side::Runtime& runtime, Reloader& reloader,
                                       node::Config config) {
  const env::Env env = runtime.env();
  BLX_CO_TRY(co_await check_no_guests(env.disk, env::join_path(config.data_directory, kQemuGuests),
                                      "hypervisor qemu"));
  const auto vcpus = static_cast<std::uint32_t>(reloader.running().simulated_vcpus);
  const std::chrono::milliseconds boot(reloader.running().simulated_boot_ms);
  BLX_LOG(env.log, kWarn,
          "hypervisor simulated: guests are PRETENDED, no VM of this node really runs");
  config.capacity = node::Capacity{.vcpus = vcpus, .memory_mib = vcpus * kSimulatedMemoryMib};
  vm_sim::PretendedHost host(env, env::join_path(config.data_directory, kPretendedGuests),
                             {.monitor = 1ms, .boot = boot});
  Result<void> done =
      co_await run_until_stopped(runtime, reloader, std::move(config), host.driver());
  co_await host.close();
  co_return done;
}

env::Task<void> run_node(linux_side::Runtime& runtime, Reloader& reloader, bool allow_failpoints,
                         int& code) {
  auto config = config_from(reloader.running());
  if (!config) {
    std::fprintf(stderr, "blixard: %s\n", config.error().message().c_str());
    co_return;
  }
  config->allow_failpoints = allow_failpoints;
  const Result<void> done =
      co_await (reloader.running().hypervisor == "simulated" ? run_pretending : run_with_qemu)(
          runtime, reloader, *std::move(config));
  if (!done) std::fprintf(stderr, "blixard: %s\n", done.error().message().c_str());
  code = exit_code(done);
}

Result<Effective> effective_of(const NodeOptions& options) {
  std::optional<ConfigurationFile> file;
  if (!options.config_file.empty()) {
    BLX_TRY(file, read_configuration_file(options.config_file));
  }
  return configure(file, options.given);
}

// Each data directory has groups of its own: daemons on one host must not take each other's
// guests for leftovers.
std::string group_root_of(const std::string& data_directory) {
  return "blixard-" + wire::hash128_hex(absolute(data_directory)).substr(0, 12);
}

}  // namespace

int run_daemon(const NodeOptions& options) {
  // What it would print about input it refuses, we answer to whoever sent it.
  google::protobuf::SetLogHandler(nullptr);
  auto effective = effective_of(options);
  if (!effective) {
    std::fprintf(stderr, "%s\n", std::string(effective.error().detail()).c_str());
    return kExitUsage;
  }
  const auto log = make_log_sink(settings_of(effective->values).log_level);
  if (const auto armed = arm_failpoints_of_environment(*log); !armed) {
    std::fprintf(stderr, "BLIXARD_FAILPOINTS: %s\n", armed.error().message().c_str());
    return kExitUsage;
  }
  linux_side::Runtime runtime(
      {.log = log.get(), .group_root = group_root_of(effective->values.data_directory)});
  observe::count_allocations(effective->values.count_allocations);
  Reloader reloader(options, *std::move(effective), *log);
  int code = kExitFailed;
  runtime.run(run_node(runtime, reloader, options.allow_failpoints, code));
  return code;
}

}  // namespace blixard::app

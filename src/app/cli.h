#pragma once

// The command line: parsed here, in one place (CLI11 is slow to compile), into a Command; carried
// out by the files beside it.

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "app/argument_values.h"
#include "app/configuration.h"
#include "base/result.h"
#include "base/units.h"
#include "core/cluster/wishes.h"

namespace blixard::app {

// Exit codes: 0 done; 1 it was refused or failed; 2 the command line itself is wrong.
inline constexpr int kExitDone = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;
inline constexpr int kExitRemoved = 3;    // of a daemon that the cluster removed: starting it again
                                          // is of no use
inline constexpr int kExitNoCluster = 4;  // of a daemon that is in no cluster and told of none

// A pretended host offers so much memory for each of its processors.
inline constexpr std::uint32_t kSimulatedMemoryMib = 256;

enum class OutputFormat : std::uint8_t { kTable, kJson };

// How to reach the daemon.
struct Connection {
  std::string socket;      // path; used when `address` is empty
  std::string address;     // "127.0.0.1:7480"
  std::string token_file;  // for `address`
};

// `blixard node`: where its configuration comes from (configuration.h).
struct NodeOptions {
  bool allow_failpoints = false;  // to be seen and armed over the API
  std::string config_file;        // empty: none
  std::vector<Given> given;       // by options and the environment
};

struct VmCreate {
  std::string name;
  std::string image;
  std::uint32_t vcpus = 1;
  std::uint32_t memory_mib = 128;
  std::vector<Publish> publish;
  std::string restart = "on-failure";
  std::uint32_t stop_grace_seconds = 5;
  bool start = true;
  cluster::Wishes wishes;
};

// One word on each of some VMs.
struct VmAction {
  enum class Kind : std::uint8_t {
    kStart,
    kStop,
    kDelete,
    kStatus,
    kPause,
    kResume,
    kSuspend,
    kSnapshot,
    kDeleteSnapshot,
    kRestore,
  };
  Kind kind = Kind::kStatus;
  std::vector<std::string> names;
};
struct VmExplain {
  std::string name;
};
// What would become of VMs, or what that is planned on.
struct PlanCommand {
  std::string file;             // of requests, "-": standard input
  std::string state_file;       // empty: on the cluster as it is
  std::string save_state_file;  // not empty: nothing is planned, the state goes there
};
struct VmLogs {
  std::string name;
  std::uint32_t tail_bytes = 64 * 1024;
};
struct ListCommand {
  enum class What : std::uint8_t { kVms, kImages, kNodes, kTokens };
  What what = What::kVms;
};
struct ImageBuild {
  std::string name = "guest";
  std::string output_directory;  // empty: a temporary one, removed after the import
  std::string cache_directory;
  bool import_after = true;
};
struct ImageImport {
  std::string path;
  std::string name;
};
struct ImageDelete {
  std::string name;
};
struct NodeAction {
  enum class Kind : std::uint8_t { kRemove, kPromote, kTransferLeader, kRotateCertificate };
  Kind kind = Kind::kRemove;
  std::string name;
  bool force = false;
};
// What operators say of a node; as placement_values.h reads it.
struct NodeUpdate {
  std::string name;
  std::vector<std::string> set_labels;
  std::vector<std::string> remove_labels;
  std::vector<std::string> set_taints;
  std::vector<std::string> remove_taints;
  std::optional<bool> cordoned;
};
struct NodeShow {
  std::string name;
};
struct NodeDrain {
  std::string name;
  std::string deadline = "10m";
  std::uint32_t parallel = 2;
  bool wait = true;
  bool cancel = false;
};
// Without anything: it is shown. What is empty stays.
struct PolicyCommand {
  std::string strategy;
  std::string overcommit;  // a preset, or CPU/MEMORY/DISK/RESERVE in percent
  std::string preemption;
  std::optional<std::uint32_t> preemption_grace_seconds;
  std::string rebalance;               // "off" or THRESHOLD%:MOVES, an hour
  std::vector<std::string> latencies;  // A:B:MS
  std::optional<std::uint32_t> cost_increase_percent;
  std::string spread;  // LEVEL or LEVEL:DOMAINS
};
enum class ListOrChange : std::uint8_t { kList, kSet, kDelete };
struct GroupCommand {
  ListOrChange what = ListOrChange::kList;
  std::string name;
  std::vector<std::string> rules;
  std::uint32_t gang = 0;
};
struct TenantCommand {
  ListOrChange what = ListOrChange::kList;
  std::string name;
  std::uint32_t vms = 0;
  std::uint32_t vcpus = 0;
  std::string memory;
  std::string disk;
  std::uint32_t vms_per_node = 0;
  std::string creates;  // N/UNIT or N/UNIT:BURST
  std::string starts;
  std::string deletes;
  std::uint32_t preemptions_per_hour = 0;
  std::uint32_t weight = 100;
};
struct ReservationCommand {
  ListOrChange what = ListOrChange::kList;
  std::string name;
  std::string tenant;
  std::string node;
  std::string cpu;
  std::string memory;
  std::string disk;
  std::uint32_t priority = cluster::kPriorityMax;
  std::string lifetime;  // "": until it is removed
};
struct TemplateCommand {
  ListOrChange what = ListOrChange::kList;
  std::string image;
  std::uint32_t vcpus = 1;
  std::string memory = "128MiB";
  std::string key;  // or how it begins
};
struct TokenCreate {
  std::string role = "server";
  std::string expires = "1h";
};
struct TokenRevoke {
  std::string id;
};
struct ConfigCheck {
  std::string path;
};
struct ConfigShow {
  std::string path;  // empty: that of the daemon
};
struct ConfigReload {};
struct ConfigExample {};
struct TraceList {};
struct TraceShow {
  std::string id;         // of a trace, or "-": read from standard input
  std::string html_path;  // empty: to the terminal
};
struct FailpointAction {
  enum class Kind : std::uint8_t { kList, kSet, kClear };
  Kind kind = Kind::kList;
  std::string name;
  std::string actions;
  std::uint64_t seed = 1;
};
struct StatusCommand {};
struct EventsCommand {};
struct DoctorCommand {
  std::string data_directory;
};
struct CompletionCommand {
  std::string shell;
};
// What is made of the declarations of our metrics (telemetry_text.h).
struct TelemetryCommand {
  enum class What : std::uint8_t { kMetrics, kDashboard, kAlerts };
  What what = What::kMetrics;
};

using Action =
    std::variant<NodeOptions, VmCreate, VmAction, VmLogs, ListCommand, ImageBuild, ImageImport,
                 ImageDelete, NodeAction, TokenCreate, TokenRevoke, ConfigCheck, ConfigShow,
                 ConfigReload, ConfigExample, FailpointAction, StatusCommand, EventsCommand,
                 DoctorCommand, CompletionCommand, TelemetryCommand, TraceList, TraceShow,
                 NodeUpdate, NodeShow, NodeDrain, PolicyCommand, GroupCommand, TenantCommand,
                 ReservationCommand, VmExplain, PlanCommand, TemplateCommand>;

struct Command {
  Connection connection;
  OutputFormat output = OutputFormat::kTable;
  bool verbose = false;  // say the traces of what was asked
  bool wait = false;
  std::string wait_timeout = "60s";
  Action action;
};

// The whole program but for its hidden subcommands.
int run_command_line(int argc, char** argv);

}  // namespace blixard::app

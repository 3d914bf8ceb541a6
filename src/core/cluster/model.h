#pragma once

// The replicated model: what the cluster knows, as plain values.
//
// Desired and observed are two fields of a VM. Users set what is desired; only the node that owns
// the VM reports what is observed, fenced by the generation of its assignment. Everything is kept
// in ordered containers, so that every node walks, encodes and hashes it in the same order.

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "base/name.h"
#include "base/result.h"
#include "base/units.h"
#include "core/cluster/shared.h"
#include "core/cluster/wishes.h"
#include "core/raft/types.h"
#include "core/resources/room.h"
#include "core/resources/supply.h"

namespace blixard::cluster {

// The newest that this program knows. Raised when a command or a field is added whose absence would
// make nodes disagree. Request fingerprints cover every field, so that in practice means: any field
// of a command.
//
// A program stops at a command that is too new for it, so nothing is said in a version that some
// node does not know: each node tells its own when it registers, and commands and snapshots have
// State::model_version(), the newest that all know. That is how a cluster is upgraded one node
// after the other. It never falls: a node with an older program than that cannot come back.
inline constexpr std::uint32_t kModelVersion = 5;
// The first with wishes of VMs, and all else of placement that operators decide.
inline constexpr std::uint32_t kPlacementVersion = 4;
// The first that tells how a VM was started, and that knows of guests that are paused or saved.
inline constexpr std::uint32_t kStartVersion = 5;
// Nodes of this one did not tell theirs.
inline constexpr std::uint32_t kUntoldModelVersion = 2;
inline constexpr std::uint32_t kModelVersionMost = 1'000'000;

using TokenId = Number<struct TokenIdTag>;    // of a token to join with
using Digest = std::array<std::uint8_t, 32>;  // BLAKE3

enum class VmDesired : std::uint8_t { kRunning = 1, kStopped, kDeleted, kPaused, kSuspended };

enum class VmState : std::uint8_t {
  kPending = 1,  // wanted, on no node yet; `reason` says why
  kPlaced,       // a node owns it and has not begun
  kStarting,
  kRunning,  // the guest's agent answered
  kStopping,
  kStopped,
  kFailed,  // `reason` holds the last lines of its output
  kLost,    // its node cannot be heard
  kPaused,  // the guest stands still, in the memory of its node
  kMigrating,
  kSuspended,  // its guest is saved, or was lost since, and it is on no node
};
inline constexpr std::array kVmStates = {
    VmState::kPending,  VmState::kPlaced,    VmState::kStarting,  VmState::kRunning,
    VmState::kStopping, VmState::kStopped,   VmState::kFailed,    VmState::kLost,
    VmState::kPaused,   VmState::kMigrating, VmState::kSuspended,
};

enum class RestartPolicy : std::uint8_t { kNever = 1, kOnFailure, kAlways };

struct PublishedPort {
  std::uint16_t host_port = 0;  // 0: chosen by the node
  std::uint16_t guest_port = 0;
  friend bool operator==(const PublishedPort&, const PublishedPort&) = default;
};

struct VmSpec {
  Name image;
  std::uint32_t vcpus = 1;
  std::uint32_t memory_mib = 128;
  std::vector<PublishedPort> published_ports;
  RestartPolicy restart = RestartPolicy::kOnFailure;
  std::uint32_t stop_grace_seconds = 5;
  Shared<Wishes> wishes;
  friend bool operator==(const VmSpec&, const VmSpec&) = default;
};

// What the VM takes of its node. With dedicated cores that depends on how often the others are
// promised theirs.
resources::Demand demand_of(const VmSpec& spec, const resources::Overcommit& overcommit);

// Why a VM had to leave a node, or has to.
enum class EvictCause : std::uint8_t { kDrain = 1, kPreemption, kRebalance };

struct Eviction {
  EvictCause cause = EvictCause::kDrain;
  Name by;                  // of a preemption: the VM that it made room for
  std::string explanation;  // for people
  WallTime since;
  NodeId from;
  NodeId target;  // where it is meant to go; none: wherever is best then
  friend bool operator==(const Eviction&, const Eviction&) = default;
};

// By a boot, as a clone of a template, or as the guest that was saved.
enum class VmStartKind : std::uint8_t { kCold = 1, kWarm, kResumed };

struct VmStart {
  VmStartKind kind = VmStartKind::kCold;
  std::uint32_t took_ms = 0;  // until the guest's agent answered
  std::string why;            // it was cold, for people; empty: nothing else was possible
  friend bool operator==(const VmStart&, const VmStart&) = default;
};

// A guest that was saved whole: one file, on the disk of one node.
struct SavedGuest {
  Digest digest{};  // of the file, which it is known by
  Bytes size;
  NodeId holder;
  Generation generation;  // whose guest it was
  // Of the host that it ran on: it goes on only where they are the same.
  std::string accelerator;
  std::string hypervisor_version;
  std::uint64_t tsc_khz = 0;
  WallTime saved;
  friend bool operator==(const SavedGuest&, const SavedGuest&) = default;
};

struct Saves {
  // What the next start goes on from. It is run once at most: the assignment that does says so in
  // the log before its guest runs, and whoever finds another one's mark boots.
  std::optional<SavedGuest> resume_from;
  Generation used_by;                  // none: nobody yet
  std::optional<SavedGuest> snapshot;  // until another takes its place or it is deleted
  // More asked for than done: one is under way, which is so only on a node.
  std::uint64_t snapshots_asked = 0;
  std::uint64_t snapshots_done = 0;
  std::string snapshot_error;  // of the last one done, for people; empty: it was made

  [[nodiscard]] bool is_snapshot_asked() const { return snapshots_asked != snapshots_done; }
  friend bool operator==(const Saves&, const Saves&) = default;
};

// The reason of a Pending VM until a plan has a better one.
inline constexpr std::string_view kWaitingForPlacement = "waiting for placement";

struct Vm {
  VmId id;
  Name name;
  Uuid uuid;
  VmSpec spec;
  VmDesired desired = VmDesired::kRunning;

  // None: not placed, which is so exactly while it is Pending or Suspended.
  NodeId node;
  Generation generation;             // grows with each assignment
  resources::DeviceNumbers devices;  // of its node, in the order of its needs
  // To leave its node: its agent stops the guest, gives it back, and it is Pending again.
  bool evicting = false;
  Shared<Eviction> eviction;  // the one under way, else the last

  VmState state = VmState::kPending;
  std::string reason;
  std::vector<PublishedPort> published_ports;
  std::int64_t pid = 0;
  std::string accelerator;
  std::uint32_t restarts = 0;
  Shared<VmStart> start;  // the last one on its node; the default: none was told
  Shared<Saves> saves;
  WallTime created;
  WallTime changed;
  friend bool operator==(const Vm&, const Vm&) = default;
};

// A server takes part in consensus, serves the API and issues certificates, and runs VMs; a worker
// only runs VMs.
enum class NodeRole : std::uint8_t { kServer = 1, kWorker };

// Moves the VMs of a node away. The node stays empty until the drain is cancelled.
struct Drain {
  WallTime since;  // 0: there is none
  WallTime deadline;
  std::uint32_t parallel = 1;  // VMs on their way at once
  WallTime ended;              // 0: under way
  std::string outcome;
  [[nodiscard]] bool is_set() const { return since.unix_ms != 0; }
  [[nodiscard]] bool is_under_way() const { return is_set() && ended.unix_ms == 0; }
  friend bool operator==(const Drain&, const Drain&) = default;
};

struct Label {
  std::string key;
  std::string value;
  friend bool operator==(const Label&, const Label&) = default;
};

// Where a node stands; empty: not told.
struct Topology {
  Name datacenter;
  Name zone;
  Name rack;
  friend bool operator==(const Topology&, const Topology&) = default;
};

struct Node {
  NodeId id;
  Name name;
  NodeRole role = NodeRole::kServer;
  std::string peer_address;  // where the other nodes reach it
  Digest key_digest{};       // of what it asked a certificate with; zero: the founder's
  bool leaving = false;      // being removed: nothing new is placed on it

  // As it said at its last start; zero and empty until the first.
  std::uint32_t vcpus = 0;
  std::uint32_t memory_mib = 0;
  std::string accelerator;
  std::uint64_t tsc_khz = 0;
  std::string version;
  std::uint32_t model_version = kUntoldModelVersion;
  WallTime registered;
  std::int64_t disk_mib = 0;
  std::int64_t network_mbit = 0;
  std::vector<resources::Counter> counters;  // by name
  std::vector<resources::DeviceGroup> devices;
  std::string architecture;
  std::string kernel_version;
  std::vector<std::string> hypervisors;
  std::vector<Label> told_labels;  // of its configuration; by key
  Topology topology;
  std::int64_t cost_per_hour_micro = 0;  // in millionths of what the operator counts in
  std::vector<Name> images;              // on its disk, by name
  std::string hypervisor_version;        // empty: not told

  // By operators.
  std::vector<Label> set_labels;  // by key; before those of its configuration
  std::vector<Taint> taints;      // by key
  bool cordoned = false;
  Drain drain;

  // Grows with every change of what is said of the node here, so that a plan made on the node as it
  // was is not carried out on another one. Not with what its VMs take.
  std::uint64_t revision = 0;
  friend bool operator==(const Node&, const Node&) = default;
};

// Lets one machine become a node, once.
struct Token {
  TokenId id;
  Digest secret_hash{};
  NodeRole role = NodeRole::kServer;
  WallTime created;
  WallTime expires;
  NodeId used_by;  // none: nobody yet
  friend bool operator==(const Token&, const Token&) = default;
};

// What a node is to consensus; follows from the configuration.
enum class Membership : std::uint8_t {
  kNone = 1,  // not in the configuration: a member that joins, or none at all
  kLearner,   // gets the log, has no vote
  kVoter,     // counts, also while a joint configuration is left
};

struct ImageFile {
  std::string name;
  Bytes size;
  Digest digest{};
  friend bool operator==(const ImageFile&, const ImageFile&) = default;
};

struct Image {
  ImageId id;
  Name name;
  std::string architecture;
  std::string kernel_version;
  std::string cmdline;
  std::vector<ImageFile> files;  // by name
  WallTime added;
  friend bool operator==(const Image&, const Image&) = default;
};

// What a command did, as its proposer is told. Success names the object it made or changed.
struct Outcome {
  LogIndex index;
  std::uint64_t object_id = 0;
};

// A new assignment to the node that it is on: its agent ends what is left of the one before, and
// reports of that are stale.
void assign_again(Vm& vm, WallTime time);
// Off its node, with nothing left of the assignment but its generation and what was saved.
void unassign(Vm& vm);

// Without a node, and to get one.
void await_placement(Vm& vm, WallTime time);

// There is to be a guest.
bool wants_to_run(VmDesired desired);
// Null: the next start of the VM is of no saved guest.
const SavedGuest* resumes_from(const Vm& vm);
// The guest that is on its node was saved, to go on elsewhere: it does not run again there.
bool is_saved_away(const Vm& vm);
// Whether the guest may go on there. Two measurements of one clock differ by a few parts in a
// million.
bool fits(const SavedGuest& saved, const Node& node);
std::string host_text(const SavedGuest& saved);  // "kvm, hypervisor 7.2.22, 2596130 kHz"
// What the next start would go on from is given up.
void forget_saved(Vm& vm);
// Of a snapshot that was asked for and not made: an end, with what people are told.
void end_snapshot(Vm& vm, std::string_view error);
template <class Edit>
void change_saves(Vm& vm, Edit edit) {
  Saves saves = *vm.saves;
  edit(saves);
  vm.saves = std::move(saves);
}

std::string_view state_name(VmState state);        // "running"
std::string_view desired_name(VmDesired desired);  // "running"
std::string_view restart_name(RestartPolicy policy);
std::optional<RestartPolicy> parse_restart(std::string_view name);

// Physical.
resources::Supply supply_of(const Node& node);
// What may be promised of it.
resources::Supply offered_by(const Node& node, const resources::Overcommit& overcommit);
// Rounded down, also below 0.
std::int64_t whole_vcpus(std::int64_t cpu_milli);
// Null: the node has no such label.
const std::string* label_of(const Node& node, std::string_view key);
// Neither leaving nor cordoned nor drained.
bool takes_vms(const Node& node);
// Why it does not: "is cordoned"; "" of one that takes VMs.
std::string_view closed_text(const Node& node);
// The first that keeps such VMs away; null: none does.
const Taint* refusing_taint(const Node& node, const Wishes& wishes);

std::string_view cause_name(EvictCause cause);     // "preemption"
std::string_view on_evict_name(OnEvict on_evict);  // "move"

std::string_view role_name(NodeRole role);  // "server"
std::optional<NodeRole> parse_role(std::string_view name);

Membership membership_in(const raft::ConfState& configuration, NodeId node);
std::string_view membership_name(Membership membership);  // "voter"
// Lists sorted, without repetition or node 0, and no voter is a learner.
bool is_valid(const raft::ConfState& configuration);

// The table of allowed transitions of the observed state. A state does not follow itself: seeing
// it again with other details (a port, a pid) is no transition.
bool may_follow(VmState from, VmState to);
std::string transition_text(VmState from, VmState to);  // "running -> placed"

// [a-z0-9-]{1,63}. Errors: kInvalidArgument "name_invalid".
Result<void> check_name(std::string_view name);
// Bounds and combinations. Errors: kInvalidArgument "spec_invalid" with the field, and those of
// check_wishes().
Result<void> check_spec(const VmSpec& spec);
// As a node reports them: both ends known. Errors: kInvalidArgument "report_invalid".
Result<void> check_published(const std::vector<PublishedPort>& ports);
// Errors: kInvalidArgument "node_invalid" with the field, "name_invalid".
Result<void> check_node(const Node& node);
// HOST:PORT in form; whether anybody answers there is not for the model. Errors: kInvalidArgument
// "node_invalid".
Result<void> check_peer_address(std::string_view address);
// Errors: kInvalidArgument "image_invalid" with the field, "name_invalid".
Result<void> check_image(const Image& image);
// Errors: kInvalidArgument "report_invalid".
Result<void> check_saved(const SavedGuest& saved);

}  // namespace blixard::cluster

#include "core/cluster/state.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/assert.h"
#include "base/bug.h"
#include "base/limits.h"
#include "blixard/v1/cluster.pb.h"
#include "core/cluster/codec.h"
#include "core/cluster/fingerprint.h"
#include "core/cluster/reasons.h"

namespace blixard::cluster {

namespace {

constexpr std::int64_t kUnixMsMax = 253'402'300'799'999;  // the end of the year 9999

}  // namespace

Result<void> check_command(const v1::Command& command) {
  return check_command(command, command.ByteSizeLong());
}

Result<void> check_command(const v1::Command& command, std::size_t bytes) {
  const auto invalid = [](const char* what) {
    return fail(Code::kDataLoss, "command_invalid", what);
  };
  if (command.version() > kModelVersion) {
    return fail(
        Code::kFailedPrecondition, "model_too_new",
        fmt::format("a command of model version {}, this program knows {}: start a newer one here",
                    command.version(), kModelVersion));
  }
  if (command.version() == 0) return invalid("no version");
  if (command.kind_case() == v1::Command::KIND_NOT_SET) return invalid("no kind");
  if (!command.request_id().empty() && !read_uuid(command.request_id())) {
    return invalid("request id of another length than 16");
  }
  if (command.time_unix_ms() < 0 || command.time_unix_ms() > kUnixMsMax) return invalid("time");
  if (bytes > limits::kCommandBytes) return invalid("too large");
  if (command.version() < required_version(command)) return invalid("newer than its version");
  return {};
}

Result<Outcome> State::apply(LogIndex index, const v1::Command& command,
                             const ChangeSink& changed) {
  BLX_TRY(check_command(command));
  const auto request_id = read_uuid(command.request_id());
  const std::uint64_t print = request_id ? fingerprint(command) : 0;
  if (request_id) {
    if (const Answer* answer = requests_.find(*request_id)) {
      if (answer->fingerprint == print) return answer->outcome;
      return fail(Code::kInvalidArgument, reason::kRequestIdReused,
                  "this request id was used for another command");
    }
  }
  // It is in the log, so all nodes have it or will have it.
  model_version_ = std::max(model_version_, command.version());
  const Step step{
      .version = command.version(), .time = WallTime{command.time_unix_ms()}, .changed = changed};
  const Result<std::uint64_t> object_id = carry_out(command, step);
  Result<Outcome> outcome = Outcome{.index = index, .object_id = object_id.value_or(0)};
  if (!object_id) outcome = std::unexpected(object_id.error());
  if (request_id) {
    // Else the snapshot that keeps this answer could not be read.
    BLX_ASSERT(outcome || known_reason(outcome.error().reason()) != nullptr);
    requests_.remember(
        {.request_id = *request_id, .fingerprint = print, .index = index, .outcome = outcome});
  }
  return outcome;
}

Result<Outcome> State::apply_configuration(LogIndex index, const raft::ConfState& configuration,
                                           std::string_view command, const ChangeSink& changed) {
  set_configuration(configuration, changed);
  if (command.empty()) return Outcome{.index = index};
  v1::Command parsed;
  if (command.size() > limits::kCommandBytes ||
      !parsed.ParseFromArray(command.data(), static_cast<int>(command.size()))) {
    return fail(Code::kDataLoss, "command_invalid", "not a command");
  }
  return apply(index, parsed, changed);
}

void State::set_configuration(const raft::ConfState& configuration, const ChangeSink& changed) {
  const raft::ConfState before = std::exchange(configuration_, configuration);
  for (const auto& [id, node] : nodes_) {
    if (membership_in(before, id) == membership_in(configuration_, id)) continue;
    announce(Change::Kind::kNodeChanged, id.value, node.name,
             {.version = 0, .time = {}, .changed = changed});
  }
}

Result<std::uint64_t> State::carry_out(const v1::Command& command, const Step& step) {
  switch (command.kind_case()) {
    case v1::Command::kRegisterNode:
      return carry_out(command.register_node(), step);
    case v1::Command::kCreateVm:
      return carry_out(command.create_vm(), step);
    case v1::Command::kSetDesired:
      return carry_out(command.set_desired(), step);
    case v1::Command::kPlaceVm:
      return carry_out(command.place_vm(), step);
    case v1::Command::kExplainPending:
      return carry_out(command.explain_pending(), step);
    case v1::Command::kReportVms:
      return carry_out(command.report_vms(), step);
    case v1::Command::kAddImage:
      return carry_out(command.add_image(), step);
    case v1::Command::kRemoveImage:
      return carry_out(command.remove_image(), step);
    case v1::Command::kCreateToken:
      return carry_out(command.create_token(), step);
    case v1::Command::kRevokeToken:
      return carry_out(command.revoke_token(), step);
    case v1::Command::kEnrolNode:
      return carry_out(command.enrol_node(), step);
    case v1::Command::kRemoveNode:
      return carry_out(command.remove_node(), step);
    case v1::Command::kDropNode:
      return carry_out(command.drop_node(), step);
    case v1::Command::kUpdateNodeAddress:
      return carry_out(command.update_node_address(), step);
    case v1::Command::kPlaceGang:
      return carry_out(command.place_gang(), step);
    case v1::Command::kEvictVm:
      return carry_out(command.evict_vm(), step);
    case v1::Command::kUpdateNode:
      return carry_out(command.update_node(), step);
    case v1::Command::kDrainNode:
      return carry_out(command.drain_node(), step);
    case v1::Command::kEndDrain:
      return carry_out(command.end_drain(), step);
    case v1::Command::kSetPolicy:
      return carry_out(command.set_policy(), step);
    case v1::Command::kSetGroup:
      return carry_out(command.set_group(), step);
    case v1::Command::kRemoveGroup:
      return carry_out(command.remove_group(), step);
    case v1::Command::kSetTenant:
      return carry_out(command.set_tenant(), step);
    case v1::Command::kRemoveTenant:
      return carry_out(command.remove_tenant(), step);
    case v1::Command::kSetReservation:
      return carry_out(command.set_reservation(), step);
    case v1::Command::kRemoveReservation:
      return carry_out(command.remove_reservation(), step);
    case v1::Command::kTakeSnapshot:
      return carry_out(command.take_snapshot(), step);
    case v1::Command::kRestoreSnapshot:
      return carry_out(command.restore_snapshot(), step);
    case v1::Command::kDeleteSnapshot:
      return carry_out(command.delete_snapshot(), step);
    case v1::Command::KIND_NOT_SET:
      break;
  }
  BLX_ASSERT(false);  // check_command() saw it
  std::unreachable();
}

Membership State::membership(NodeId id) const { return membership_in(configuration_, id); }

const Node* State::find_node(NodeId id) const {
  const auto found = nodes_.find(id);
  return found == nodes_.end() ? nullptr : &found->second;
}

const Node* State::find_node(std::string_view name) const {
  const auto found = node_names_.find(Name::find(name));
  return found == node_names_.end() ? nullptr : &nodes_.at(found->second);
}

bool State::was_removed(NodeId id) const {
  return !cluster_.is_nil() && id && id.value < next_node_id_ && !nodes_.contains(id);
}

const Image* State::find_image(std::string_view name) const {
  const auto found = image_names_.find(Name::find(name));
  return found == image_names_.end() ? nullptr : &images_.at(found->second);
}

std::uint16_t State::taken_port(NodeId node, const VmSpec& spec) const {
  if (BLX_BUG(kIgnoresTakenPorts)) return 0;
  for (const PublishedPort& port : spec.published_ports) {
    if (port.host_port != 0 && vms_.is_taken(node, port.host_port)) return port.host_port;
  }
  return 0;
}

// Who has not registered yet may know no more than programs did that could not tell.
void State::raise_model_version() {
  std::uint32_t least = kModelVersionMost;
  for (const auto& [id, node] : nodes_)
    least = std::min(least, node.model_version);
  if (!nodes_.empty()) model_version_ = std::max(model_version_, least);
}

void State::announce(Change::Kind kind, std::uint64_t id, const Name& name, const Step& step) {
  ++revision_;
  if (!step.changed) return;
  step.changed({.kind = kind, .revision = revision_, .object_id = id, .name = name});
}

}  // namespace blixard::cluster

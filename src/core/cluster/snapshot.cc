// The whole state as bytes, and back.

#include <algorithm>
#include <ranges>

#include <fmt/format.h>
#include <google/protobuf/arena.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/wire_format_lite.h>

#include "base/assert.h"
#include "base/bug.h"
#include "base/limits.h"
#include "blixard/v1/cluster.pb.h"
#include "core/cluster/codec.h"
#include "core/cluster/groups.h"
#include "core/cluster/policy_codec.h"
#include "core/cluster/state.h"
#include "core/wire/checksum.h"

namespace blixard::cluster {

namespace {

std::unexpected<Error> invalid(std::string what) {
  return fail(Code::kDataLoss, "snapshot_invalid", std::move(what));
}

Result<void> check_sizes(const v1::StateSnapshot& snapshot) {
  const auto over = [](int size, std::size_t limit) {
    return static_cast<std::size_t>(size) > limit;
  };
  if (over(snapshot.nodes_size(), limits::kNodes)) return invalid("too many nodes");
  if (over(snapshot.vms_size(), limits::kVms)) return invalid("too many VMs");
  if (over(snapshot.images_size(), limits::kImages)) return invalid("too many images");
  if (over(snapshot.tokens_size(), limits::kTokens)) return invalid("too many tokens");
  if (over(snapshot.requests_size(), limits::kRememberedRequests)) {
    return invalid("too many requests");
  }
  if (over(snapshot.groups_size(), limits::kPlacementGroups)) return invalid("too many groups");
  if (over(snapshot.tenants_size(), limits::kTenants)) return invalid("too many tenants");
  if (over(snapshot.reservations_size(), limits::kReservations)) {
    return invalid("too many reservations");
  }
  return {};
}

// The records of one field, as a message that has them all would be encoded. There is no such
// message: one record's memory serves for all, and most of it stays in the CPU's cache.
template <class Record, class Values, class Write>
void write_all(int field, const Values& values, Write write,
               google::protobuf::io::CodedOutputStream& out) {
  using google::protobuf::internal::WireFormatLite;
  Record record;
  for (const auto& value : values) {
    record.Clear();
    write(value, &record);
    out.WriteTag(WireFormatLite::MakeTag(field, WireFormatLite::WIRETYPE_LENGTH_DELIMITED));
    out.WriteVarint32(static_cast<std::uint32_t>(record.ByteSizeLong()));
    record.SerializeWithCachedSizes(&out);
  }
}

}  // namespace

// In the order of the fields' numbers, in which one whole message would be written: bytes of
// messages one behind the other are the bytes of one message.
std::string State::encode() const {
  using Snapshot = v1::StateSnapshot;
  std::string bytes;
  google::protobuf::io::StringOutputStream sink(&bytes);
  google::protobuf::io::CodedOutputStream out(&sink);
  Snapshot head;
  head.set_version(model_version_);
  head.set_next_id(next_id_);
  head.set_revision(revision_);
  BLX_ASSERT(head.SerializeToCodedStream(&out));
  write_all<v1::NodeRecord>(Snapshot::kNodesFieldNumber, nodes_ | std::views::values, write_node,
                            out);
  write_all<v1::VmRecord>(Snapshot::kVmsFieldNumber, vms() | std::views::values, write_vm, out);
  write_all<v1::ImageRecord>(Snapshot::kImagesFieldNumber, images_ | std::views::values,
                             write_image, out);
  write_all<v1::RequestRecord>(Snapshot::kRequestsFieldNumber, requests_.oldest_first(),
                               write_answer, out);
  Snapshot tail;
  write_configuration(configuration_, tail.mutable_configuration());
  if (!cluster_.is_nil()) tail.set_cluster(write_uuid(cluster_));
  tail.set_next_node_id(next_node_id_);
  BLX_ASSERT(tail.SerializeToCodedStream(&out));
  write_all<v1::TokenRecord>(Snapshot::kTokensFieldNumber, tokens_ | std::views::values,
                             write_token, out);
  Snapshot placement;
  if (policy_ != PlacementPolicy{}) write_policy(policy_, placement.mutable_policy());
  BLX_ASSERT(placement.SerializeToCodedStream(&out));
  write_all<v1::PlacementGroup>(Snapshot::kGroupsFieldNumber, groups_ | std::views::values,
                                write_group, out);
  write_all<v1::TenantRecord>(Snapshot::kTenantsFieldNumber, tenants_ | std::views::values,
                              write_tenant_record, out);
  write_all<v1::ReservationRecord>(Snapshot::kReservationsFieldNumber,
                                   reservations_ | std::views::values, write_reservation_record,
                                   out);
  out.Trim();
  BLX_ASSERT(!out.HadError());
  return bytes;
}

std::string State::hash() const { return wire::hash128_hex(encode()); }

Result<State> State::decode(std::string_view bytes) {
  google::protobuf::Arena arena;
  auto* snapshot = google::protobuf::Arena::CreateMessage<v1::StateSnapshot>(&arena);
  constexpr auto kBytesMax = static_cast<std::size_t>(std::numeric_limits<int>::max());
  if (bytes.size() > kBytesMax ||
      !snapshot->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return invalid("not a snapshot");
  }
  if (snapshot->version() > kModelVersion) {
    return fail(
        Code::kFailedPrecondition, "model_too_new",
        fmt::format("a snapshot of model version {}, this program knows {}: start a newer one here",
                    snapshot->version(), kModelVersion));
  }
  if (snapshot->version() == 0 || snapshot->next_id() == 0) return invalid("no version or next id");
  BLX_TRY(check_sizes(*snapshot));
  State state;
  state.next_id_ = snapshot->next_id();
  state.revision_ = snapshot->revision();
  state.model_version_ = std::max(snapshot->version(), kUntoldModelVersion);
  BLX_TRY(state.restore_cluster(*snapshot));
  for (const v1::NodeRecord& record : snapshot->nodes()) {
    BLX_TRY(Node node, read_node(record));
    BLX_TRY(state.restore(std::move(node)));
  }
  for (const v1::ImageRecord& record : snapshot->images()) {
    BLX_TRY(Image image, read_image(record));
    BLX_TRY(state.restore(std::move(image)));
  }
  BLX_TRY(state.restore_policy(*snapshot));
  for (const v1::VmRecord& record : snapshot->vms()) {
    BLX_TRY(Vm vm, read_vm(record));
    BLX_TRY(state.restore(std::move(vm)));
  }
  BLX_TRY(state.restore_reservations(*snapshot));
  for (const v1::TokenRecord& record : snapshot->tokens()) {
    BLX_TRY(Token token, read_token(record));
    BLX_TRY(state.restore(token));
  }
  for (const v1::RequestRecord& record : snapshot->requests()) {
    BLX_TRY(Answer answer, read_answer(record));
    if (BLX_BUG(kSnapshotDropsRequests)) continue;
    if (state.requests_.find(answer.request_id) != nullptr) return invalid("request: twice");
    state.requests_.remember(std::move(answer));
  }
  return state;
}

Result<void> State::restore_cluster(const v1::StateSnapshot& snapshot) {
  if (!snapshot.cluster().empty()) {
    const auto cluster = read_uuid(snapshot.cluster());
    if (!cluster || cluster->is_nil()) return invalid("cluster");
    cluster_ = *cluster;
  }
  // Of model version 1: it had one node, or ones that named themselves.
  next_node_id_ = snapshot.next_node_id();
  if (snapshot.version() < 2) {
    next_node_id_ = 1;
    for (const v1::NodeRecord& node : snapshot.nodes())
      next_node_id_ = std::max(next_node_id_, node.id() + 1);
  }
  if (next_node_id_ == 0) return invalid("no next node id");
  BLX_TRY(configuration_, read_configuration(snapshot.configuration()));
  return {};
}

Result<void> State::restore(const Token& token) {
  if (token.used_by.value >= next_node_id_) return invalid("token: used by nobody");
  if (!tokens_.try_emplace(token.id, token).second) return invalid("token: id twice");
  return {};
}

Result<void> State::restore(Node node) {
  if (node.id.value >= next_node_id_) return invalid("node: id");
  if (!node_names_.try_emplace(node.name, node.id).second) return invalid("node: name twice");
  if (!nodes_.try_emplace(node.id, std::move(node)).second) return invalid("node: id twice");
  return {};
}

Result<void> State::restore(Image image) {
  const ImageId id = image.id;
  if (!id || id.value >= next_id_) return invalid("image: id");
  if (!image_names_.try_emplace(image.name, id).second) return invalid("image: name twice");
  if (!images_.try_emplace(id, std::move(image)).second) return invalid("image: id twice");
  return {};
}

Result<void> State::restore(Vm vm) {
  const VmId id = vm.id;
  if (!id || id.value >= next_id_ || images_.contains(ImageId(id.value))) {
    return invalid("vm: id");
  }
  const bool is_homeless = vm.state == VmState::kPending || vm.state == VmState::kSuspended;
  if (is_homeless == static_cast<bool>(vm.node)) {
    return invalid("vm: pending on a node, or placed on none");
  }
  BLX_TRY(check_saves(vm));
  if (!vm.node && vm.desired == VmDesired::kDeleted) return invalid("vm: deleted and on no node");
  if (vm.node && !vm.generation) return invalid("vm: placed without a generation");
  if (vm.node && !nodes_.contains(vm.node)) return invalid("vm: its node is missing");
  if (vm.desired != VmDesired::kDeleted && !image_names_.contains(vm.spec.image)) {
    return invalid("vm: its image is missing");
  }
  for (const Name& group : vm.spec.wishes->groups)
    if (!groups_.contains(group)) return invalid("vm: its group is missing");
  BLX_TRY(check_devices(vm));
  if (vm.node && taken_port(vm.node, vm.spec) != 0) return invalid("vm: host port taken");
  if (vms_.find(vm.name) != nullptr) return invalid("vm: name twice");
  if (vms_.has_uuid(vm.uuid)) return invalid("vm: uuid twice");
  if (vms_.find(id) != nullptr) return invalid("vm: id twice");
  vms_.add(std::move(vm));
  return {};
}

Result<void> State::check_saves(const Vm& vm) const {
  if (vm.state == VmState::kSuspended &&
      (vm.desired != VmDesired::kSuspended || vm.saves->used_by)) {
    return invalid("vm: suspended, and not to stay so");
  }
  if (vm.saves->is_snapshot_asked() && !vm.node) return invalid("vm: snapshot of no guest");
  if (vm.saves->used_by > vm.generation) return invalid("vm: saves: used by nobody");
  const auto is_of_it = [&](const std::optional<SavedGuest>& saved) {
    return !saved || (saved->holder.value < next_node_id_ && saved->generation <= vm.generation);
  };
  if (!is_of_it(vm.saves->resume_from) || !is_of_it(vm.saves->snapshot)) {
    return invalid("vm: saved: of nobody");
  }
  return {};
}

// Which numbers it has must be possible together with what other VMs of the node have. Whether the
// node still has such devices is another thing: it may have come back without.
Result<void> State::check_devices(const Vm& vm) const {
  if (vm.evicting && !vm.node) return invalid("vm: evicted from no node");
  if (vm.devices.size() != (vm.node ? device_count(*vm.spec.wishes) : 0)) {
    return invalid("vm: more or fewer devices than it needs");
  }
  std::vector<std::int32_t> taken = vms_.devices_taken(vm.node);
  taken.resize(limits::kNodeDevices);
  auto number = vm.devices.begin();
  for (const resources::DeviceNeed& need : vm.spec.wishes->devices) {
    for (std::uint32_t one = 0; one < need.count; ++one, ++number) {
      if (number == vm.devices.end()) return {};
      taken[*number] += need.milli;
      if (taken[*number] > resources::kWholeDevice) return invalid("vm: device given twice");
    }
  }
  return {};
}

Result<void> State::restore_policy(const v1::StateSnapshot& snapshot) {
  if (snapshot.has_policy()) {
    BLX_TRY(policy_, read_policy_record(snapshot.policy()));
  }
  for (const v1::PlacementGroup& record : snapshot.groups()) {
    BLX_TRY(PlacementGroup group, read_group_record(record));
    if (groups_.contains(group.name)) return invalid("group: name twice");
    put(std::move(group));
  }
  for (const auto& [named, naming] : naming_)
    if (!groups_.contains(named)) return invalid("group: a rule names none");
  if (has_cycle(groups_)) return invalid("group: a cycle of rules");
  for (const v1::TenantRecord& record : snapshot.tenants()) {
    BLX_TRY(Tenant tenant, read_tenant_record(record));
    const Name name = tenant.name;
    if (!tenants_.try_emplace(name, std::move(tenant)).second) return invalid("tenant: name twice");
  }
  return {};
}

Result<void> State::restore_reservations(const v1::StateSnapshot& snapshot) {
  for (const v1::ReservationRecord& record : snapshot.reservations()) {
    BLX_TRY(const Reservation reservation, read_reservation_record(record));
    if (!nodes_.contains(reservation.node)) return invalid("reservation: its node is missing");
    if (reservations_.contains(reservation.name)) return invalid("reservation: name twice");
    put(reservation);
  }
  return {};
}

}  // namespace blixard::cluster

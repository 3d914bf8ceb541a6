#include "core/cluster/codec.h"

#include <algorithm>
#include <limits>

#include "base/limits.h"
#include "core/cluster/reasons.h"
#include "core/cluster/saves_codec.h"
#include "core/cluster/text.h"
#include "core/cluster/wishes_codec.h"

namespace blixard::cluster {

namespace {

std::unexpected<Error> invalid_record(const char* field) {
  return fail(Code::kDataLoss, "snapshot_invalid", field);
}

// What is wrong with a record, from what is wrong with its content.
std::unexpected<Error> invalid_record(const char* record, const Error& error) {
  return fail(Code::kDataLoss, "snapshot_invalid", record + (": " + error.message()));
}

std::optional<PublishedPort> read_port(const v1::PublishedPort& port) {
  constexpr std::uint32_t kPortMax = std::numeric_limits<std::uint16_t>::max();
  if (port.host_port() > kPortMax || port.guest_port() > kPortMax) return std::nullopt;
  return PublishedPort{.host_port = static_cast<std::uint16_t>(port.host_port()),
                       .guest_port = static_cast<std::uint16_t>(port.guest_port())};
}

std::optional<RestartPolicy> read_restart(v1::RestartPolicy policy) {
  switch (policy) {
    case v1::RESTART_POLICY_NEVER:
      return RestartPolicy::kNever;
    case v1::RESTART_POLICY_UNSPECIFIED:
    case v1::RESTART_POLICY_ON_FAILURE:
      return RestartPolicy::kOnFailure;
    case v1::RESTART_POLICY_ALWAYS:
      return RestartPolicy::kAlways;
    default:
      return std::nullopt;
  }
}

std::string write_bytes(const auto& bytes) {
  std::string text(bytes.size(), '\0');
  std::ranges::transform(bytes, text.begin(),
                         [](std::uint8_t byte) { return static_cast<char>(byte); });
  return text;
}

std::vector<NodeId> read_ids(const google::protobuf::RepeatedField<std::uint64_t>& ids) {
  std::vector<NodeId> nodes;
  for (const std::uint64_t id : ids)
    nodes.emplace_back(id);
  return nodes;
}

void read_bytes(std::string_view text, auto& bytes) {
  std::ranges::transform(text, bytes.begin(),
                         [](char byte) { return static_cast<std::uint8_t>(byte); });
}

}  // namespace

std::optional<VmState> read_state(v1::VmState state) {
  if (state < v1::VM_STATE_PENDING || state > v1::VM_STATE_SUSPENDED) return std::nullopt;
  return static_cast<VmState>(state);
}

std::optional<VmDesired> read_desired(v1::VmDesired desired) {
  if (desired < v1::VM_DESIRED_RUNNING || desired > v1::VM_DESIRED_SUSPENDED) return std::nullopt;
  return static_cast<VmDesired>(desired);
}

std::optional<NodeRole> read_role(v1::NodeRole role) {
  if (role < v1::NODE_ROLE_SERVER || role > v1::NODE_ROLE_WORKER) return std::nullopt;
  return static_cast<NodeRole>(role);
}

std::optional<Digest> read_digest(std::string_view bytes) {
  Digest digest;
  if (bytes.size() != digest.size()) return std::nullopt;
  read_bytes(bytes, digest);
  return digest;
}

v1::NodeRole write_role(NodeRole role) {
  static_assert(static_cast<int>(NodeRole::kServer) == v1::NODE_ROLE_SERVER);
  static_assert(static_cast<int>(NodeRole::kWorker) == v1::NODE_ROLE_WORKER);
  return static_cast<v1::NodeRole>(role);
}

std::string write_digest(const Digest& digest) { return write_bytes(digest); }

v1::VmState write_state(VmState state) {
  static_assert(static_cast<int>(VmState::kPending) == v1::VM_STATE_PENDING);
  static_assert(static_cast<int>(VmState::kSuspended) == v1::VM_STATE_SUSPENDED);
  return static_cast<v1::VmState>(state);
}

v1::VmDesired write_desired(VmDesired desired) {
  static_assert(static_cast<int>(VmDesired::kRunning) == v1::VM_DESIRED_RUNNING);
  static_assert(static_cast<int>(VmDesired::kSuspended) == v1::VM_DESIRED_SUSPENDED);
  return static_cast<v1::VmDesired>(desired);
}

std::optional<Uuid> read_uuid(std::string_view bytes) {
  Uuid uuid;
  if (bytes.size() != uuid.bytes.size()) return std::nullopt;
  read_bytes(bytes, uuid.bytes);
  return uuid;
}

std::string write_uuid(const Uuid& uuid) { return write_bytes(uuid.bytes); }

Result<VmSpec> read_spec(const v1::VmSpec& spec) {
  const auto restart = read_restart(spec.restart());
  if (!restart) return fail(Code::kInvalidArgument, reason::kSpecInvalid, "restart");
  VmSpec value{.image = Name(spec.image()),
               .vcpus = spec.vcpus(),
               .memory_mib = spec.memory_mib(),
               .restart = *restart,
               .stop_grace_seconds = spec.stop_grace_seconds()};
  for (const v1::PublishedPort& port : spec.published_ports()) {
    const auto read = read_port(port);
    if (!read) {
      return fail(Code::kInvalidArgument, reason::kSpecInvalid,
                  "published_ports: a port is more than 65535");
    }
    value.published_ports.push_back(*read);
  }
  if (spec.has_placement()) {
    BLX_TRY(value.wishes, read_wishes(spec.placement()));
  }
  BLX_TRY(check_spec(value));
  return value;
}

void write_spec(const VmSpec& spec, v1::VmSpec* out) {
  out->set_image(spec.image.text());
  out->set_vcpus(spec.vcpus);
  out->set_memory_mib(spec.memory_mib);
  write_published(spec.published_ports, out->mutable_published_ports());
  out->set_restart(static_cast<v1::RestartPolicy>(spec.restart));
  out->set_stop_grace_seconds(spec.stop_grace_seconds);
  if (!spec.wishes.is_default()) write_wishes(*spec.wishes, out->mutable_placement());
}

Result<std::vector<PublishedPort>> read_published(
    const google::protobuf::RepeatedPtrField<v1::PublishedPort>& ports) {
  std::vector<PublishedPort> values;
  for (const v1::PublishedPort& port : ports) {
    const auto read = read_port(port);
    if (!read) return fail(Code::kInvalidArgument, reason::kReportInvalid, "published_ports");
    values.push_back(*read);
  }
  BLX_TRY(check_published(values));
  return values;
}

void write_published(const std::vector<PublishedPort>& ports,
                     google::protobuf::RepeatedPtrField<v1::PublishedPort>* out) {
  for (const PublishedPort& port : ports) {
    v1::PublishedPort* added = out->Add();
    added->set_host_port(port.host_port);
    added->set_guest_port(port.guest_port);
  }
}

Result<std::vector<ImageFile>> read_files(
    const google::protobuf::RepeatedPtrField<v1::ImageFile>& files) {
  std::vector<ImageFile> values;
  for (const v1::ImageFile& file : files) {
    ImageFile value{.name = file.name(), .size = Bytes(file.bytes())};
    if (file.digest().size() != value.digest.size()) {
      return fail(Code::kInvalidArgument, reason::kImageInvalid,
                  "files: a digest has not 32 bytes");
    }
    read_bytes(file.digest(), value.digest);
    values.push_back(std::move(value));
  }
  std::ranges::sort(values, {}, &ImageFile::name);
  return values;
}

namespace {

Result<void> read_eviction(const v1::VmRecord& record, Vm& vm) {
  vm.evicting = record.evicting();
  if (!record.has_eviction()) {
    if (vm.evicting) return invalid_record("vm: evicting for no reason");
    return {};
  }
  const v1::EvictionRecord& eviction = record.eviction();
  const auto cause = read_cause(eviction.cause());
  if (!cause) return invalid_record("vm: eviction: cause");
  if (!eviction.by().empty() && !check_name(eviction.by())) {
    return invalid_record("vm: eviction: by");
  }
  if (!is_bounded_text(eviction.explanation(), limits::kReasonBytes)) {
    return invalid_record("vm: eviction: explanation");
  }
  vm.eviction = Eviction{.cause = *cause,
                         .by = Name(eviction.by()),
                         .explanation = eviction.explanation(),
                         .since = WallTime{eviction.since_unix_ms()},
                         .from = NodeId(eviction.from_node_id()),
                         .target = NodeId(eviction.target_node_id())};
  if (vm.eviction.is_default()) return invalid_record("vm: eviction: from nowhere");
  return {};
}

void write_eviction(const Vm& vm, v1::VmRecord* out) {
  out->set_evicting(vm.evicting);
  if (vm.eviction.is_default()) return;
  v1::EvictionRecord& eviction = *out->mutable_eviction();
  eviction.set_cause(write_cause(vm.eviction->cause));
  eviction.set_by(vm.eviction->by.text());
  eviction.set_explanation(vm.eviction->explanation);
  eviction.set_since_unix_ms(vm.eviction->since.unix_ms);
  eviction.set_from_node_id(vm.eviction->from.value);
  eviction.set_target_node_id(vm.eviction->target.value);
}

}  // namespace

Result<VmStart> read_start(const v1::VmStartRecord& start) {
  if (start.kind() < v1::VM_START_KIND_COLD || start.kind() > v1::VM_START_KIND_RESUMED) {
    return fail(Code::kInvalidArgument, reason::kReportInvalid, "start: kind");
  }
  if (!is_bounded_text(start.why(), limits::kReasonBytes)) {
    return fail(Code::kInvalidArgument, reason::kReportInvalid, "start: why");
  }
  static_assert(static_cast<int>(VmStartKind::kCold) == v1::VM_START_KIND_COLD);
  static_assert(static_cast<int>(VmStartKind::kWarm) == v1::VM_START_KIND_WARM);
  static_assert(static_cast<int>(VmStartKind::kResumed) == v1::VM_START_KIND_RESUMED);
  return VmStart{.kind = static_cast<VmStartKind>(start.kind()),
                 .took_ms = start.took_ms(),
                 .why = start.why()};
}

void write_start(const VmStart& start, v1::VmStartRecord* out) {
  out->set_kind(static_cast<v1::VmStartKind>(start.kind));
  out->set_took_ms(start.took_ms);
  out->set_why(start.why);
}

Result<Vm> read_vm(const v1::VmRecord& record) {
  Vm vm{.id = VmId(record.id()), .name = Name(record.name())};
  if (auto name = check_name(vm.name); !name) return invalid_record("vm", name.error());
  const auto uuid = read_uuid(record.uuid());
  if (!uuid || uuid->is_nil()) return invalid_record("vm: uuid");
  vm.uuid = *uuid;
  auto spec = read_spec(record.spec());
  if (!spec) return invalid_record("vm", spec.error());
  vm.spec = std::move(*spec);
  const auto desired = read_desired(record.desired());
  const auto state = read_state(record.state());
  if (!desired || !state) return invalid_record("vm: desired or state");
  vm.desired = *desired;
  vm.state = *state;
  vm.node = NodeId(record.node_id());
  vm.generation = Generation(record.generation());
  auto ports = read_published(record.published_ports());
  if (!ports) return invalid_record("vm", ports.error());
  vm.published_ports = std::move(*ports);
  if (!is_bounded_text(record.reason(), limits::kReasonBytes)) return invalid_record("vm: reason");
  vm.reason = record.reason();
  if (!is_bounded_text(record.accelerator(), limits::kWordBytes)) {
    return invalid_record("vm: accelerator");
  }
  vm.accelerator = record.accelerator();
  if (record.pid() < 0) return invalid_record("vm: pid");
  vm.pid = record.pid();
  vm.restarts = record.restarts();
  vm.created = WallTime{record.created_unix_ms()};
  vm.changed = WallTime{record.changed_unix_ms()};
  for (const std::uint32_t device : record.devices()) {
    if (device >= limits::kNodeDevices) return invalid_record("vm: devices");
    vm.devices.push_back(static_cast<std::uint16_t>(device));
  }
  BLX_TRY(read_eviction(record, vm));
  if (record.has_start()) {
    auto start = read_start(record.start());
    if (!start) return invalid_record("vm", start.error());
    vm.start = *std::move(start);
  }
  if (record.has_saves()) {
    BLX_TRY(vm.saves, read_saves(record.saves()));
  }
  return vm;
}

void write_vm(const Vm& vm, v1::VmRecord* out) {
  out->set_id(vm.id.value);
  out->set_name(vm.name.text());
  out->set_uuid(vm.uuid.bytes.data(), vm.uuid.bytes.size());
  write_spec(vm.spec, out->mutable_spec());
  out->set_desired(write_desired(vm.desired));
  out->set_node_id(vm.node.value);
  out->set_generation(vm.generation.value);
  out->set_state(write_state(vm.state));
  out->set_reason(vm.reason);
  write_published(vm.published_ports, out->mutable_published_ports());
  out->set_pid(vm.pid);
  out->set_accelerator(vm.accelerator);
  out->set_restarts(vm.restarts);
  out->set_created_unix_ms(vm.created.unix_ms);
  out->set_changed_unix_ms(vm.changed.unix_ms);
  for (const std::uint16_t device : vm.devices)
    out->add_devices(device);
  write_eviction(vm, out);
  if (!vm.start.is_default()) write_start(*vm.start, out->mutable_start());
  if (!vm.saves.is_default()) write_saves(*vm.saves, out->mutable_saves());
}

Result<Image> read_image(const v1::ImageRecord& record) {
  Image image{.id = ImageId(record.id()),
              .name = Name(record.name()),
              .architecture = record.architecture(),
              .kernel_version = record.kernel_version(),
              .cmdline = record.cmdline(),
              .added = WallTime{record.added_unix_ms()}};
  auto files = read_files(record.files());
  if (!files) return invalid_record("image", files.error());
  image.files = std::move(*files);
  if (auto checked = check_image(image); !checked) return invalid_record("image", checked.error());
  return image;
}

void write_image(const Image& image, v1::ImageRecord* out) {
  out->set_id(image.id.value);
  out->set_name(image.name.text());
  out->set_architecture(image.architecture);
  out->set_kernel_version(image.kernel_version);
  out->set_cmdline(image.cmdline);
  for (const ImageFile& file : image.files) {
    v1::ImageFile* added = out->add_files();
    added->set_name(file.name);
    added->set_bytes(file.size.value);
    added->set_digest(write_bytes(file.digest));
  }
  out->set_added_unix_ms(image.added.unix_ms);
}

Result<Answer> read_answer(const v1::RequestRecord& record) {
  const auto id = read_uuid(record.request_id());
  if (!id) return invalid_record("request: id");
  Answer answer{.request_id = *id,
                .fingerprint = record.fingerprint(),
                .index = LogIndex(record.applied_index()),
                .outcome = Outcome{.index = LogIndex(record.applied_index()),
                                   .object_id = record.object_id()}};
  if (record.code() == 0) {
    if (!record.reason().empty() || !record.detail().empty()) {
      return invalid_record("request: a success with a reason");
    }
    return answer;
  }
  // On the wire 0 is success, so codes are shifted by one.
  if (record.code() > static_cast<std::uint32_t>(Code::kDataLoss) + 1) {
    return invalid_record("request: code");
  }
  const char* word = known_reason(record.reason());
  if (word == nullptr || record.object_id() != 0) return invalid_record("request: reason");
  if (!is_bounded_text(record.detail(), limits::kReasonBytes)) {
    return invalid_record("request: detail");
  }
  const auto code = static_cast<Code>(record.code() - 1);
  if (record.detail().empty()) {
    answer.outcome = std::unexpected(Error(code, word));
  } else {
    answer.outcome = std::unexpected(Error(code, word, record.detail()));
  }
  return answer;
}

void write_answer(const Answer& answer, v1::RequestRecord* out) {
  out->set_request_id(answer.request_id.bytes.data(), answer.request_id.bytes.size());
  out->set_fingerprint(answer.fingerprint);
  out->set_applied_index(answer.index.value);
  if (answer.outcome) {
    out->set_object_id(answer.outcome->object_id);
    return;
  }
  const Error& error = answer.outcome.error();
  out->set_code(static_cast<std::uint32_t>(error.code()) + 1);
  out->set_reason(std::string(error.reason()));
  out->set_detail(std::string(error.detail()));
}

Result<Token> read_token(const v1::TokenRecord& record) {
  const auto hash = read_digest(record.secret_hash());
  const auto role = read_role(record.role());
  if (record.id() == 0 || !hash || !role) return invalid_record("token");
  return Token{.id = TokenId(record.id()),
               .secret_hash = *hash,
               .role = *role,
               .created = WallTime{record.created_unix_ms()},
               .expires = WallTime{record.expires_unix_ms()},
               .used_by = NodeId(record.used_by())};
}

void write_token(const Token& token, v1::TokenRecord* out) {
  out->set_id(token.id.value);
  out->set_secret_hash(write_digest(token.secret_hash));
  out->set_role(write_role(token.role));
  out->set_created_unix_ms(token.created.unix_ms);
  out->set_expires_unix_ms(token.expires.unix_ms);
  out->set_used_by(token.used_by.value);
}

Result<raft::ConfState> read_configuration(const v1::ConfigurationRecord& record) {
  raft::ConfState configuration{.voters = read_ids(record.voters()),
                                .learners = read_ids(record.learners()),
                                .voters_outgoing = read_ids(record.voters_outgoing()),
                                .learners_next = read_ids(record.learners_next()),
                                .auto_leave = record.auto_leave()};
  if (!is_valid(configuration)) return invalid_record("configuration");
  return configuration;
}

void write_configuration(const raft::ConfState& configuration, v1::ConfigurationRecord* out) {
  const auto write = [](const std::vector<NodeId>& nodes, auto* list) {
    for (const NodeId node : nodes)
      list->Add(node.value);
  };
  write(configuration.voters, out->mutable_voters());
  write(configuration.learners, out->mutable_learners());
  write(configuration.voters_outgoing, out->mutable_voters_outgoing());
  write(configuration.learners_next, out->mutable_learners_next());
  out->set_auto_leave(configuration.auto_leave);
}

}  // namespace blixard::cluster

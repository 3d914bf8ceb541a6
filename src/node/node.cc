#include "node/node.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/limits.h"
#include "blixard/v1/cluster.pb.h"
#include "blixard/v1/enrol.pb.h"
#include "core/cluster/codec.h"
#include "env/failpoint.h"
#include "node/saved/piece_request.h"
#include "node/telemetry/program.h"
#include "node/telemetry/sources.h"

namespace blixard::node {
namespace {

// Left to the host when its memory is offered to guests.
// The lock of a daemon that was killed while it started a program is held until that program runs.
constexpr Duration kLockPatience = 2s;
constexpr Duration kLockAgain = 20ms;
constexpr std::uint64_t kReservedMemoryMib = 512;
constexpr Duration kCapabilitiesInterval = 5s;
constexpr Duration kRetryDelay = 1s;
constexpr Duration kReadyPatience = 5s;  // for the cluster to know this node, before it is ready
constexpr Duration kEnrolPatience = 60s;
constexpr Duration kAskTimeout = 5s;

std::uint32_t offered_memory_mib(Bytes memory) {
  const std::uint64_t total = memory.mib();
  return static_cast<std::uint32_t>(total > 2 * kReservedMemoryMib ? total - kReservedMemoryMib
                                                                   : total / 2);
}

bool is_everywhere(const env::Endpoint& endpoint) {
  return endpoint.host == "0.0.0.0" || endpoint.host == "::";
}

// Where the others reach this node. Errors: kInvalidArgument "advertise_needed", "address_invalid".
Result<std::string> advertised(const Config& config) {
  if (config.advertise.empty()) {
    if (is_everywhere(config.peer_listen)) {
      return fail(Code::kInvalidArgument, "advertise_needed",
                  "--peer-listen is on all interfaces; say with --advertise IP:PORT "
                  "at which address the other nodes reach this one");
    }
    return config.peer_listen.text();
  }
  BLX_TRY(const env::Endpoint endpoint, env::Endpoint::parse(config.advertise));
  if (endpoint.kind != env::Endpoint::Kind::kTcp || is_everywhere(endpoint) || endpoint.port == 0) {
    return fail(Code::kInvalidArgument, "address_invalid",
                "--advertise takes an address that others can dial, such as 192.0.2.7:7481");
  }
  return endpoint.text();
}

Error removed(NodeId self) {
  return {Code::kFailedPrecondition, "removed",
          fmt::format("the cluster has removed this node (id {}). "
                      "To use this machine again, join it anew with an empty --data directory",
                      self.value)};
}

}  // namespace

Node::Node(env::Env env, Config config, vm::Driver& driver)
    : env_(env), config_(std::move(config)), driver_(driver), changed_(env.executor) {
  config_.replica.instruments = telemetry_.replica;
  config_.replica.log.instruments = telemetry_.log;
  tracing_ =
      std::make_unique<Tracing>(env_, metrics_, config_.settings, config_.trace_sample_ratio);
  config_.replica.tracer = &tracing_->tracer();
}

Node::~Node() = default;

void Node::stop(StopGuests guests) {
  if (!stopping_) stopping_ = guests;
  if (entering_ != nullptr) entering_->request();
  changed_.notify_all();
}

void Node::fail_node(Error error) {
  if (error.reason() == "removed") error = removed(identity_.id);
  if (!failure_) failure_.emplace(std::move(error));
  changed_.notify_all();
}

env::Task<Result<void>> Node::run(std::function<void(const Ready&)> on_ready) {
  Result<void> done = co_await open();
  if (done) done = co_await serve(std::move(on_ready));
  api_.reset();
  agent_.reset();
  co_await stop_replica();
  tracing_->close();
  certificate_.reset();
  enroller_.reset();
  replica_.reset();
  peers_.reset();
  transport_.reset();
  lock_.reset();
  if (!done && stopping_ && done.error().code() == Code::kCancelled) co_return Result<void>();
  co_return done;
}

// The lead is handed over while the others can still be heard.
env::Task<void> Node::stop_replica() {
  if (std::exchange(replica_stopped_, true)) co_return;
  if (replica_) co_await replica_->stop();
  if (peers_) co_await peers_->stop();
}

env::Task<Result<void>> Node::open() {
  const std::string& data = config_.data_directory;
  BLX_CO_TRY(co_await env_.disk.make_directory(data));
  auto lock = co_await env_.disk.lock(data);
  const auto is_taken = [&] { return !lock && lock.error().reason() == "directory_in_use"; };
  for (const Instant until = env_.clock.monotonic() + kLockPatience;
       is_taken() && env_.clock.monotonic() < until;) {
    BLX_CO_TRY(co_await env_.clock.sleep(kLockAgain));
    lock = co_await env_.disk.lock(data);
  }
  if (is_taken()) {
    co_return fail(Code::kFailedPrecondition, "directory_in_use",
                   "another blixard node runs on " + data +
                       "; stop it, or give this one another --data directory");
  }
  BLX_CO_TRY(lock_, std::move(lock));
  BLX_CO_TRY(co_await enter());
  BLX_CO_TRY(keys_, co_await load_keys(env_, data, identity_));
  BLX_CO_TRY(capabilities_, co_await driver_.probe());
  BLX_CO_TRY(images_, co_await image::Store::open(env_, env::join_path(data, "images")));
  BLX_CO_TRY(templates_,
             co_await templates::Store::open(env_, env::join_path(data, "templates"), driver_,
                                             config_.templates, config_.standbys));
  BLX_CO_TRY(saved_, co_await saved::Store::open(env_, env::join_path(data, "saved"),
                                                 identity_.cluster.text()));
  BLX_CO_TRY(co_await open_cluster());
  BLX_CO_TRY(std::string token, co_await load_api_token(env_, env::join_path(data, "api.token")));
  co_return open_services(std::move(token));
}

env::Task<Result<void>> Node::enter() {
  BLX_CO_TRY(advertise_, advertised(config_));
  const std::string log = env::join_path(config_.data_directory, "log");
  // They outlive what is awaited.
  // NOLINTBEGIN(cppcoreguidelines-avoid-capturing-lambda-coroutines)
  EntryParts parts{
      .begin_log = [this, log](const cluster::State& state) -> env::Task<Result<void>> {
        co_return co_await replica::bootstrap(env_, log, state, config_.replica);
      },
      .enrol = [this](membership::JoinTarget target,
                      membership::Applicant applicant) -> env::Task<Result<membership::Enrolment>> {
        if (applicant.peer_address.ends_with(":0")) {
          co_return fail(Code::kInvalidArgument, "advertise_needed",
                         "a node that joins needs a port of its own: give one with --peer-listen");
        }
        co_return co_await membership::enrol(env_, std::move(target), std::move(applicant),
                                             env_.clock.monotonic() + kEnrolPatience);
      }};
  // NOLINTEND(cppcoreguidelines-avoid-capturing-lambda-coroutines)
  env::Cancellation entering(co_await env::this_cancellation());
  entering_ = &entering;
  if (stopping_) entering.request();
  auto identity = co_await enter_cluster(env_, config_.data_directory,
                                         {.bootstrap = config_.bootstrap,
                                          .join = config_.join,
                                          .name = config_.name,
                                          .peer_address = advertise_},
                                         std::move(parts))
                      .under(entering);
  entering_ = nullptr;
  BLX_CO_TRY(identity_, std::move(identity));
  co_return Result<void>();
}

env::Task<Result<void>> Node::open_cluster() {
  BLX_CO_TRY(transport_, env_.security.open(keys_.credentials));
  peers_ = peer::Peers::make(
      env_, {.self = identity_.id, .cluster = identity_.cluster.text(), .address = advertise_},
      *transport_);
  if (config_.watch_peers) peers_ = config_.watch_peers(identity_.id, std::move(peers_));
  BLX_CO_TRY(replica_,
             co_await replica::open_replica(env_, env::join_path(config_.data_directory, "log"),
                                            identity_.id, config_.replica, *peers_, this));
  telemetry::register_sources(metrics_, telemetry_, replica_.get());
  telemetry::register_sources(metrics_, peers_.get());
  tracing_->open(identity_.id,
                 {.version = config_.version,
                  .instance = fmt::format("{}/{}", identity_.cluster.text(), identity_.id.value),
                  .host = env_.machine.facts().host_name,
                  .node = identity_.name},
                 *replica_, *peers_);
  saved::Store::register_metrics(metrics_, saved_.get());
  telemetry::register_program(metrics_, &env_.machine);
  templates::Store::register_metrics(metrics_, templates_.get());
  const cluster::State& state = replica_->state();
  if (state.was_removed(identity_.id)) co_return std::unexpected(removed(identity_.id));
  if (replica_->cluster_view().members().empty()) {
    // There is no log yet, which would say who the others are.
    for (const membership::Member& member : identity_.members)
      peers_->set_peer(member.id, member.address);
  }
  enroller_ = std::make_unique<membership::Enroller>(env_, *replica_, keys_.authority);
  certificate_ = std::make_unique<membership::OwnCertificate>(
      env_, *transport_, keys_.credentials, identity_.role == cluster::NodeRole::kServer,
      [this](std::string request) { return certificate_for(std::move(request)); },
      [this](env::Credentials credentials) {
        return store_renewed(env_, config_.data_directory, std::move(credentials));
      });
  co_return Result<void>();
}

Result<void> Node::open_services(std::string token) {
  BLX_TRY(const auto authority, env_.security.inspect(keys_.credentials.authority));
  agent_ = std::make_unique<agent::Agent>(env_, *replica_, driver_, *images_, identity_.id,
                                          env::join_path(config_.data_directory, "records"),
                                          telemetry_, &tracing_->tracer(), templates_.get(),
                                          saved_.get(), ask_holder());
  api_ = std::make_unique<api::Api>(
      env_, *replica_, *images_, metrics_,
      api::Options{.token = std::move(token),
                   .version = config_.version,
                   .self = identity_.id,
                   .own_uid = std::nullopt,
                   .token_key = keys_.authority ? keys_.authority->key : keys_.credentials.key,
                   .authority_fingerprint = authority.fingerprint,
                   .peers = [this] { return peers_->status(); },
                   .rotate_certificate = [this] { return certificate_->rotate(); },
                   .allow_failpoints = config_.allow_failpoints,
                   .tracer = &tracing_->tracer(),
                   .collect_trace = [this](observe::TraceId id) { return tracing_->collect(id); },
                   .configuration = config_.configuration,
                   .templates = templates_.get(),
                   .make_template =
                       [this](std::string image, std::uint32_t vcpus, Bytes memory) {
                         return agent_->make_template(std::move(image), vcpus, memory);
                       },
                   .settings = config_.settings},
      [this](VmId id, std::size_t size_max) { return agent_->console(id, size_max); }, telemetry_);
  return {};
}

agent::AskHolder Node::ask_holder() {
  return [this](NodeId holder, image::Digest digest, std::uint64_t offset) {
    return peers_->request(holder, peer::RequestKind::kSaved, saved::encode({digest, offset}),
                           env_.clock.monotonic() + limits::kHolderTimeout);
  };
}

env::Task<Result<std::string>> Node::on_request(NodeId from, peer::RequestKind kind, Payload body) {
  if (!enroller_) co_return fail(Code::kUnavailable, "not_ready");
  if (kind == peer::RequestKind::kEnrol) co_return co_await enroller_->enrol(std::move(body));
  if (kind == peer::RequestKind::kRenew && from) {
    co_return co_await enroller_->renew(from, std::move(body));
  }
  // Every member may ask: it knows the replicated state, and spans tell no more.
  if (kind == peer::RequestKind::kTrace && from) co_return tracing_->answer(body.view());
  if (kind == peer::RequestKind::kSaved && from && agent_) {
    co_return co_await agent_->give_saved(from, std::move(body));
  }
  co_return fail(Code::kUnimplemented, "request_unknown");
}

env::Task<Result<std::string>> Node::ask_a_server(std::string body) {
  const cluster::Members& members = replica_->cluster_view().members();
  std::vector<NodeId> servers;
  const NodeId leader = replica_->status().leader;
  for (const auto& [peer, membership, leaving] : members) {
    if (peer->id != identity_.id && peer->role == cluster::NodeRole::kServer)
      servers.push_back(peer->id);
  }
  for (const membership::Member& member : identity_.members) {
    if (members.empty()) servers.push_back(member.id);
  }
  // The leader knows best.
  const auto first = std::ranges::find(servers, leader);
  if (first != servers.end()) std::iter_swap(servers.begin(), first);
  Result<std::string> answer = fail(Code::kUnavailable, "peer_unreachable", "no server is known");
  for (const NodeId server : servers) {
    answer = co_await peers_->request(server, peer::RequestKind::kRenew, body,
                                      env_.clock.monotonic() + kAskTimeout);
    if (answer || answer.error().code() == Code::kCancelled) break;
  }
  co_return answer;
}

env::Task<Result<std::string>> Node::certificate_for(std::string request) {
  if (keys_.authority) co_return enroller_->issue_own(identity_.id, request);
  v1::RenewRequest body;
  body.set_certificate_request(request);
  BLX_CO_TRY(const std::string bytes, co_await ask_a_server(body.SerializeAsString()));
  v1::RenewAnswer answer;
  if (bytes.size() > limits::kEnrolBytes || !answer.ParseFromString(bytes)) {
    co_return fail(Code::kDataLoss, "enrolment_invalid", "not an answer");
  }
  co_return std::move(*answer.mutable_certificate());
}

// A node that moved is not reached by the leader, so it says so on a connection of its own.
env::Task<Result<void>> Node::tell_address() {
  const cluster::Member* self = replica_->cluster_view().members().find(identity_.id);
  if (self == nullptr || self->peer->address == advertise_) co_return Result<void>();
  if (replica_->status().leader) {
    v1::Command command;
    command.mutable_update_node_address()->set_node_id(identity_.id.value);
    command.mutable_update_node_address()->set_peer_address(advertise_);
    BLX_CO_TRY(co_await replica_->propose(std::move(command)));
    co_return Result<void>();
  }
  v1::RenewRequest body;
  body.set_peer_address(advertise_);
  BLX_CO_TRY(co_await ask_a_server(body.SerializeAsString()));
  co_return Result<void>();
}

// Of those that the cluster knows, as many as may be told.
std::vector<Name> Node::images_here() const {
  std::vector<Name> names;
  for (const auto& [id, image] : replica_->state().images())
    if (images_->has(image)) names.push_back(image.name);
  std::ranges::sort(names);
  if (names.size() > limits::kNodeImages) names.resize(limits::kNodeImages);
  return names;
}

// What this node is and offers.
env::Task<Result<cluster::Node>> Node::own_facts() {
  const env::MachineFacts& facts = env_.machine.facts();
  const Offer& offer = config_.offer;
  const Capacity capacity = config_.capacity.value_or(
      Capacity{.vcpus = facts.cpus, .memory_mib = offered_memory_mib(facts.memory)});
  cluster::Node node{.id = identity_.id, .name = Name(identity_.name)};
  if (const cluster::Member* self = replica_->cluster_view().members().find(identity_.id)) {
    node.name = Name(self->peer->name);
  }
  node.vcpus = capacity.vcpus;
  node.memory_mib = capacity.memory_mib;
  node.accelerator = vm::accelerator_name(capabilities_.accelerator);
  node.tsc_khz = capabilities_.tsc_khz;
  node.hypervisor_version = capabilities_.version;
  node.version = config_.version;
  node.model_version = config_.model_version;
  if (offer.disk_mib) {
    node.disk_mib = *offer.disk_mib;
  } else {
    BLX_CO_TRY(const env::DiskSpace space, co_await env_.disk.space(config_.data_directory));
    node.disk_mib = static_cast<std::int64_t>(space.total.mib());
  }
  node.network_mbit = offer.network_mbit;
  node.counters = offer.counters;
  node.devices = offer.devices;
  node.architecture = facts.architecture;
  node.kernel_version = facts.kernel;
  node.hypervisors = {capabilities_.hypervisor};
  node.told_labels = offer.labels;
  node.topology = offer.topology;
  node.cost_per_hour_micro = offer.cost_per_hour_micro;
  node.images = images_here();
  co_return node;
}

env::Task<Result<void>> Node::register_node() {
  BLX_CO_FAILPOINT(env_, "worker::register", kUnavailable, "no_leader");
  BLX_CO_TRY(const cluster::Node node, co_await own_facts());
  v1::Command command;
  cluster::write_registration(node, command.mutable_register_node());
  BLX_CO_TRY(co_await replica_->propose(std::move(command)));
  co_return Result<void>();
}

env::Task<Result<void>> Node::introduce() {
  BLX_CO_TRY(co_await tell_address());
  co_return co_await register_node();
}

// Until the cluster has taken it; again when the driver learns at its first start whether KVM is
// worth anything, when the last node of a program that knew less of nodes has gone, and when an
// image comes or goes: placement must hear of it.
env::Task<void> Node::keep_introduced() {
  while (true) {
    const vm::Capabilities told = capabilities_;
    const std::uint32_t told_in = replica_->state().model_version();
    const std::vector<Name> told_images = images_here();
    const auto done = co_await introduce();
    if (!done) {
      if (done.error().code() == Code::kCancelled) co_return;
      BLX_LOG(env_.log, kWarn, "the cluster has not taken this node's facts yet: {}",
              done.error().message());
      if (!co_await env_.clock.sleep(kRetryDelay)) co_return;
      continue;
    }
    introduced_ = true;
    changed_.notify_all();
    while (told.accelerator == capabilities_.accelerator &&
           told_in == replica_->state().model_version() && told_images == images_here()) {
      const Instant again = env_.clock.monotonic() + kCapabilitiesInterval;
      const auto woken =
          co_await env::with_deadline(env_.executor, env_.clock, again, images_->news().wait());
      if (!woken && woken.error().code() == Code::kCancelled) co_return;
      if (const auto now = co_await driver_.probe()) capabilities_ = *now;
    }
  }
}

// A node whose cluster has no quorum is ready all the same: it has something to say.
env::Task<Result<void>> Node::wait_until_known(Instant deadline) {
  while (!introduced_ && !stopping_ && !failure_) {
    const auto waited =
        co_await env::with_deadline(env_.executor, env_.clock, deadline, changed_.wait());
    if (waited) continue;
    if (waited.error().code() == Code::kDeadlineExceeded) break;
    co_return waited;
  }
  co_return Result<void>();
}

// A part that ends by itself, and not because the node stops, takes the node down: half a node
// would look alive.
env::Task<void> Node::guard(env::Task<Result<void>> part) {
  const auto done = co_await std::move(part);
  if (!done && done.error().code() != Code::kCancelled) fail_node(done.error());
}

env::Task<void> Node::run_agent() {
  co_await guard(agent_->run());
  agent_done_ = true;
  changed_.notify_all();
}

env::Task<Result<void>> Node::serve(std::function<void(const Ready&)> on_ready) {
  const std::string socket = env::join_path(config_.data_directory, "api.sock");
  BLX_CO_TRY(auto local, co_await env_.network.listen(env::Endpoint::unix_socket(socket)));
  std::unique_ptr<env::Listener> tcp;
  if (config_.listen) {
    BLX_CO_TRY(tcp, co_await env_.network.listen(*config_.listen));
  }
  BLX_CO_TRY(auto peer_listener, co_await transport_->listen(config_.peer_listen));
  Ready ready{identity_.id, identity_.name, socket, std::nullopt, peer_listener->local()};
  if (tcp) ready.listen = tcp->local();
  if (config_.advertise.empty()) advertise_ = ready.peer_listen.text();

  http::Server server(env_, *api_, {}, config_.settings);
  placement::Placer placer(env_, *replica_, telemetry_, &tracing_->tracer());
  placement::Drainer drainer(env_, *replica_);
  placement::Upkeep upkeep(env_, *replica_);
  membership::Steward steward(env_, *replica_);
  env::Scope peers(env_.executor, co_await env::this_cancellation());
  env::Scope servers(env_.executor, co_await env::this_cancellation());
  env::Scope workers(env_.executor, co_await env::this_cancellation());
  peers.spawn(guard(peers_->serve(std::move(peer_listener))));
  workers.spawn(guard(replica_->failed()));
  workers.spawn(placer.run());
  workers.spawn(drainer.run());
  workers.spawn(upkeep.run());
  workers.spawn(steward.run());
  workers.spawn(certificate_->run());
  workers.spawn(keep_introduced());
  workers.spawn(run_agent());
  workers.spawn(tracing_->run());
  servers.spawn(guard(server.serve(std::move(local))));
  if (tcp) servers.spawn(guard(server.serve(std::move(tcp))));
  Result<void> waited = co_await wait_until_known(env_.clock.monotonic() + kReadyPatience);
  if (waited && !failure_) on_ready(ready);

  while (waited && !stopping_ && !failure_)
    waited = co_await changed_.wait();
  if (waited && stopping_ == StopGuests::kYes) {
    agent_->leave();
    while (waited && !agent_done_ && !failure_)
      waited = co_await changed_.wait();
  }
  co_await server.stop(env_.clock.monotonic() + limits::kHttpStopTimeout);
  workers.cancel();
  servers.cancel();
  co_await servers.join();
  co_await workers.join();
  co_await tracing_->flush();
  co_await stop_replica();
  peers.cancel();
  co_await peers.join();
  if (failure_) co_return std::unexpected(*failure_);
  co_return waited;
}

}  // namespace blixard::node

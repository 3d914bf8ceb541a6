#include "node/node.h"

#include <utility>

#include "base/limits.h"

namespace blixard::node {
namespace {

// Left to the host when its memory is offered to guests.
constexpr std::uint64_t kReservedMemoryMib = 512;
constexpr Duration kCapabilitiesInterval = 5s;
constexpr Duration kCertificateLifetime = std::chrono::hours(24 * 365);

std::uint32_t offered_memory_mib(Bytes memory) {
  const std::uint64_t total = memory.mib();
  return static_cast<std::uint32_t>(total > 2 * kReservedMemoryMib ? total - kReservedMemoryMib
                                                                   : total / 2);
}

}  // namespace

Node::Node(env::Env env, Config config, vm::Driver& driver)
    : env_(env), config_(std::move(config)), driver_(driver), changed_(env.executor) {}

Node::~Node() = default;

void Node::stop(StopGuests guests) {
  if (!stopping_) stopping_ = guests;
  changed_.notify_all();
}

void Node::fail_node(Error error) {
  if (!failure_) failure_.emplace(std::move(error));
  changed_.notify_all();
}

env::Task<Result<void>> Node::run(std::function<void(const Ready&)> on_ready) {
  Result<void> done = co_await open();
  if (done) done = co_await serve(std::move(on_ready));
  api_.reset();
  agent_.reset();
  if (replica_) co_await replica_->stop();
  if (peers_) co_await peers_->stop();
  replica_.reset();
  peers_.reset();
  lock_.reset();
  co_return done;
}

env::Task<Result<void>> Node::open() {
  const std::string& data = config_.data_directory;
  const auto path = [&](const char* name) { return env::join_path(data, name); };
  BLX_CO_TRY(co_await env_.disk.make_directory(data));
  auto lock = co_await env_.disk.lock(data);
  if (!lock && lock.error().reason() == "directory_in_use") {
    co_return fail(Code::kFailedPrecondition, "directory_in_use",
                   "another blixard node runs on " + data +
                       "; stop it, or give this one another --data directory");
  }
  BLX_CO_TRY(lock_, std::move(lock));
  BLX_CO_TRY(identity_, co_await load_identity(env_, data, config_.name));
  BLX_CO_TRY(const std::string token, co_await load_api_token(env_, path("api.token")));
  BLX_CO_TRY(capabilities_, co_await driver_.probe());
  BLX_CO_TRY(images_, co_await image::Store::open(env_, path("images")));
  BLX_CO_TRY(co_await open_replica());
  agent_ = std::make_unique<agent::Agent>(env_, *replica_, driver_, *images_, identity_.id,
                                          path("records"));
  api_ = std::make_unique<api::Api>(
      env_, *replica_, *images_, metrics_,
      api::Options{.token = token, .version = config_.version, .self = identity_.id},
      [this](VmId id, std::size_t size_max) { return agent_->console(id, size_max); });
  co_return Result<void>();
}

// A cluster of this node: its own authority, which nobody else will ever ask.
env::Task<Result<void>> Node::open_replica() {
  const WallTime wall = env_.clock.wall();
  const env::Subject subject{.cluster = identity_.name, .node = identity_.id};
  BLX_CO_TRY(const env::Authority authority,
             env_.security.make_authority(subject.cluster, wall, kCertificateLifetime));
  BLX_CO_TRY(const env::KeyRequest request, env_.security.make_request());
  BLX_CO_TRY(const std::string certificate,
             env_.security.issue(authority, request.request, subject, wall, kCertificateLifetime));
  BLX_CO_TRY(transport_, env_.security.open({.certificate = certificate,
                                             .key = request.key,
                                             .authority = authority.certificate}));
  peers_ = peer::Peers::make(env_, {.self = identity_.id, .cluster = subject.cluster}, *transport_);
  const std::string log = env::join_path(config_.data_directory, "log");
  cluster::State first;
  BLX_CO_TRY(first.apply_configuration(LogIndex(1), {.voters = {identity_.id}}, {}, nullptr));
  const auto made = co_await replica::bootstrap(env_, log, first, config_.replica);
  if (!made && made.error().reason() != "log_not_empty") co_return std::unexpected(made.error());
  BLX_CO_TRY(replica_, co_await replica::open_replica(env_, log, identity_.id, config_.replica,
                                                      *peers_, nullptr));
  co_return Result<void>();
}

env::Task<Result<void>> Node::register_node() {
  const env::MachineFacts& facts = env_.machine.facts();
  v1::Command command;
  auto* node = command.mutable_register_node();
  node->set_node_id(identity_.id.value);
  node->set_name(identity_.name);
  node->mutable_capacity()->set_vcpus(facts.cpus);
  node->mutable_capacity()->set_memory_mib(offered_memory_mib(facts.memory));
  node->set_accelerator(std::string(vm::accelerator_name(capabilities_.accelerator)));
  node->set_tsc_khz(capabilities_.tsc_khz);
  node->set_version(config_.version);
  BLX_CO_TRY(co_await replica_->propose(std::move(command)));
  co_return Result<void>();
}

// The driver learns at its first start whether KVM is worth anything; placement must hear of it.
env::Task<void> Node::keep_registered() {
  while (co_await env_.clock.sleep(kCapabilitiesInterval)) {
    const auto now = co_await driver_.probe();
    if (!now || now->accelerator == capabilities_.accelerator) continue;
    const vm::Capabilities before = std::exchange(capabilities_, *now);
    const auto registered = co_await register_node();
    if (registered) continue;
    BLX_LOG(env_.log, kWarn, "the new accelerator is not registered: {}",
            registered.error().message());
    capabilities_ = before;  // the next look finds the difference again
  }
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
  BLX_CO_TRY(co_await register_node());

  Ready ready{identity_.id, identity_.name, socket, std::nullopt};
  if (tcp) ready.listen = tcp->local();
  http::Server server(env_, *api_);
  placement::Placer placer(env_, *replica_);
  env::Scope servers(env_.executor, co_await env::this_cancellation());
  env::Scope workers(env_.executor, co_await env::this_cancellation());
  workers.spawn(guard(replica_->failed()));
  workers.spawn(placer.run());
  workers.spawn(keep_registered());
  workers.spawn(run_agent());
  servers.spawn(guard(server.serve(std::move(local))));
  if (tcp) servers.spawn(guard(server.serve(std::move(tcp))));
  on_ready(ready);

  Result<void> waited;
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
  if (failure_) co_return std::unexpected(*failure_);
  co_return waited;
}

}  // namespace blixard::node

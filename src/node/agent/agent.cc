#include "node/agent/agent.h"

#include <algorithm>
#include <utility>

#include "base/limits.h"
#include "env/failpoint.h"
#include "node/saved/piece_request.h"
#include "observe/allocations.h"

namespace blixard::agent {
namespace {

constexpr Duration kRetryDelay = 1s;
constexpr Duration kFlushPatience = 10s;
constexpr Duration kLateMax = 3s;  // of news, in simulation

}  // namespace

Agent::Agent(env::Env env, replica::Replica& replica, vm::Driver& driver, image::Store& images,
             NodeId self, std::string records_directory, telemetry::Telemetry& telemetry,
             trace::Tracer* tracer, templates::Store* templates, saved::Store* saved,
             AskHolder ask_holder)
    : env_(env),
      records_(env, std::move(records_directory)),
      reports_(env, replica, self, tracer),
      services_{env,  replica,   driver, images,    records_, reports_,
                self, telemetry, tracer, templates, saved,    std::move(ask_holder)},
      changed_(env.executor) {}

env::Task<Result<void>> Agent::run() {
  const observe::AllocationTag tag(observe::Subsystem::kAgent);
  BLX_CO_TRY(found_, co_await records_.load());
  BLX_CO_TRY(co_await wait_until_current());
  if (leaving_) co_return Result<void>();
  env::Scope scope(env_.executor, co_await env::this_cancellation());
  scope_ = &scope;
  scope.spawn(reports_.run());
  // First of all: what nobody names is gone before any keeper looks whether it is here.
  if (services_.saved != nullptr) scope.spawn(tidy_saved());
  look_at_all();
  scope.spawn(sweep());
  if (services_.templates != nullptr) scope.spawn(services_.templates->run(template_host()));
  scope.spawn(follow());
  Result<void> waited;
  while (waited && !(leaving_ && keepers_.empty()))
    waited = co_await changed_.wait();
  if (waited) {
    const Instant deadline = env_.clock.monotonic() + kFlushPatience;
    ignore(co_await env::with_deadline(env_.executor, env_.clock, deadline, reports_.flush()),
           "the next daemon sees for itself");
  }
  scope.cancel();
  co_await scope.join();
  scope_ = nullptr;
  keepers_.clear();
  co_return waited;
}

templates::Host Agent::template_host() {
  return {.clones =
              [this] {
                std::map<std::string, std::size_t> clones;
                for (const auto& [id, keeper] : keepers_) {
                  const auto& record = keeper->record();
                  if (record && !record->template_key.empty()) ++clones[record->template_key];
                }
                return clones;
              },
          .is_starting =
              [this] {
                return std::ranges::any_of(
                    keepers_, [](const auto& each) { return each.second->is_starting(); });
              },
          .tried =
              [this](const Result<templates::Manifest>& made, Duration took) {
                services_.telemetry.record_template_making(telemetry::outcome_of(made), took);
              }};
}

env::Task<Result<templates::Manifest>> Agent::make_template(std::string image, std::uint32_t vcpus,
                                                            Bytes memory) {
  if (services_.templates == nullptr) {
    co_return fail(Code::kFailedPrecondition, "templates_unsupported", "this node keeps none");
  }
  const cluster::Image* found = services_.replica.state().find_image(image);
  if (found == nullptr) {
    co_return fail(Code::kNotFound, "image_not_found", "no image is named " + image);
  }
  const cluster::Image kept = *found;
  // Of the VM nothing but image and size matters, and the driver gives it a name of its own.
  vm::GuestSpec spec{.id = VmId(1),
                     .generation = Generation(1),
                     .uuid = env_.random.uuid(),
                     .name = "template",
                     .kernel_path = {},
                     .initrd_path = {},
                     .cmdline = kept.cmdline,
                     .vcpus = vcpus,
                     .memory = memory,
                     .published = {},
                     .kernel_digest = image::digest_in(kept, image::kKernelName),
                     .initrd_digest = image::digest_in(kept, image::kInitrdName),
                     .clone_of = {}};
  BLX_CO_TRY(auto paths, co_await services_.images.paths(kept));
  spec.kernel_path = std::move(paths.kernel);
  spec.initrd_path = std::move(paths.initrd);
  BLX_CO_TRY(vm::check_guest_spec(spec));
  co_return co_await services_.templates->make(std::move(spec), std::move(image));
}

env::Task<Result<void>> Agent::wait_until_current() {
  while (!leaving_) {
    const auto current = co_await services_.replica.read_barrier();
    if (current) co_return current;
    const Instant again = env_.clock.monotonic() + kRetryDelay;
    const auto waited =
        co_await env::with_deadline(env_.executor, env_.clock, again, changed_.wait());
    if (!waited && waited.error().code() == Code::kCancelled) co_return waited;
  }
  co_return Result<void>();
}

void Agent::leave() {
  leaving_ = true;
  for (auto& [id, keeper] : keepers_)
    keeper->leave();
  changed_.notify_all();
}

env::Task<Result<std::string>> Agent::console(VmId id, std::size_t size_max) {
  const observe::AllocationTag tag(observe::Subsystem::kAgent);
  const cluster::Vm* vm = services_.replica.state().find_vm(id);
  if (vm != nullptr && vm->node && vm->node != services_.self) {
    co_return fail(Code::kFailedPrecondition, "vm_not_here");
  }
  const auto found = keepers_.find(id);
  if (found == keepers_.end() || !found->second->record()) {
    co_return fail(Code::kNotFound, "console_empty");
  }
  BLX_CO_FAILPOINT(services_.env, "vm::console", kUnavailable, "io_error");
  co_return co_await services_.driver.console(*found->second->record(), size_max);
}

void Agent::look_at(const cluster::Vm& vm) {
  if (const auto found = keepers_.find(vm.id); found != keepers_.end()) {
    found->second->wake();
  } else if (vm.node == services_.self && !leaving_) {
    begin_keeping(vm.id);
  }
}

void Agent::begin_keeping(VmId id) {
  std::optional<vm::Record> record;
  if (auto found = found_.records.extract(id); !found.empty()) record = std::move(found.mapped());
  keepers_.emplace(id, std::make_unique<VmKeeper>(services_, id, std::move(record)));
  scope_->spawn(keep(id));
}

void Agent::look_at_all() {
  const cluster::State& state = services_.replica.state();
  seen_revision_ = state.revision();
  for (auto& [id, keeper] : keepers_)
    keeper->wake();
  for (const VmId id : state.vms_on(services_.self))
    look_at(*state.find_vm(id));
}

void Agent::follow_changes() {
  const auto changes = services_.replica.changes(seen_revision_);
  if (!changes) return look_at_all();
  const cluster::State& state = services_.replica.state();
  for (const cluster::Change& change : *changes) {
    seen_revision_ = change.revision;
    if (change.kind == cluster::Change::Kind::kVmChanged) {
      if (const cluster::Vm* vm = state.find_vm(VmId(change.object_id))) look_at(*vm);
    } else if (change.kind == cluster::Change::Kind::kVmRemoved) {
      const auto found = keepers_.find(VmId(change.object_id));
      if (found != keepers_.end()) found->second->wake();
    }
  }
}

env::Task<void> Agent::follow() {
  while (true) {
    follow_changes();
    if (!co_await services_.replica.applied().wait()) co_return;
    if (!env_.rare.happens(env::RareSite::kAgentLate)) continue;
    const auto most = static_cast<std::uint64_t>(kLateMax.count());
    if (!co_await env_.clock.sleep(Duration(env_.random.below(most)))) co_return;
  }
}

env::Task<void> Agent::keep(VmId id) {
  co_await keepers_.at(id)->run();
  keepers_.erase(id);
  changed_.notify_all();
  // It may have been assigned to this node again while the old copy was put away.
  const auto* cancellation = co_await env::this_cancellation();
  if (cancellation->requested()) co_return;
  if (const cluster::Vm* vm = services_.replica.state().find_vm(id)) look_at(*vm);
}

// What is here of VMs that are not this node's gets keepers as well: they find that nobody wants
// it and put it away.
env::Task<void> Agent::sweep() {
  std::set<VmId> here = std::exchange(found_.damaged, {});
  for (const auto& [id, record] : found_.records)
    here.insert(id);
  auto leftovers = co_await services_.driver.leftovers();
  while (!leftovers) {
    BLX_LOG(env_.log, kWarn, "leftovers cannot be listed: {}", leftovers.error().message());
    if (!co_await env_.clock.sleep(kRetryDelay)) co_return;
    leftovers = co_await services_.driver.leftovers();
  }
  here.insert(leftovers->begin(), leftovers->end());
  for (const VmId id : here) {
    if (!keepers_.contains(id) && !leaving_) begin_keeping(id);
  }
}

bool Agent::goes_on_at(NodeId node, const image::Digest& digest) const {
  const cluster::State& state = services_.replica.state();
  return std::ranges::any_of(state.vms_on(node), [&](VmId id) {
    const cluster::Saves& saves = *state.find_vm(id)->saves;
    return saves.resume_from && saves.resume_from->digest == digest;
  });
}

// It is all that was in the guest's memory: nobody else has a use for it.
env::Task<Result<std::string>> Agent::give_saved(NodeId asker, Payload body) {
  BLX_CO_TRY(const saved::PieceRequest request, saved::decode_piece_request(body.view()));
  if (services_.saved == nullptr) co_return fail(Code::kNotFound, "saved_guest_not_here");
  // The asker may know more of the log than this node does yet.
  if (!goes_on_at(asker, request.digest)) BLX_CO_TRY(co_await services_.replica.read_barrier());
  if (!goes_on_at(asker, request.digest)) {
    co_return fail(Code::kPermissionDenied, "saved_guest_not_yours",
                   "no VM of that node goes on from it");
  }
  co_return co_await services_.saved->piece(request.digest, request.offset);
}

// A copy on another node than the holder's is of use for one start.
bool Agent::is_named(VmId id, const image::Digest& digest) const {
  const auto keeper = keepers_.find(id);
  if (keeper != keepers_.end() && keeper->second->holds(digest)) return true;
  const cluster::Vm* vm = services_.replica.state().find_vm(id);
  if (vm == nullptr) return false;
  const cluster::Saves& saves = *vm->saves;
  if (saves.resume_from && saves.resume_from->digest == digest) return true;
  return saves.snapshot && saves.snapshot->digest == digest &&
         saves.snapshot->holder == services_.self;
}

env::Task<void> Agent::tidy_saved() {
  do {
    co_await services_.saved->keep_only(
        [this](VmId id, const image::Digest& digest) { return is_named(id, digest); });
  } while (co_await services_.replica.applied().wait());
}

}  // namespace blixard::agent

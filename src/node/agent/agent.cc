#include "node/agent/agent.h"

#include <utility>

namespace blixard::agent {

Agent::Agent(env::Env env, replica::Replica& replica, vm::Driver& driver, image::Store& images,
             NodeId self, std::string records_directory)
    : env_(env),
      records_(env, std::move(records_directory)),
      reports_(env, replica, self),
      services_{env, replica, driver, images, records_, reports_, self},
      kept_(env.executor) {}

env::Task<Result<void>> Agent::run() {
  BLX_CO_TRY(found_records_, co_await records_.load());
  env::Scope scope(env_.executor, co_await env::this_cancellation());
  scope_ = &scope;
  scope.spawn(reports_.run());
  look_at_all();
  scope.spawn(sweep(std::exchange(found_records_, {})));
  Result<void> waited;
  while (waited && !leaving_) {
    follow_changes();
    waited = co_await services_.replica.applied().wait();
  }
  while (waited && !keepers_.empty())
    waited = co_await kept_.wait();
  if (waited) waited = co_await reports_.flush();
  scope.cancel();
  co_await scope.join();
  scope_ = nullptr;
  keepers_.clear();
  co_return waited;
}

void Agent::leave() {
  leaving_ = true;
  for (auto& [id, keeper] : keepers_)
    keeper->leave();
  services_.replica.applied().notify_all();
}

env::Task<Result<std::string>> Agent::console(VmId id, std::size_t size_max) {
  const auto found = keepers_.find(id);
  if (found == keepers_.end() || !found->second->record()) {
    co_return fail(Code::kNotFound, "console_empty");
  }
  co_return co_await services_.driver.console(*found->second->record(), size_max);
}

void Agent::look_at(const cluster::Vm& vm) {
  if (const auto found = keepers_.find(vm.id); found != keepers_.end()) {
    found->second->wake();
    return;
  }
  if (vm.node != services_.self || leaving_) return;
  std::optional<vm::Record> record;
  if (auto node = found_records_.extract(vm.id); !node.empty()) record = std::move(node.mapped());
  keepers_.emplace(vm.id, std::make_unique<VmKeeper>(services_, vm.id, std::move(record)));
  scope_->spawn(keep(vm.id));
}

void Agent::look_at_all() {
  const cluster::State& state = services_.replica.state();
  seen_revision_ = state.revision();
  for (auto& [id, keeper] : keepers_)
    keeper->wake();
  for (const auto& [id, vm] : state.vms())
    look_at(vm);
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

env::Task<void> Agent::keep(VmId id) {
  co_await keepers_.at(id)->run();
  keepers_.erase(id);
  kept_.notify_all();
  // It may have been assigned to this node again while the old copy was put away.
  const auto* cancellation = co_await env::this_cancellation();
  if (cancellation->requested()) co_return;
  if (const cluster::Vm* vm = services_.replica.state().find_vm(id)) look_at(*vm);
}

env::Task<void> Agent::sweep(std::map<VmId, vm::Record> unclaimed) {
  if (!co_await services_.replica.read_barrier()) co_return;
  for (auto& [id, record] : unclaimed) {
    if (keepers_.contains(id)) continue;
    BLX_LOG(env_.log, kInfo, "vm {} is not this node's any more: removed", id.value);
    if (co_await services_.driver.release(record)) {
      ignore(co_await records_.remove(id), "tried again at the next start");
    }
  }
  const auto leftovers = co_await services_.driver.leftovers();
  if (!leftovers) co_return;
  for (const VmId id : *leftovers) {
    if (keepers_.contains(id)) continue;
    BLX_LOG(env_.log, kInfo, "vm {} has no owner: removed", id.value);
    const auto released = co_await services_.driver.release_leftover(id);
    if (!released) BLX_LOG(env_.log, kWarn, "vm {}: {}", id.value, released.error().message());
  }
}

}  // namespace blixard::agent

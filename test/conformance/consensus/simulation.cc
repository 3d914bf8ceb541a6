#include "test/conformance/consensus/simulation.h"

#include <algorithm>
#include <memory>

#include <fmt/format.h>

#include "env/scope.h"
#include "sim/world.h"
#include "test/conformance/consensus/nemesis.h"

namespace blixard::consensus_sim {
namespace {

constexpr std::size_t kLines = 60;

class Simulation {
 public:
  Simulation(const Settings& settings, LogLines lines)
      : settings_(settings),
        lines_(lines),
        judge_([this](std::string_view /*checker*/, const std::string& text) { note(text); }),
        world_(std::make_unique<sim::World>(settings.seed)) {
    world_->set_log_level(lines == LogLines::kDebug  ? observe::Level::kDebug
                          : lines == LogLines::kInfo ? observe::Level::kInfo
                                                     : observe::Level::kError);
    cluster_ = std::make_unique<Cluster>(settings_, *world_, judge_);
    clients_ = std::make_unique<Clients>(*cluster_);
    nemesis_ = std::make_unique<Nemesis>(*cluster_, *clients_);
  }

  Outcome run() {
    if (!world_->run(play(), settings_.until + 10 * kRecovery) && !judge_.violation()) {
      judge_.fail("settles", "the simulation does not end");
    }
    outcome_.elapsed = world_->elapsed();
    outcome_.trace_hash = world_->trace_hash();
    outcome_.elections = judge_.elections();
    outcome_.requests = judge_.requests();
    outcome_.repeated = judge_.repeated_requests();
    outcome_.entries = judge_.last().value;
    outcome_.counts = clients_->counts();
    outcome_.faults = nemesis_->counts();
    if (lines_ == LogLines::kDebug) outcome_.log = world_->log_lines();
    world_.reset();  // what its daemons refer to is still there
    return std::move(outcome_);
  }

 private:
  void note(const std::string& text) {
    const auto& lines = world_->log_lines();
    const std::size_t count = std::min(kLines, lines.size());
    outcome_.violation =
        Violation{.text = text,
                  .at = world_->elapsed(),
                  .lines = {lines.end() - static_cast<std::ptrdiff_t>(count), lines.end()}};
  }

  // False: the judge has seen enough.
  env::Task<bool> go_on_until(Instant end) {
    while (!judge_.violation() && now() < end)
      if (!co_await cluster_->pause(20ms)) co_return false;
    co_return !judge_.violation();
  }

  env::Task<void> play() {
    env::Scope clients(cluster_->env().executor, co_await env::this_cancellation());
    env::Scope manager(cluster_->env().executor, co_await env::this_cancellation());
    env::Scope faults(cluster_->env().executor, co_await env::this_cancellation());
    for (const auto& daemon : cluster_->daemons())
      cluster_->start(*daemon);
    manager.spawn(cluster_->manage());
    for (std::size_t i = 0; i < settings_.writers; ++i)
      clients.spawn(clients_->write(i));
    for (std::size_t i = 0; i < settings_.readers; ++i)
      clients.spawn(clients_->read());
    faults.spawn(nemesis_->run());
    bool good = co_await go_on_until(now() + settings_.until);
    faults.cancel();
    co_await faults.join();
    if (good) good = co_await recover(clients);
    if (!good) clients.cancel();
    co_await clients.join();
    manager.cancel();
    co_await manager.join();
  }

  env::Task<bool> recover(env::Scope& clients) {
    const Instant begun = now();
    nemesis_->heal();
    // The writers' way through a healthy cluster is part of it.
    co_await cluster_->pause(300ms);
    clients_->finish();
    std::string why;
    while (!judge_.violation()) {
      nemesis_->heal();
      why = clients.running() > 0 ? fmt::format("{} requests wait", clients_->waiting())
                                  : difference();
      if (why.empty()) break;
      if (now() - begun > kRecovery) {
        judge_.fail("settles", "nothing is broken, and yet: " + why);
        break;
      }
      if (!co_await cluster_->pause(50ms)) break;
    }
    outcome_.recovery = now() - begun;
    co_return !judge_.violation();
  }

  // Why the members are not one; empty: they are.
  std::string difference() {
    const Daemon* leader = cluster_->leader();
    if (leader == nullptr) return "nobody leads";
    const replica::Status status = leader->replica->status();
    if (status.applied != judge_.last()) return "the leader has not applied all";
    const raft::ConfState& configuration = leader->replica->state().configuration();
    if (status.configuration != configuration) return "the leader's configuration differs";
    const std::string hash = leader->replica->state().hash();
    std::size_t members = 0;
    for (const auto& daemon : cluster_->daemons()) {
      if (leader->replica->state().membership(daemon->id) == cluster::Membership::kNone) continue;
      ++members;
      if (daemon->replica == nullptr) return fmt::format("node {} does not run", daemon->id.value);
      const replica::Status its = daemon->replica->status();
      if (its.applied != status.applied) {
        return fmt::format("node {} has applied {} of {}", daemon->id.value, its.applied.value,
                           status.applied.value);
      }
      if (daemon->replica->state().hash() != hash) {
        return fmt::format("node {} has another state", daemon->id.value);
      }
      if (its.configuration != configuration) {
        return fmt::format("node {} has another configuration", daemon->id.value);
      }
    }
    if (members != configuration.voters.size() + configuration.learners.size()) {
      return "members have no machine";
    }
    return {};
  }

  [[nodiscard]] Instant now() { return cluster_->env().clock.monotonic(); }

  const Settings settings_;
  LogLines lines_;
  Outcome outcome_;
  Judge judge_;
  std::unique_ptr<sim::World> world_;
  std::unique_ptr<Cluster> cluster_;
  std::unique_ptr<Clients> clients_;
  std::unique_ptr<Nemesis> nemesis_;
};

}  // namespace

Outcome simulate(const Settings& settings, LogLines lines) {
  return Simulation(settings, lines).run();
}

}  // namespace blixard::consensus_sim

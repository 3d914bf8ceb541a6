#include "vopr/run.h"

#include <memory>
#include <utility>

#include <fmt/format.h>

#include "env/scope.h"
#include "linearizability/formats.h"
#include "linearizability/judgement.h"
#include "sim/world.h"
#include "vopr/clients.h"
#include "vopr/cluster.h"
#include "vopr/faults.h"
#include "vopr/judge.h"
#include "vopr/operator.h"
#include "vopr/recorder.h"
#include "vopr/settling.h"

namespace blixard::vopr {
namespace {

constexpr Duration kLook = 250ms;
// What was done last may show a moment later: a guest that panicked takes its time to end.
constexpr Duration kCalm = 2s;
constexpr Duration kWholeRun = 24h;
constexpr std::uint64_t kJudgeSteps = 2'000'000;

class Simulation {
 public:
  Simulation(const Plan& plan, const RunOptions& options)
      : plan_(plan),
        options_(options),
        world_(std::make_unique<sim::World>(plan.seed)),
        recorder_([this] { return world_->elapsed(); },
                  [this](std::uint32_t site) { return cluster_->standing(site); }),
        judge_([this](std::string_view checker, const std::string& text) {
          recorder_.fail(std::string(checker), text);
        }) {
    world_->set_log_level(options.keep_log ? options.log_level : observe::Level::kError);
    cluster_ = std::make_unique<Cluster>(plan_, *world_, recorder_, judge_);
    clients_ = std::make_unique<Clients>(*cluster_);
    operator_ = std::make_unique<Operator>(*cluster_, *clients_);
    faults_ = std::make_unique<Faults>(*cluster_, *operator_);
  }

  Report run() {
    if (!world_->run(play(), plan_.until + kWholeRun)) {
      recorder_.fail("settles", "the run does not end");
    }
    check_history();
    Report& report = recorder_.report();
    report.elapsed = world_->elapsed();
    report.trace_hash = world_->trace_hash();
    report.counts.entries = judge_.last().value;
    report.counts.events = world_->steps();
    report.history = clients_->history().text();
    if (options_.keep_log) report.log = world_->log_lines();
    recorder_.close();
    world_.reset();  // what its daemons refer to is still there
    return std::move(report);
  }

 private:
  void set_rareness() {
    const std::uint32_t percent = plan_.settings.rare_percent;
    if (percent == 0) return;
    sim::Rareness rareness{.percent = percent};
    sim::SeededRandom random(sim::SeededRandom(plan_.seed).seed_for("rare"));
    for (bool& on : rareness.on)
      on = random.one_in(4);
    rareness.taken = [this](std::uint32_t machine, env::RareSite site) {
      // Machine 1 is the clients'.
      if (machine > 1) recorder_.note(machine - 1, Event::kRare, std::string(rare_site_name(site)));
    };
    world_->set_rareness(std::move(rareness));
  }

  env::Task<void> play() {
    env::Scope manager(cluster_->env().executor, co_await env::this_cancellation());
    env::Scope clients(cluster_->env().executor, co_await env::this_cancellation());
    env::Scope trouble(cluster_->env().executor, co_await env::this_cancellation());
    manager.spawn(cluster_->manage());
    if (co_await operator_->form()) {
      manager.spawn(operator_->mend());
      const Instant begin = cluster_->now();
      set_rareness();
      recorder_.report().trouble_from = recorder_.elapsed();
      for (std::uint32_t i = 1; i <= plan_.settings.clients; ++i)
        clients.spawn(clients_->run(i, begin));
      co_await carry_out_steps(begin, trouble);
      world_->set_rareness({});
      recorder_.report().trouble_until = recorder_.elapsed();
      faults_->heal();
      if (co_await go_on_until(cluster_->now() + kCalm)) co_await settle("at the end", false);
      if (!recorder_.failed()) co_await restart_all();
    } else {
      recorder_.fail("settles", "the cluster does not form");
    }
    for (env::Scope* scope : {&trouble, &clients, &manager}) {
      scope->cancel();
      co_await scope->join();
    }
    co_await clients_->stop();
  }

  env::Task<void> carry_out_steps(Instant begin, env::Scope& trouble) {
    const Instant end = begin + plan_.until;
    for (const Step& step : plan_.steps) {
      const Group group = facts_of(step.action).group;
      if (group == Group::kClient) continue;
      if (!co_await go_on_until(std::min(begin + step.at, end))) co_return;
      if (step.at > plan_.until) break;
      if (group == Group::kOperator) {
        trouble.spawn(operator_->act(step));
      } else {
        faults_->strike(step, trouble);
      }
    }
    co_await go_on_until(end);
  }

  // False: enough was seen.
  env::Task<bool> go_on_until(Instant end) {
    while (!recorder_.failed() && cluster_->now() < end) {
      cluster_->look();
      if (!co_await cluster_->pause(std::min(kLook, end - cluster_->now()))) co_return false;
    }
    co_return !recorder_.failed();
  }

  env::Task<void> settle(std::string when, bool after_restart) {
    clients_->finish();
    Settling settling(*cluster_, *clients_, *operator_, after_restart);
    const Instant deadline = cluster_->now() + kSettle;
    while (!recorder_.failed()) {
      faults_->heal();
      const std::string missing = settling.missing();
      if (missing.empty()) break;
      if (cluster_->now() >= deadline) {
        recorder_.fail("settles", fmt::format("{}, and nothing is broken: {}", when, missing));
      }
      if (!co_await cluster_->pause(kLook)) co_return;
    }
    if (!recorder_.failed()) recorder_.note(0, Event::kSettled, when);
  }

  // Every daemon dies once more: the next ones adopt what runs, and nothing else begins.
  env::Task<void> restart_all() {
    const std::uint64_t guests = recorder_.report().counts.guests;
    // Time goes on meanwhile, and what it brings (a preemption that is allowed again) is no fault.
    const std::uint64_t assignments = cluster_->states().assignments();
    bool is_sound = true;
    for (const auto& site : cluster_->sites()) {
      is_sound = is_sound && !site->damaged;
      if (!site->running) continue;
      recorder_.note_step(site->number, Event::kStep, Action::kCrash, "crash");
      cluster_->crash(*site);
    }
    co_await settle("after one more crash", true);
    const std::uint64_t started = recorder_.report().counts.guests - guests;
    const std::uint64_t assigned = cluster_->states().assignments() - assignments;
    if (is_sound && !recorder_.failed() && started > assigned) {
      recorder_.fail("adopts", "a guest was started by daemons that should have adopted it");
    }
  }

  void check_history() {
    if (recorder_.failed()) return;
    const auto recorded = linearizability::read_history(linearizability::Format::kBlixardJson,
                                                        clients_->history().text());
    if (!recorded) {
      recorder_.fail("linearizable", recorded.error().message());
      return;
    }
    linearizability::Budget budget;
    budget.steps_max = kJudgeSteps;
    const auto judged = linearizability::judge(linearizability::ModelName::kVm, *recorded, budget);
    if (!judged) {
      recorder_.fail("linearizable", judged.error().message());
    } else if (judged->verdict == linearizability::Verdict::kViolation) {
      recorder_.fail("linearizable", linearizability::violation_text(*judged));
    }
  }

  const Plan& plan_;
  RunOptions options_;
  std::unique_ptr<sim::World> world_;
  Recorder recorder_;
  Judge judge_;
  std::unique_ptr<Cluster> cluster_;
  std::unique_ptr<Clients> clients_;
  std::unique_ptr<Operator> operator_;
  std::unique_ptr<Faults> faults_;
};

}  // namespace

Report run(const Plan& plan, const RunOptions& options) { return Simulation(plan, options).run(); }

}  // namespace blixard::vopr

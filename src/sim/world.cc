#include "sim/world.h"

#include "env/scope.h"
#include "sim/engine.h"
#include "sim/fabric.h"
#include "sim/host.h"
#include "sim/journal.h"
#include "sim/random.h"

namespace blixard::sim {

class World::Impl final : public env::Executor {
 public:
  explicit Impl(std::uint64_t seed) : random(seed), fabric(engine, random.seed_for("fabric")) {}
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  ~Impl() override {
    for (const auto& machine : machines)
      machine->host().end_all();
    run_until([this] { return unfinished_tasks() == 0; }, kUnwindLimit);
    BLX_ASSERT(unfinished_tasks() == 0);
    engine.clear();
  }

  void post(std::coroutine_handle<> ready) override { engine.make_ready(ready, 0); }

  template <class Condition>
  Engine::Step run_until(Condition condition, Duration limit) {
    const Instant last = engine.now() + limit;
    Engine::Step step = Engine::Step::kRan;
    while (!condition() && step == Engine::Step::kRan)
      step = engine.step(last);
    return step;
  }

  [[nodiscard]] Link& link(Machine& from, Machine& to) {
    return fabric.link(from.host().number, to.host().number);
  }

  [[nodiscard]] std::size_t unfinished_tasks() const {
    std::size_t count = 0;
    for (const auto& machine : machines)
      count += machine->host().unfinished_tasks();
    return count;
  }

  SeededRandom random;
  Engine engine;
  Journal journal;
  Rareness rareness;
  Fabric fabric;
  std::vector<std::unique_ptr<Machine>> machines;
};

World::World(std::uint64_t seed) : impl_(std::make_unique<Impl>(seed)) {}
World::~World() = default;

Machine& World::add_machine(std::string name) {
  const auto number = static_cast<std::uint32_t>(impl_->machines.size() + 1);
  const std::uint64_t seed = impl_->random.seed_for("machine " + std::to_string(number));
  auto host = std::make_unique<Host>(impl_->engine, impl_->fabric, impl_->journal, impl_->rareness,
                                     number, std::move(name), seed);
  impl_->fabric.add(*host);
  impl_->machines.push_back(std::make_unique<Machine>(std::move(host)));
  return *impl_->machines.back();
}

bool World::run(env::Task<void> task, Duration limit) {
  env::Scope main(*impl_, nullptr);
  main.spawn(std::move(task));
  const auto ended = [&] { return main.running() == 0; };
  const Engine::Step step = impl_->run_until(ended, limit);
  if (ended()) return true;
  const bool deadlock = step == Engine::Step::kNothingLeft;
  impl_->journal.write(impl_->engine, "world", "error",
                       deadlock ? "deadlock: nothing is left to do" : "the time limit has passed");
  main.cancel();
  impl_->run_until(ended, kUnwindLimit);
  BLX_ASSERT(ended());
  return false;
}

void World::partition(Machine& a, Machine& b) {
  partition_one_way(a, b);
  partition_one_way(b, a);
}

void World::partition_one_way(Machine& from, Machine& to) { impl_->link(from, to).cut = true; }

void World::heal(Machine& a, Machine& b) {
  impl_->link(a, b).cut = false;
  impl_->link(b, a).cut = false;
  impl_->fabric.resume();
}

void World::heal_all() { impl_->fabric.heal_all(); }

void World::set_latency(Machine& from, Machine& to, Duration least, Duration most) {
  BLX_ASSERT(least <= most);
  impl_->link(from, to).faults.latency = {least, most};
}

void World::set_loss(Machine& from, Machine& to, std::uint32_t percent) {
  BLX_ASSERT(percent <= 100);
  impl_->link(from, to).faults.loss_percent = percent;
}

void World::set_bandwidth(Machine& from, Machine& to, Bytes a_second) {
  impl_->fabric.set_bandwidth(impl_->link(from, to), a_second);
}

void World::set_damage(Machine& from, Machine& to, std::uint64_t one_in) {
  impl_->link(from, to).faults.damage_one_in = one_in;
}

void World::clog(Machine& a, Machine& b) { impl_->fabric.clog(a.host().number, b.host().number); }

void World::unclog(Machine& a, Machine& b) {
  impl_->link(a, b).faults.clogged = false;
  impl_->link(b, a).faults.clogged = false;
  impl_->fabric.resume();
}

void World::restore_link(Machine& from, Machine& to) {
  impl_->fabric.restore(impl_->link(from, to));
}

void World::reset_connections(Machine& a, Machine& b) {
  impl_->fabric.reset(a.host().number, b.host().number);
}

void World::half_open(Machine& a, Machine& b) {
  impl_->fabric.half_open(a.host().number, b.host().number);
}

void World::set_rareness(Rareness rareness) { impl_->rareness = std::move(rareness); }
void World::set_log_level(observe::Level level) { impl_->journal.level = level; }
Duration World::elapsed() const { return impl_->engine.now().since_start; }
std::uint64_t World::steps() const { return impl_->engine.steps(); }
std::uint64_t World::trace_hash() const { return impl_->engine.trace().hash(); }
const std::vector<std::string>& World::log_lines() const { return impl_->journal.lines; }

}  // namespace blixard::sim

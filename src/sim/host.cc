#include "sim/host.h"

#include "sim/fabric.h"

namespace blixard::sim {
namespace {

constexpr WallTime kWorldBegins{1'767'225'600'000};  // 2026-01-01

class SimMachine final : public env::Machine {
 public:
  explicit SimMachine(Incarnation& owner) : owner_(owner) {}

  const env::MachineFacts& facts() const override { return owner_.host().facts; }
  env::Task<Result<env::KvmReport>> probe_kvm() override {
    BLX_CO_TRY(co_await measure(20ms));
    co_return owner_.host().kvm;
  }
  env::Task<Result<std::uint64_t>> measure_tsc_khz() override {
    BLX_CO_TRY(co_await measure(100ms));
    const auto khz = owner_.host().tsc_khz;
    if (!khz) co_return fail(Code::kUnavailable, "tsc_not_constant");
    co_return *khz;
  }
  double load_average() override { return owner_.host().load_average; }
  Bytes memory_available() override { return owner_.host().memory_available; }
  // The same in every run, whatever runs it.
  env::ProgramUsage program_usage() override {
    env::ProgramUsage usage;
    usage.resident = mib(40);
    usage.virtual_memory = mib(200);
    usage.allocator = "simulated";
    usage.heap = mib(20);
    usage.threads = 1;
    usage.started = kWorldBegins;
    return usage;
  }

 private:
  env::Task<Result<void>> measure(Duration duration) {
    UncutPause pause(owner_, owner_.engine().now() + duration);
    co_return co_await pause;
  }

  Incarnation& owner_;
};

}  // namespace

Host::Host(Engine& engine_of_it, Fabric& fabric_of_it, Journal& journal_of_it,
           const Rareness& rareness_of_it, std::uint32_t number_of_it, std::string name_of_it,
           std::uint64_t seed)
    : engine(engine_of_it),
      fabric(fabric_of_it),
      journal(journal_of_it),
      rareness(rareness_of_it),
      number(number_of_it),
      name(std::move(name_of_it)),
      address("10.0.0." + std::to_string(number)),
      random(seed),
      disk_random(random.seed_for("disk")),
      process_random(random.seed_for("processes")),
      files(random.seed_for("files")),
      memory_available(gib(14)),
      processes(*this) {
  facts = {.host_name = name,
           .architecture = "x86_64",
           .kernel = "6.1.0-sim",
           .cpus = 8,
           .memory = gib(16),
           .is_root = true,
           .guest_owner = env::Owner{.uid = 64055, .gid = 64055}};
  kvm = {.usable = true,
         .module = "kvm_intel",
         .loop_time = 100us,
         .explanation = "guests run natively"};
  tsc_khz = 2'400'000;
  boot();
}

Host::~Host() = default;

Duration Host::drifted(Instant since, Instant now) const {
  if (drift_ppm_ == 0) return {};
  constexpr std::int64_t kMillion = 1'000'000;
  const std::int64_t passed = (now - since).count();
  // In two parts, since years of nanoseconds leave no room for a factor.
  const std::int64_t rest = passed % kMillion * drift_ppm_;
  const std::int64_t floor = rest / kMillion - (rest % kMillion < 0 ? 1 : 0);
  return Duration(passed / kMillion * drift_ppm_ + floor);
}

Instant Host::to_local(Instant world) const {
  return world + clock_offset_ + drifted(clock_since_, world);
}

Instant Host::to_world(Instant local) const {
  constexpr Duration kFarAway = Duration::max() / 4;
  if (local.since_start > kFarAway) return Instant::never();
  if (drift_ppm_ == 0) return local - clock_offset_;
  const std::int64_t speed = 1'000'000 + drift_ppm_;
  const std::int64_t shown = (local - clock_offset_ - clock_since_).count();
  Instant world =
      clock_since_ + Duration(shown / speed * 1'000'000 + shown % speed * 1'000'000 / speed);
  while (to_local(world) < local)
    world = world + 1ns;
  while (to_local(world - 1ns) >= local)
    world = world - 1ns;
  return world;
}

void Host::set_drift(int ppm) {
  constexpr int kMost = 100'000;
  BLX_ASSERT(ppm >= -kMost && ppm <= kMost);
  const Instant now = engine.now();
  clock_offset_ += drifted(clock_since_, now);
  clock_since_ = now;
  wall_offset_ += drifted(wall_since_, now);
  wall_since_ = now;
  drift_ppm_ = ppm;
  engine.retime(number);
}

void Host::set_wall_offset(Duration offset) {
  wall_offset_ = offset;
  wall_since_ = engine.now();
}

WallTime Host::wall() const {
  const Instant now = engine.now();
  const Duration since = now.since_start + wall_offset_ + drifted(wall_since_, now);
  return {kWorldBegins.unix_ms +
          std::chrono::duration_cast<std::chrono::milliseconds>(since).count()};
}

void Host::boot() {
  powered = true;
  ++boots;
  booted = engine.now();
  SeededRandom chance(random.seed_for("boot " + std::to_string(boots)));
  facts.boot_id = chance.uuid().text();
  // A monotonic clock counts from the boot, so it goes back with each one.
  clock_offset_ = chance.between(10s, 100s) - booted.since_start;
  clock_since_ = booted;
  processes.boot();
}

void Host::power_off() {
  powered = false;
  processes.power_off();
  locks.clear();
  files.lose_power();
}

Incarnation& Host::add_incarnation(std::string label, env::Owner owner) {
  const std::uint64_t seed = random.seed_for("incarnation " + std::to_string(incarnations_.size()));
  incarnations_.push_back(std::make_unique<Incarnation>(*this, std::move(label), owner, seed));
  return *incarnations_.back();
}

std::size_t Host::unfinished_tasks() const {
  std::size_t count = 0;
  for (const auto& incarnation : incarnations_)
    count += incarnation->scope().running();
  return count;
}

void Host::end_all() {
  for (const auto& incarnation : incarnations_)
    incarnation->end(true);
}

void Host::drop_locks(const Incarnation& holder) {
  std::erase_if(locks, [&](const auto& lock) { return lock.second == &holder; });
}

std::unique_ptr<env::Machine> make_machine(Incarnation& owner) {
  return std::make_unique<SimMachine>(owner);
}

}  // namespace blixard::sim

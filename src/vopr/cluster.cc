#include "vopr/cluster.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "blixard/v1/cluster.pb.h"
#include "core/image/digest.h"
#include "core/raft/conf_change.h"
#include "node/vm/qemu/qemu_driver.h"
#include "sim/tiny_image.h"

namespace blixard::vopr {
namespace {

constexpr Duration kRestartDelay = 1s;  // as in packaging/blixard.service
constexpr Duration kLook = 20ms;
constexpr std::uint64_t kSegmentBytes = (std::uint64_t{1} << 20) + (64 << 10);  // room for an entry

Role role_of(raft::Role role) {
  switch (role) {
    case raft::Role::kFollower:
      return Role::kFollower;
    case raft::Role::kPreCandidate:
    case raft::Role::kCandidate:
      return Role::kCandidate;
    case raft::Role::kLeader:
      return Role::kLeader;
  }
  return Role::kFollower;
}

// Two zones; every second machine has something that VMs may ask for.
node::Offer offer_of(const Site& site) {
  node::Offer offer{
      .topology = {.datacenter = Name("d1"), .zone = Name(site.number % 2 == 0 ? "z2" : "z1")}};
  if (site.number % 2 == 0) {
    offer.devices = {{.kind = Name("gpu"), .model = Name("small"), .count = 1}};
    offer.counters = {{.name = Name("licence"), .amount = 2}};
  }
  return offer;
}

bool is_of_leader(const raft::Message& message) {
  return message.type == raft::MessageType::kAppend ||
         message.type == raft::MessageType::kHeartbeat ||
         message.type == raft::MessageType::kSnapshot;
}

}  // namespace

std::string Site::data() const { return fmt::format("/var/lib/blixard-{}", terms); }
std::string Site::node_name() const {
  return terms <= 1 ? name : fmt::format("{}-{}", name, terms);
}
env::Endpoint Site::api() const { return env::Endpoint::tcp(machine->address(), kApiPort); }
std::string Site::peer_address() const {
  return env::Endpoint::tcp(machine->address(), kPeerPort).text();
}
std::string Site::api_token() const {
  std::string token = machine->content(env::join_path(data(), "api.token")).value_or("none");
  if (token.ends_with('\n')) token.pop_back();
  return token;
}

// Told by one life of a daemon.
class Cluster::Watch final : public replica::ApplyWatch {
 public:
  Watch(Cluster& cluster, Site& site, std::uint64_t life)
      : cluster_(cluster), site_(site), life_(life) {}

  std::unique_ptr<peer::Peers> between(env::Env env, NodeId self,
                                       std::unique_ptr<peer::Peers> peers) {
    self_ = self;
    if (lives()) site_.id = self;
    cluster_.judge_.on_started(self);
    return std::make_unique<WatchedPeers>(
        env, std::move(peers),
        [this](const raft::Message& message) { cluster_.on_sent(site_, self_, message); },
        cluster_.weather_);
  }
  void on_opened(const replica::Status& status) override {
    cluster_.judge_.on_opened(self_, status);
  }
  void on_restored(const cluster::State& state, LogIndex index, Term term) override {
    cluster_.judge_.on_restored(self_, state, index, term);
    check_version(state.model_version(), "restores the snapshot at", index);
    if (site_.ready && lives()) {
      cluster_.recorder_.note(site_.number, Event::kSnapshotInstalled,
                              fmt::format("at {}", index.value));
    }
  }
  void on_applied(const cluster::State& state, const raft::Entry& entry,
                  const Result<cluster::Outcome>& outcome) override {
    cluster_.judge_.on_applied(self_, state, entry, outcome);
    cluster_.states_.on_applied(site_.number, state, entry.index);
    cluster_.souls_.on_applied(state, entry.index);
    cluster_.saves_.on_applied(state, entry.index);
    Payload payload = entry.payload;
    if (entry.kind != raft::EntryKind::kNormal) {
      const auto change = raft::decode_conf_change(payload.view());
      payload = change ? change->context : Payload();
    }
    const std::string_view bytes = payload.view();
    v1::Command command;
    if (command.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
      check_version(command.version(), "applies entry", entry.index);
    }
  }

 private:
  // A program of before would stop here.
  void check_version(std::uint32_t version, std::string_view what, LogIndex index) {
    if (version <= site_.model_version()) return;
    cluster_.recorder_.fail(
        "model-version",
        fmt::format("{} knows model version {} and {} {} of version {}", site_.name,
                    site_.model_version(), what, index.value, version));
  }
  [[nodiscard]] bool lives() const { return site_.lives == life_ && site_.running; }

  Cluster& cluster_;
  Site& site_;
  std::uint64_t life_;
  NodeId self_;
};

Cluster::Cluster(const Plan& plan, sim::World& world, Recorder& recorder, Judge& judge)
    : plan_(plan),
      world_(world),
      recorder_(recorder),
      judge_(judge),
      states_(
          recorder,
          [this](const Uuid& uuid) { return std::ranges::count(alive_, uuid, &Guest::uuid) > 0; }),
      souls_(recorder, [this](const Uuid& uuid) { return living(uuid); }),
      saves_(recorder,
             [this](const cluster::Digest& digest) {
               return std::ranges::any_of(sites_, [&](const auto& site) {
                 return site->harmed_saves.contains(image::digest_text(digest));
               });
             }),
      random_(sim::SeededRandom(plan.seed).seed_for("cluster")),
      observer_(world.add_machine("clients")) {
  for (std::size_t i = 0; i < plan.settings.nodes + plan.settings.spares; ++i)
    add_site();
}

Cluster::~Cluster() = default;

void Cluster::add_site() {
  sites_.push_back(std::make_unique<Site>());
  Site& site = *sites_.back();
  site.number = static_cast<std::uint32_t>(sites_.size());
  site.name = fmt::format("n{}", site.number);
  site.version = plan_.settings.version;
  site.machine = &world_.add_machine(site.name);
  sim::SeededRandom random(random_.seed_for(site.name));
  site.machine->kvm().usable = random.one_in(2);
  // Two or three of the larger VMs fill it.
  site.machine->facts().memory = mib(2048);
  site.machine->facts().cpus = 2;
  site.qemu.install(*site.machine);
  const Duration boot = plan_.settings.boot;
  site.boot = {boot / 2, boot};
  site.qemu.faults.boot = site.boot;
  site.qemu.faults.kvm_boot = {boot / 16, boot / 8};
  watch(site);
}

void Cluster::watch(Site& site) {
  site.qemu.on_guest = [this, &site](sim::Machine& /*machine*/, const sim::GuestView& guest,
                                     bool lives) {
    if (guest.is_vm) on_guest(site, guest, lives);
  };
  site.qemu.on_turn = [this, &site](sim::Machine& /*machine*/, const sim::GuestView& guest,
                                    bool runs) {
    if (guest.is_vm) on_turn(site, guest, runs);
  };
  site.qemu.on_saved = [this, &site](sim::Machine& /*machine*/, const sim::GuestView& guest,
                                     std::uint64_t save) {
    if (guest.is_vm) on_saved(site, guest, save);
  };
}

Standing Cluster::standing(std::uint32_t number) const {
  const Site& site = *sites_.at(number - 1);
  Standing standing;
  if (site.replica() == nullptr) return standing;
  const replica::Status status = site.replica()->status();
  standing.role = role_of(status.role);
  standing.term = status.term;
  standing.commit = status.commit;
  return standing;
}

Site* Cluster::leader() {
  Site* found = nullptr;
  Term term;
  for (const auto& site : sites_) {
    if (site->replica() == nullptr || !site->replica()->is_leader()) continue;
    const Term its = site->replica()->status().term;
    if (found == nullptr || its > term) {
      found = site.get();
      term = its;
    }
  }
  return found;
}

Site* Cluster::resolve(std::uint32_t number) {
  if (number > sites_.size()) return nullptr;
  if (number > 0) return sites_[number - 1].get();
  Site* first = leader();
  return first != nullptr ? first : sites_.front().get();
}

Site* Cluster::serving(std::uint32_t first) {
  for (std::size_t i = 0; i < sites_.size(); ++i) {
    Site& site = *sites_[(first + i + sites_.size() - 1) % sites_.size()];
    if (site.ready && !site.removed) return &site;
  }
  return nullptr;
}

// Life of a daemon.

void Cluster::start(Site& site) {
  if (site.running || !site.belongs || site.removed || site.holds > 0) return;
  if (!site.machine->running()) site.machine->restart();
  site.running = true;
  site.ready = false;
  site.given_up = false;
  const std::uint64_t life = ++site.lives;
  recorder_.note(site.number, Event::kStarted, fmt::format("version {}", site.version));
  site.machine->start(live(site, life, site.machine->env()));
}

void Cluster::crash(Site& site) {
  ++site.lives;  // what that one still says is not heard
  site.running = site.ready = false;
  site.node = nullptr;
  site.machine->crash_daemon();
}

void Cluster::lose_power(Site& site) {
  ++site.lives;
  site.running = site.ready = false;
  site.node = nullptr;
  site.machine->lose_power();
}

env::Task<void> Cluster::stop(Site& site) {
  ++site.lives;
  site.running = site.ready = false;
  site.node = nullptr;
  co_await site.machine->stop_daemon();
}

void Cluster::retire(Site& site) {
  if (site.machine->running()) crash(site);
  site.belongs = false;
  site.bootstrap = false;
  site.join.clear();
  site.id = {};
  site.removal_begun = site.removed = site.damaged = site.given_up = false;
}

env::Task<void> Cluster::live(Site& site, std::uint64_t life, env::Env env) {
  Watch watch(*this, site, life);
  qemu::QemuDriver driver(env, {.directory = env::join_path(site.data(), "vms")});
  const auto done = co_await run_node(site, life, env, watch, driver);
  co_await driver.close();
  if (site.lives != life || !site.running) co_return;
  site.running = site.ready = false;
  note_end(site, done ? Error(Code::kInternal, "stopped_by_itself") : done.error());
}

env::Task<Result<void>> Cluster::run_node(Site& site, std::uint64_t life, env::Env env,
                                          Watch& watch, vm::Driver& driver) {
  const Settings& settings = plan_.settings;
  node::Node node(env,
                  {.data_directory = site.data(),
                   .name = site.node_name(),
                   .listen = site.api(),
                   .bootstrap = site.bootstrap,
                   .join = site.join,
                   .peer_listen = env::Endpoint::tcp(site.machine->address(), Site::kPeerPort),
                   .version = fmt::format("1.{}", site.version),
                   .model_version = site.model_version(),
                   .offer = offer_of(site),
                   .templates = mib(settings.templates_mib),
                   .standbys = settings.templates_mib > 0 ? kStandbys : 0,
                   .replica = {.log = {.segment_bytes = kSegmentBytes},
                               .snapshot_entries = settings.snapshot_entries,
                               .trailing_entries = settings.trailing_entries,
                               .tick = settings.tick,
                               .election_ticks = static_cast<int>(settings.election_ticks),
                               .watch = &watch},
                   // Some runs whole, so that what is traced is judged as all else is.
                   .trace_sample_ratio = plan_.seed % 8 == 0 ? 1.0 : node::kTraceSampleRatio,
                   .watch_peers =
                       [&watch, env](NodeId self, std::unique_ptr<peer::Peers> peers) {
                         return watch.between(env, self, std::move(peers));
                       }},
                  driver);
  // One that stood still from its first moment on begins when its life is over already.
  if (site.lives == life) site.node = &node;
  const auto done = co_await node.run([this, &site, life](const node::Ready& ready) {
    if (site.lives != life || !site.running) return;
    site.ready = true;
    site.id = ready.id;
    recorder_.note(site.number, Event::kReady, fmt::format("node {}", ready.id.value));
  });
  if (site.lives == life) site.node = nullptr;
  co_return done;
}

void Cluster::note_end(Site& site, const Error& why) {
  recorder_.note(site.number, Event::kEnded, why.message());
  site.given_up = true;
  const std::string_view reason = why.reason();
  if (reason == "removed") {
    if (!site.removal_begun) {
      recorder_.fail("ended", fmt::format("{} ends as removed, and nobody removed it", site.name));
    }
    site.removed = true;
    return;
  }
  const bool entered = site.id.value != 0;
  if (!entered && why.code() != Code::kInternal) return;  // it may be asked to join again
  if ((why.code() == Code::kDataLoss || reason == "log_failed") && site.damaged) return;
  const bool of_disk = why.code() == Code::kUnavailable || why.code() == Code::kResourceExhausted ||
                       reason == "log_failed";
  if (of_disk && site.disk_trouble) return;
  if (std::exchange(site.spawn_trouble, false)) return;
  recorder_.fail("ended", fmt::format("{} ends: {}", site.name, why.message()));
}

void Cluster::look() {
  for (const auto& site : sites_) {
    if (!site->ready || site->replica() == nullptr) continue;
    const replica::Status status = site->replica()->status();
    const Role role = role_of(status.role);
    const Role before = std::exchange(site->seen.role, role);
    if (role == Role::kFollower && before != role && before != Role::kDown) {
      recorder_.note(site->number, Event::kFollows, fmt::format("node {}", status.leader.value));
    }
    if (std::exchange(site->snapshot, status.snapshot) < status.snapshot) {
      recorder_.note(site->number, Event::kSnapshotTaken,
                     fmt::format("at {}", status.snapshot.value));
    }
  }
}

env::Task<void> Cluster::manage() {
  while (co_await pause(kRestartDelay)) {
    for (const auto& site : sites_) {
      if (!site->given_up || site->running || site->removed || site->damaged) continue;
      if (site->machine->running()) site->machine->crash_daemon();
      start(*site);
    }
  }
}

env::Task<bool> Cluster::pause(Duration duration) {
  co_return (co_await env().clock.sleep(duration)).has_value();
}

env::Task<bool> Cluster::until(std::function<bool()> condition, Duration limit) {
  const Instant deadline = now() + limit;
  while (!condition()) {
    if (now() >= deadline || !co_await pause(kLook)) co_return false;
  }
  co_return true;
}

// What is seen.

void Cluster::on_sent(Site& site, NodeId self, const raft::Message& message) {
  judge_.on_sent(self, message);
  if (is_of_leader(message) && message.term > led_) {
    led_ = message.term;
    ++recorder_.report().counts.elections;
    recorder_.note(site.number, Event::kLeads, fmt::format("term {}", message.term.value));
  }
  if (message.type == raft::MessageType::kVote) {
    recorder_.note(site.number, Event::kCampaigns, fmt::format("term {}", message.term.value));
  }
}

std::optional<SoulJudge::Living> Cluster::living(const Uuid& uuid) const {
  const auto known = std::ranges::find(alive_, uuid, &Guest::uuid);
  if (known == alive_.end()) return std::nullopt;
  const Site& site = *sites_.at(known->site - 1);
  for (sim::GuestView& guest : site.qemu.guests()) {
    if (guest.process != known->process) continue;
    const std::string* machine_id = saves_.machine_id_in(guest.save);
    return SoulJudge::Living{.guest = std::move(guest),
                             .wall_jumps = site.wall_jumps,
                             .saved_machine_id = machine_id != nullptr ? *machine_id : ""};
  }
  return std::nullopt;
}

void Cluster::on_guest(Site& site, const sim::GuestView& guest, bool lives) {
  const Uuid& uuid = guest.uuid;
  const env::ProcessId process = guest.process;
  const std::string name = states_.name_of(uuid);
  if (!lives) {
    std::erase_if(alive_, [&](const Guest& other) {
      return other.site == site.number && other.process == process;
    });
    recorder_.note(site.number, Event::kGuestEnds, fmt::format("{}, pid {}", name, process.pid));
    saves_.on_ended(site.number, guest);
    return;
  }
  Counts& counts = recorder_.report().counts;
  ++counts.guests;
  const bool is_woken = saves_.machine_id_in(guest.save) != nullptr;
  const bool is_clone = guest.save != 0 && !is_woken;
  if (is_clone) ++counts.clones;
  if (is_woken) ++counts.woken;
  const std::string_view kind = is_clone ? ", a clone" : is_woken ? ", woken" : "";
  recorder_.note(site.number, Event::kGuestStarts,
                 fmt::format("{}, pid {}{}", name, process.pid, kind));
  for (const Guest& other : alive_) {
    if (other.uuid != uuid) continue;
    recorder_.fail("one-copy",
                   fmt::format("two processes run {}: {} on n{} and {} on n{}", uuid.text(),
                               other.process.pid, other.site, process.pid, site.number));
  }
  alive_.push_back({.uuid = uuid, .site = site.number, .process = process});
  souls_.on_begun(uuid);
}

void Cluster::on_turn(Site& site, const sim::GuestView& guest, bool runs) {
  if (runs) return saves_.on_runs(site.number, site.id, guest);
  saves_.on_stands(site.number, guest);
}

void Cluster::on_saved(Site& site, const sim::GuestView& guest, std::uint64_t save) {
  ++recorder_.report().counts.saved;
  recorder_.note(site.number, Event::kGuestSaved,
                 fmt::format("{}, pid {}", states_.name_of(guest.uuid), guest.process.pid));
  saves_.on_saved(site.number, guest, save);
}

}  // namespace blixard::vopr

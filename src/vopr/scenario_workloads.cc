#include "vopr/scenario_workloads.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <initializer_list>
#include <optional>
#include <string>
#include <utility>

#include "base/assert.h"
#include "vopr/bodies.h"
#include "vopr/scenario_steps.h"

namespace blixard::vopr {
namespace {

constexpr std::uint64_t kChangesPercent = 55;  // the rest of what clients of VMs do is reading
constexpr TimeRange kFollows{200ms, 10s};
constexpr TimeRange kDown{50ms, 8s};
constexpr TimeRange kUpgradeDown{100ms, 3s};
constexpr TimeRange kNewDisk{500ms, 6s};

// What is being filled: the steps of one client, or of the operator, one after another.
class Stream {
 public:
  Stream(const Workload& workload, const Settings& settings, Duration until, std::uint64_t seed,
         std::vector<Step>& steps)
      : workload_(workload),
        settings_(settings),
        until_(until),
        random_(seed),
        gap_(workload.gap),
        steps_(steps) {
    // Some are busy: always near the shortest gap.
    if (random_.one_in(4)) gap_.most = gap_.least + (gap_.most - gap_.least) / 6;
  }

  // False when the time is over.
  bool advance() {
    at_ += draw_time(random_, gap_);
    return at_ <= until_ && ++count_ <= kStepsMost;
  }
  void add(Step step) {
    step.at = at_;
    steps_.push_back(step);
  }
  void ask(Action action, std::uint32_t client, std::uint32_t node, std::uint32_t vm) {
    Step step{.action = action, .node = node, .client = client};
    const Uses& uses = facts_of(action).uses;
    if (uses.vm) step.vm = vm;
    if (uses.length) step.length = draw_by_size(random_, kFollows);
    step.amount = draw_amount(random_, action);
    const std::uint64_t percent = random_.below(100);
    if (percent < workload_.noisy_percent)
      step.manner = Manner::kNoisy;
    else if (percent < workload_.noisy_percent + workload_.vanishing_percent)
      step.manner = Manner::kVanishes;
    add(step);
  }

  sim::SeededRandom& random() { return random_; }
  [[nodiscard]] const Settings& settings() const { return settings_; }

  Action pick(std::initializer_list<std::pair<Action, std::uint64_t>> weighted) {
    std::uint64_t sum = 0;
    for (const auto& [action, weight] : weighted)
      sum += weight;
    std::uint64_t place = random_.below(sum);
    for (const auto& [action, weight] : weighted) {
      if (place < weight) return action;
      place -= weight;
    }
    BLX_ASSERT(false);
    return Action::kNone;
  }
  // Mostly the node this client always asks, now and then the leader or any machine.
  std::uint32_t server(std::uint32_t home) {
    if (random_.one_in(8)) return 0;
    return random_.below(3) < 2 ? home : draw_machine(random_, settings_);
  }

 private:
  const Workload& workload_;
  const Settings& settings_;
  Duration until_;
  sim::SeededRandom random_;
  TimeRange gap_;
  std::vector<Step>& steps_;
  Duration at_{};
  std::size_t count_ = 0;
};

// A user with a few names, who believes to know how they stand. Others use them too, so that the
// belief is often wrong.
class VmUser {
 public:
  VmUser(Stream& stream, std::uint32_t client, Action creates)
      : stream_(stream),
        client_(client),
        creates_(creates),
        home_(static_cast<std::uint32_t>(1 + stream.random().below(stream.settings().nodes))),
        believed_(stream.settings().vms, Belief::kAbsent),
        own_{any_vm(), any_vm()} {}

  void act() {
    const std::size_t vm =
        stream_.random().below(10) < 6 ? own_.at(stream_.random().below(2)) : any_vm();
    const bool changes = stream_.random().below(100) < kChangesPercent;
    Action action = changes ? change(believed_[vm]) : Action::kGet;
    if (action == Action::kCreate) action = creates_;
    stream_.ask(action, client_, stream_.server(home_), static_cast<std::uint32_t>(vm + 1));
    if (action == creates_ || action == Action::kStart) believed_[vm] = Belief::kRunning;
    if (action == Action::kStop) believed_[vm] = Belief::kStopped;
    if (action == Action::kDelete) believed_[vm] = Belief::kAbsent;
  }

 private:
  enum class Belief : std::uint8_t { kAbsent, kRunning, kStopped };

  std::size_t any_vm() { return stream_.random().below(stream_.settings().vms); }

  Action change(Belief belief) {
    using enum Action;
    if (stream_.random().one_in(10))
      return stream_.pick({{kCreate, 1}, {kStart, 1}, {kStop, 1}, {kDelete, 1}});
    switch (belief) {
      case Belief::kAbsent:
        return kCreate;
      case Belief::kRunning:
        return stream_.pick({{kStop, 5}, {kDelete, 4}, {kStart, 1}});
      case Belief::kStopped:
        return stream_.pick({{kStart, 5}, {kDelete, 4}, {kStop, 1}});
    }
    std::unreachable();
  }

  Stream& stream_;
  std::uint32_t client_;
  Action creates_;
  std::uint32_t home_;
  std::vector<Belief> believed_;
  std::array<std::size_t, 2> own_;
};

void use_vms(Stream& stream, std::uint32_t client, Action creates) {
  if (stream.settings().vms == 0) return;
  VmUser user(stream, client, creates);
  while (stream.advance())
    user.act();
}

void vms(Stream& stream, std::uint32_t client) { use_vms(stream, client, Action::kCreate); }

void wishes(Stream& stream, std::uint32_t client) {
  use_vms(stream, client, Action::kCreateWithWishes);
}

void reads(Stream& stream, std::uint32_t client) {
  using enum Action;
  const auto home = static_cast<std::uint32_t>(1 + stream.random().below(stream.settings().nodes));
  const std::size_t vms = stream.settings().vms;
  while (stream.advance()) {
    const Action action = stream.pick({{kGet, vms > 0 ? 6 : 0},
                                       {kStaleGet, vms > 0 ? 3 : 0},
                                       {kList, 4},
                                       {kStaleList, 2},
                                       {kDigest, 1},
                                       {kScrape, 1},
                                       {kFollow, 1}});
    const auto vm = static_cast<std::uint32_t>(1 + (vms > 0 ? stream.random().below(vms) : 0));
    stream.ask(action, client, stream.server(home), vm);
  }
}

void images(Stream& stream, std::uint32_t /*operator*/) {
  const Settings& settings = stream.settings();
  while (settings.clients > 0 && stream.advance()) {
    const auto client = static_cast<std::uint32_t>(1 + stream.random().below(settings.clients));
    stream.ask(Action::kImport, client, draw_target(stream.random(), settings), 0);
  }
}

void membership(Stream& stream, std::uint32_t /*operator*/) {
  const Settings& settings = stream.settings();
  sim::SeededRandom& random = stream.random();
  std::vector<bool> is_member(machines(settings), false);
  std::fill_n(is_member.begin(), settings.nodes, true);
  while (stream.advance()) {
    const auto members = static_cast<std::size_t>(std::ranges::count(is_member, true));
    // Seldom fewer than three, and then not for long.
    const std::size_t least = std::min<std::size_t>(settings.nodes, random.one_in(5) ? 2 : 3);
    const bool may_leave = members > std::max<std::size_t>(1, least);
    if (random.one_in(6)) {
      stream.add({.action = Action::kReplaceDisk,
                  .node = draw_machine(random, settings),
                  .length = draw_by_size(random, kNewDisk)});
    } else if (may_leave && (members == is_member.size() || random.one_in(2))) {
      if (random.one_in(4)) {
        // Who that is, nobody knows yet; a join of it afterwards is skipped or right.
        stream.add({.action = Action::kRemove, .node = 0});
        continue;
      }
      auto node = static_cast<std::uint32_t>(random.below(is_member.size()));
      while (!is_member[node])
        node = static_cast<std::uint32_t>((node + 1) % is_member.size());
      is_member[node] = false;
      stream.add({.action = Action::kRemove, .node = node + 1});
    } else if (!is_member.empty()) {
      // Any machine, those that are members too now and then: that has to be refused.
      auto node = static_cast<std::uint32_t>(random.below(is_member.size()));
      while (members < is_member.size() && is_member[node] && !random.one_in(10))
        node = static_cast<std::uint32_t>((node + 1) % is_member.size());
      is_member[node] = true;
      stream.add({.action = Action::kJoin, .node = node + 1});
    }
  }
}

void leadership(Stream& stream, std::uint32_t /*operator*/) {
  while (stream.advance())
    stream.add({.action = Action::kTransferLeader,
                .node = draw_machine(stream.random(), stream.settings())});
}

void restarts(Stream& stream, std::uint32_t /*operator*/) {
  while (stream.advance())
    stream.add({.action = stream.pick({{Action::kRestart, 1}, {Action::kCrash, 1}}),
                .node = draw_target(stream.random(), stream.settings()),
                .length = draw_by_size(stream.random(), kDown)});
}

// Every node in turn, as an operator does it, from another one each time.
void upgrades(Stream& stream, std::uint32_t /*operator*/) {
  const std::size_t nodes = stream.settings().nodes;
  for (;;) {
    const std::size_t first = stream.random().below(nodes);
    for (std::size_t i = 0; i < nodes; ++i) {
      if (!stream.advance()) return;
      stream.add({.action = Action::kUpgrade,
                  .node = static_cast<std::uint32_t>(1 + (first + i) % nodes),
                  .length = draw_by_size(stream.random(), kUpgradeDown)});
    }
    for (int pause = 0; pause < 2; ++pause)
      if (!stream.advance()) return;
  }
}

void certificates(Stream& stream, std::uint32_t /*operator*/) {
  while (stream.advance())
    stream.add(
        {.action = Action::kRotate, .node = draw_target(stream.random(), stream.settings())});
}

// Which one.
std::uint32_t on_some_node(Stream& stream, Action action) {
  const std::uint32_t node = draw_target(stream.random(), stream.settings());
  stream.add({.action = action, .node = node, .amount = draw_amount(stream.random(), action)});
  return node;
}

// What is set is set again and again, so that VMs meet rules that came after them.
void placement(Stream& stream, std::uint32_t /*operator*/) {
  using enum Action;
  // First each group without a rule, so that VMs can be in them and rules can name them.
  for (std::uint64_t group = 0; group < kPlacementGroups; ++group)
    stream.add({.action = kGroup, .amount = group});
  while (stream.advance())
    on_some_node(stream, stream.pick({{kPolicy, 3}, {kGroup, 5}, {kTenant, 3}, {kReserve, 2}}));
}

// Nodes are closed and opened; the more are closed, the more likely one is opened next.
void drains(Stream& stream, std::uint32_t /*operator*/) {
  using enum Action;
  const std::uint32_t count = machines(stream.settings());
  std::vector<bool> closed(count + 1, false);
  while (stream.advance()) {
    const auto now = static_cast<std::uint64_t>(std::ranges::count(closed, true));
    if (stream.random().below(count + 1) < now) {
      auto node = static_cast<std::uint32_t>(stream.random().below(count + 1));
      while (!closed[node])
        node = (node + 1) % (count + 1);
      closed[node] = false;
      for (const Action opens : {kUndrain, kUncordon})
        stream.add({.action = opens, .node = node});
      continue;
    }
    const Action action = stream.pick({{kDrain, 4}, {kCordon, 2}, {kTaint, 3}});
    const std::uint32_t node = on_some_node(stream, action);
    closed[node] = closed[node] || action != kTaint;
  }
}

void intruders(Stream& stream, std::uint32_t /*operator*/) {
  using enum Action;
  while (stream.advance()) {
    const Action action =
        stream.pick({{kStranger, 1}, {kForgedSender, 1}, {kReplayedFrames, 1}, {kFutureFrames, 1}});
    stream.add({.action = action,
                .node = draw_target(stream.random(), stream.settings()),
                .amount = draw_amount(stream.random(), action)});
  }
}

struct Kind {
  std::string_view name;
  bool of_each_client = false;  // else there is one stream
  void (*fill)(Stream& stream, std::uint32_t client) = nullptr;
};
constexpr auto kKinds = std::to_array<Kind>({{"vms", true, vms},
                                             {"reads", true, reads},
                                             {"images", false, images},
                                             {"membership", false, membership},
                                             {"leadership", false, leadership},
                                             {"restarts", false, restarts},
                                             {"upgrades", false, upgrades},
                                             {"certificates", false, certificates},
                                             {"wishes", true, wishes},
                                             {"placement", false, placement},
                                             {"drains", false, drains},
                                             {"intruders", false, intruders}});

const Kind& kind_of(const Workload& workload) {
  const auto kind = std::ranges::find(kKinds, workload.kind, &Kind::name);
  BLX_ASSERT(kind != kKinds.end());
  return *kind;
}

std::size_t streams(const Kind& kind, const Settings& settings) {
  return kind.of_each_client ? settings.clients : 1;
}

}  // namespace

std::vector<std::string_view> workload_kinds() {
  std::vector<std::string_view> names;
  names.reserve(kKinds.size());
  for (const Kind& kind : kKinds)
    names.push_back(kind.name);
  return names;
}

bool is_workload(std::string_view kind) {
  return std::ranges::find(kKinds, kind, &Kind::name) != kKinds.end();
}

void draw_workload(const Workload& workload, const Settings& settings, Duration until,
                   const sim::SeededRandom& random, std::vector<Step>& steps) {
  const Kind& kind = kind_of(workload);
  for (std::uint32_t client = 1; client <= streams(kind, settings); ++client) {
    Stream stream(workload, settings, until, random.seed_for("client " + std::to_string(client)),
                  steps);
    kind.fill(stream, client);
  }
}

std::size_t expected_steps(const Workload& workload, const Settings& settings, Duration until) {
  return streams(kind_of(workload), settings) * expected_steps(workload.gap, until);
}

}  // namespace blixard::vopr

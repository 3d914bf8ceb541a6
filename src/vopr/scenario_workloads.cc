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
#include "vopr/scenario_stream.h"
#include "vopr/scenario_vm_users.h"

namespace blixard::vopr {
namespace {

constexpr TimeRange kDown{50ms, 8s};
constexpr TimeRange kUpgradeDown{100ms, 3s};
constexpr TimeRange kNewDisk{500ms, 6s};

void vms(Stream& stream, std::uint32_t client) { use_vms(stream, client, Action::kCreate); }

void wishes(Stream& stream, std::uint32_t client) {
  use_vms(stream, client, Action::kCreateWithWishes);
}

void saves(Stream& stream, std::uint32_t client) { use_saves(stream, client); }

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
                                             {"intruders", false, intruders},
                                             {"saves", true, saves}});

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

#include "test/conformance/raft/lockstep/generator.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace blixard::raft::lockstep {
namespace {

// How often each input is drawn, in the order of Op; what is left of 1000 delivers messages.
using Weights = std::array<std::uint16_t, kOps>;
constexpr Weights kCalm{0, 2, 150, 10, 40, 3, 90, 0, 0, 2, 14, 2, 6, 60, 2};
constexpr Weights kRough{0, 10, 120, 14, 40, 14, 80, 0, 0, 12, 24, 12, 20, 80, 6};

constexpr std::uint64_t kSmallBytesMax = 1600;

}  // namespace

std::uint64_t Random::next() {
  state_ += 0x9e3779b97f4a7c15ULL;
  std::uint64_t mixed = state_;
  mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9ULL;
  mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111ebULL;
  return mixed ^ mixed >> 31;
}

Generator::Generator(std::uint64_t seed, std::uint64_t world)
    : random_(Random(seed ^ Random(world).next()).next()) {
  draw_settings();
  length_ = 200 + random_.below(2800);
  constexpr std::array<std::uint64_t, 4> kSettles{100, 100, 85, 40};
  settle_percent_ = kSettles.at(random_.below(kSettles.size()));
}

bool Generator::is_full(const Group& group) { return group.small_bytes() > kSmallBytesMax; }

void Generator::draw_settings() {
  constexpr std::array<std::uint64_t, 8> kNodes{1, 2, 3, 3, 3, 4, 5, 6};
  settings_.nodes = kNodes.at(random_.below(kNodes.size()));
  const std::uint64_t all = ((std::uint64_t{2} << settings_.nodes) - 1) & ~std::uint64_t{1};
  settings_.voters = all;
  if (!random_.one_in(3)) settings_.voters = random_.next() & all;
  if (settings_.voters == 0) settings_.voters = 2;
  settings_.learners = random_.one_in(3) ? random_.next() & all & ~settings_.voters : 0;
  settings_.pre_vote = random_.below(2);
  settings_.check_quorum = random_.below(2);
  settings_.leases = settings_.check_quorum != 0 && random_.one_in(4) ? 1 : 0;
  settings_.no_forwarding = random_.one_in(6) ? 1 : 0;
  const auto limit = [&] { return kPayloadUnit * (1 + random_.below(8)) + kLimitSlack; };
  switch (random_.below(3)) {
    case 0:
      settings_.message_bytes = 0;
      break;
    case 1:
      settings_.message_bytes = limit();
      break;
    default:
      break;
  }
  constexpr std::array<std::uint64_t, 5> kInflight{1, 2, 3, 8, 64};
  settings_.inflight = kInflight.at(random_.below(kInflight.size()));
  // Above the largest proposal: whether something is uncommitted depends on single bytes then.
  if (random_.one_in(3)) settings_.uncommitted_bytes = limit() + 9 * kPayloadUnit;
  if (random_.one_in(3)) settings_.committed_bytes = limit();
  settings_.election_ticks = 3 + random_.below(8);
  settings_.heartbeat_ticks = 1 + random_.below(2);
  settings_.boot_index = 1 + random_.below(4);
}

void Generator::begin_phase() {
  left_ = 20 + random_.below(150);
  calm_ = !random_.one_in(3);
  window_ = calm_ ? 1 + random_.below(2) : 1 + random_.below(24);
  drop_percent_ = calm_ ? 0 : random_.below(30);
  // Some are cut off for longer, until only a snapshot helps them.
  if (cut_ == 0 || !random_.one_in(3)) {
    cut_ = random_.one_in(3) ? random_.next() & random_.next() : 0;
  }
}

std::uint8_t Generator::leader_or_any(const Group& group) {
  if (random_.one_in(8)) return any_node();
  std::uint8_t best = 0;
  Term term;
  for (std::uint64_t id = 1; id <= group.size(); ++id) {
    const Core& core = *group.node(id).core;
    if (core.is_leader() && core.term() >= term) {
      best = static_cast<std::uint8_t>(id);
      term = core.term();
    }
  }
  return best == 0 ? any_node() : best;
}

Op Generator::draw_op(const Group& group) {
  const Weights& weights = calm_ ? kCalm : kRough;
  std::uint64_t drawn = random_.below(1000);
  for (std::size_t i = 0; i < weights.size(); ++i) {
    if (drawn < weights[i]) return static_cast<Op>(i);
    drawn -= weights[i];
  }
  if (!group.pool().empty()) return Op::kDeliver;
  // Nothing is on its way: somebody has to say something, and to be heard.
  if (cut_ != 0 && random_.one_in(8)) left_ = 0;
  bool led = false;
  for (std::uint64_t id = 1; id <= group.size(); ++id)
    led = led || group.node(id).core->is_leader();
  if (!led && random_.one_in(3)) return Op::kCampaign;
  return random_.one_in(3) ? Op::kReady : Op::kTick;
}

Input Generator::message_input(const Group& group) {
  const auto& pool = group.pool();
  Input input;
  const std::uint64_t window = random_.one_in(40) ? pool.size() : window_;
  const std::uint64_t slot = random_.below(std::min<std::uint64_t>(pool.size(), window));
  const Message& message = pool[slot];
  input.a = static_cast<std::uint32_t>(slot);
  // The reference may append to itself after a change; no network leads back.
  const bool nowhere = message.to.value > group.size() || message.to == message.from;
  const bool cut = is_cut(message.to) || is_cut(message.from);
  if (nowhere || cut || random_.below(100) < drop_percent_) {
    input.op = Op::kDrop;
    input.node = static_cast<std::uint8_t>(message.from.value);
    return input;
  }
  input.op = Op::kDeliver;
  input.node = static_cast<std::uint8_t>(message.to.value);
  if (!calm_ && random_.one_in(8)) input.flags |= kKeep;
  return input;
}

Input Generator::change_input(Input input) {
  const auto single = [&] {
    // Sometimes of a node that is nowhere, sometimes of none.
    const std::uint64_t id = random_.one_in(40) ? 0 : 1 + random_.below(settings_.nodes + 1);
    return random_.below(4) | id << 4;
  };
  if (random_.one_in(3)) {
    input.flags |= kYes;
    input.a = 1;
    input.b = single();
    return input;
  }
  const auto count = static_cast<std::uint32_t>(random_.below(5));
  const auto transition = static_cast<std::uint32_t>(random_.below(3));
  // Without changes mostly the one that leaves.
  input.a = count | (count == 0 && !random_.one_in(8) ? 0 : transition) << 8;
  for (std::uint32_t i = 0; i < count; ++i)
    input.b |= single() << (16 * i);
  return input;
}

Input Generator::compact_input(Input input, const Group& group) {
  const Group::Node& node = group.node(input.node);
  const LogIndex newest = std::max(node.applied, node.disk.newest_snapshot().index);
  const std::uint64_t base = node.disk.first().value - 1;
  input.b = base + (newest.value > base ? random_.below(newest.value - base + 1) : 0);
  return input;
}

Input Generator::ready_input(Input input, const Group& group) {
  for (std::uint64_t i = 0; i < group.size(); ++i) {
    if (group.node(input.node).core->has_output()) break;
    input.node = static_cast<std::uint8_t>(1 + input.node % group.size());
  }
  return input;
}

// Anybody, or whose log is the longest.
std::uint8_t Generator::candidate(const Group& group) {
  if (random_.one_in(2)) return any_node();
  std::uint64_t best = 1;
  for (std::uint64_t id = 2; id <= group.size(); ++id) {
    if (group.node(id).disk.last() > group.node(best).disk.last()) best = id;
  }
  return static_cast<std::uint8_t>(best);
}

// Mostly of one that waits for a snapshot, if one does.
std::uint8_t Generator::of_whom(const Group::Node& leader) {
  const Status status = leader.core->status();
  if (status.progress != nullptr && !random_.one_in(4)) {
    for (const auto& [id, progress] : *status.progress) {
      if (progress.state == ProgressState::kSnapshot) return static_cast<std::uint8_t>(id.value);
    }
  }
  return any_node();
}

Input Generator::input_of(Op op, const Group& group) {
  Input input{.op = op, .node = any_node()};
  switch (op) {
    case Op::kDeliver:
      return message_input(group);
    case Op::kCampaign:
      input.node = candidate(group);
      break;
    case Op::kPropose:
      input.node = leader_or_any(group);
      input.a = static_cast<std::uint32_t>(random_.below(kPayloads));
      input.b = random_.one_in(4) ? 1 + random_.below(3) : 1;
      break;
    case Op::kProposeChange:
      input.node = leader_or_any(group);
      return change_input(input);
    case Op::kReadIndex:
      input.b = ++read_sequence_;
      break;
    case Op::kTransfer:
      input.node = leader_or_any(group);
      input.a = any_node();
      break;
    case Op::kTick:
      if (!random_.one_in(4)) input.node = leader_or_any(group);
      input.a = static_cast<std::uint32_t>(random_.one_in(8) ? 1 + random_.below(12) : 1);
      break;
    case Op::kCompact:
      return compact_input(input, group);
    case Op::kUnreachable:
    case Op::kSnapshotStatus:
      input.node = leader_or_any(group);
      input.a = of_whom(group.node(input.node));
      break;
    case Op::kReady:
      return ready_input(input, group);
    default:
      break;
  }
  if (op == Op::kSnapshotStatus || op == Op::kRestart || op == Op::kSnapshotAvailable) {
    if (!random_.one_in(3)) input.flags |= kYes;
  }
  return input;
}

Input Generator::next(const Group& group) {
  if (left_ == 0) begin_phase();
  --left_;
  Input input = input_of(draw_op(group), group);
  // A stopped node does not write once more before it stops.
  if (random_.below(100) < settle_percent_) input.flags |= kSettle;
  return input;
}

}  // namespace blixard::raft::lockstep

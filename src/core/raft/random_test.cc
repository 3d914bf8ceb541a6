// Nodes with slow disks on a network that loses, repeats and reorders, which crash, compact their
// logs, change their members and hand over leadership, all by chance. After every step: one leader
// a term, and nobody applies anything else at an index than anybody before; a read is never older
// than what was applied anywhere when it was asked.

#include <cstdlib>
#include <map>

#include <gtest/gtest.h>

#include "core/raft/core.h"
#include "core/raft/test_cluster.h"

namespace blixard::raft {
namespace {

constexpr std::uint64_t kNodes = 5;

class World {
 public:
  explicit World(std::uint64_t seed)
      : state_(seed), cluster_(voters({1, 2, 3}), [&](Config& config) { adjust(config, seed); }) {
    cluster_.add(4, voters({1, 2, 3}));
    cluster_.add(5, voters({1, 2, 3}));
    cluster_.on_apply = [this](TestNode& node, const Entry& entry) { check(node, entry); };
  }

  void run(int steps) {
    for (int step = 0; step < steps && !failed_; ++step) {
      act();
      for (std::uint64_t id = 1; id <= kNodes; ++id)
        observe(id);
    }
  }
  [[nodiscard]] bool failed() const { return failed_; }
  [[nodiscard]] std::size_t applied() const { return truth_.size(); }
  [[nodiscard]] std::size_t leaders() const { return leaders_.size(); }
  [[nodiscard]] std::size_t changes() const { return changes_; }
  [[nodiscard]] std::size_t snapshots() const { return snapshots_; }
  [[nodiscard]] std::size_t reads() const { return answered_; }

 private:
  static void adjust(Config& config, std::uint64_t seed) {
    config.seed = seed * 31 + config.id.value;
    config.pre_vote = seed % 3 != 0;
    config.check_quorum = seed % 3 != 0;
    config.applies_before_durable = seed % 2 == 0;
    config.inflight_messages_max = 1 + seed % 5;
    config.message_bytes_max = seed % 4 == 0 ? 0 : 100;
    config.committed_bytes_max = 200;
  }
  std::uint64_t random(std::uint64_t below) {
    state_ += 0x9e3779b97f4a7c15;
    std::uint64_t mixed = (state_ ^ (state_ >> 30)) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
    return (mixed ^ (mixed >> 31)) % below;
  }
  void act() {
    const std::uint64_t id = 1 + random(kNodes);
    const std::uint64_t choice = random(1000);
    if (choice < 450) return deliver();
    if (choice < 700) return complete(id);
    if (choice < 880) return cluster_.tick(id);
    if (choice < 940) return propose(id);
    if (choice < 955) return read(id);
    if (choice < 968) return change(id);
    if (choice < 978) return compact(id);
    if (choice < 984) return crash(id);
    if (choice < 988) return cluster_.core(id).transfer_leader(NodeId(1 + random(kNodes)));
    if (choice < 994) return cluster_.core(id).report_unreachable(NodeId(1 + random(kNodes)));
    cluster_.core(id).report_snapshot(NodeId(1 + random(kNodes)), random(2) == 0);
  }
  void deliver() {
    std::deque<Message>& network = cluster_.network;
    if (network.empty()) return;
    const std::size_t at = random(4) == 0 ? random(network.size()) : 0;
    Message message = network[at];
    const std::uint64_t fate = random(20);
    if (fate != 0) network.erase(network.begin() + static_cast<std::ptrdiff_t>(at));
    if (fate == 1 || message.to.value > kNodes) return;  // 0: it will come again
    ignore(cluster_.core(message.to.value).step(std::move(message)), "some are refused");
  }
  void complete(std::uint64_t id) {
    if (!cluster_[id].disk.empty()) cluster_.complete_one(id);
  }
  void propose(std::uint64_t id) {
    ignore(cluster_.core(id).propose(std::vector<Entry>{command(std::to_string(++proposed_))}),
           "may be dropped");
  }
  void read(std::uint64_t id) {
    const ReadId read{id, ++proposed_};
    oldest_[read] = newest_;
    cluster_.core(id).read_index(read);
  }
  void change(std::uint64_t id) {
    if (!cluster_.core(id).is_leader()) return;
    ConfChange change;
    change.transition = static_cast<ConfTransition>(random(3));
    for (std::uint64_t at = random(3); at > 0; --at) {
      const ConfChangeType types[] = {ConfChangeType::kAddVoter, ConfChangeType::kRemove,
                                      ConfChangeType::kAddLearner};
      change.changes.push_back({types[random(3)], NodeId(1 + random(kNodes))});
    }
    ignore(cluster_.core(id).propose(change), "may be dropped");
  }
  void compact(std::uint64_t id) {
    TestNode& node = cluster_[id];
    const Status status = node.core->status();
    const LogIndex index = status.applied;
    if (index < node.storage.first() || index > node.storage.last()) return;
    if (node.storage.term(index) != truth_.at(index).term) return;  // not durable here
    node.storage.compact(index, status.configuration);
    ++snapshots_;
  }
  void crash(std::uint64_t id) {
    TestNode& node = cluster_[id];
    for (std::uint64_t at = random(node.disk.size() + 1); at > 0; --at) {
      node.storage.write(node.disk.front());  // durable, and nobody was told
      node.disk.pop_front();
    }
    if (random(3) == 0) cluster_.network.clear();
    cluster_.restart(id);
  }
  void observe(std::uint64_t id) {
    cluster_.take(id);
    TestNode& node = cluster_[id];
    if (node.core->is_leader()) {
      const auto known = leaders_.emplace(node.core->term(), id).first;
      if (known->second != id) fail("two leaders");
    }
    for (const ReadState& state : node.reads) {
      const auto asked = oldest_.find(state.read);
      if (asked == oldest_.end()) continue;
      ++answered_;
      if (state.index < asked->second) fail("an old read");
    }
    node.reads.clear();
    node.sent.clear();
    node.events.kinds.clear();
  }
  void check(TestNode& node, const Entry& entry) {
    const auto [known, is_new] = truth_.emplace(entry.index, entry);
    if (known->second != entry) fail("different entries");
    if (is_new && entry.index != newest_.next()) fail("a gap");
    newest_ = std::max(newest_, entry.index);
    if (is_new && entry.kind != EntryKind::kNormal) ++changes_;
    if (node.applied.size() > 8) node.applied.erase(node.applied.begin());
  }
  void fail(const char* what) {
    failed_ = true;
    ADD_FAILURE() << what;
  }

  std::uint64_t state_;
  TestCluster cluster_;
  std::map<LogIndex, Entry> truth_;
  LogIndex newest_;
  std::map<Term, std::uint64_t> leaders_;
  std::map<ReadId, LogIndex> oldest_;
  std::uint64_t proposed_ = 0;
  std::size_t answered_ = 0;
  std::size_t changes_ = 0;
  std::size_t snapshots_ = 0;
  bool failed_ = false;
};

TEST(Random, NothingCommittedIsEverLost) {
  std::size_t applied = 0;
  std::size_t leaders = 0;
  std::size_t changes = 0;
  std::size_t snapshots = 0;
  std::size_t reads = 0;
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    World world(seed);
    world.run(8000);
    ASSERT_FALSE(world.failed()) << "seed " << seed;
    applied += world.applied();
    leaders += world.leaders();
    changes += world.changes();
    snapshots += world.snapshots();
    reads += world.reads();
  }
  // It happened at all.
  EXPECT_GT(applied, 5000u);
  EXPECT_GT(leaders, 400u);
  EXPECT_GT(changes, 200u);
  EXPECT_GT(snapshots, 300u);
  EXPECT_GT(reads, 300u);
  RecordProperty("applied", static_cast<int>(applied));
}

}  // namespace
}  // namespace blixard::raft

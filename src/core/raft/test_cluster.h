#pragma once

// For tests: nodes with a log in memory, a disk that completes when it is told to, and a network
// that is a queue. Nothing happens unless the test asks for it.

#include <algorithm>
#include <deque>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "core/raft/conf_change.h"
#include "core/raft/configuration.h"
#include "core/raft/core.h"

namespace blixard::raft {

class MemoryStorage : public Storage {
 public:
  [[nodiscard]] LogIndex first() const override { return base_.index.next(); }
  [[nodiscard]] LogIndex last() const override {
    return LogIndex(base_.index.value + entries_.size());
  }
  [[nodiscard]] std::optional<Term> term(LogIndex index) const override {
    if (index == base_.index) return base_.term;
    if (index < base_.index || index > last()) return std::nullopt;
    return at(index).term;
  }
  Fetch entries(LogIndex from, LogIndex to, std::size_t bytes_max,
                std::vector<Entry>& out) const override {
    if (from < first()) return Fetch::kCompacted;
    if (from < on_disk_below) return Fetch::kNotInMemory;
    std::size_t bytes = 0;
    for (LogIndex index = from; index <= to; index = index.next()) {
      bytes += entry_bytes(at(index));
      if (bytes > bytes_max && index != from) break;
      out.push_back(at(index));
    }
    return Fetch::kFound;
  }
  [[nodiscard]] std::optional<SnapshotMeta> snapshot() const override {
    return snapshot_available ? snapshot_ : std::nullopt;
  }

  void write(const Append& append) {
    if (append.snapshot) install(*append.snapshot);
    if (append.hard_state) hard_state = *append.hard_state;
    if (append.entries.empty()) return;
    entries_.resize(append.entries.front().index.value - first().value);
    entries_.insert(entries_.end(), append.entries.begin(), append.entries.end());
  }
  void install(const SnapshotMeta& snapshot) {
    entries_.clear();
    snapshot_ = snapshot;
    base_ = snapshot;
  }
  // A snapshot at `index`, and nothing kept up to it.
  void compact(LogIndex index, ConfState configuration) {
    const Term its_term = *term(index);
    entries_.erase(entries_.begin(),
                   entries_.begin() + static_cast<std::ptrdiff_t>(index.value - base_.index.value));
    base_ = {index, its_term, configuration};
    snapshot_ = base_;
  }
  // Behind which the entries begin.
  [[nodiscard]] const SnapshotMeta& base() const { return base_; }
  [[nodiscard]] const Entry& at(LogIndex index) const {
    return entries_.at(index.value - first().value);
  }

  HardState hard_state;
  bool snapshot_available = true;
  LogIndex on_disk_below;  // entries before it are not in memory

 private:
  SnapshotMeta base_;
  std::vector<Entry> entries_;
  std::optional<SnapshotMeta> snapshot_;
};

inline Entry command(std::string bytes) {
  return {
      .term = {}, .index = {}, .kind = EntryKind::kNormal, .payload = Payload(std::move(bytes))};
}

inline ConfState voters(std::initializer_list<std::uint64_t> ids,
                        std::initializer_list<std::uint64_t> learners = {}) {
  ConfState conf;
  for (const std::uint64_t id : ids)
    conf.voters.emplace_back(id);
  for (const std::uint64_t id : learners)
    conf.learners.emplace_back(id);
  return conf;
}

class RecordedEvents : public EventSink {
 public:
  void on_event(const Event& event) override { kinds.push_back(event.kind); }
  [[nodiscard]] std::size_t count(EventKind kind) const {
    return static_cast<std::size_t>(std::count(kinds.begin(), kinds.end(), kind));
  }
  std::vector<EventKind> kinds;
};

struct TestNode {
  Config config;
  MemoryStorage storage;
  RecordedEvents events;
  std::unique_ptr<Core> core;
  std::deque<Append> disk;  // handed out, not durable
  std::vector<Entry> applied;
  std::vector<ReadState> reads;
  std::vector<ReadId> refused;
  std::vector<Message> sent;  // everything that ever left
  ConfState configuration;    // at the beginning of its log

  [[nodiscard]] std::vector<std::string> commands() const {
    std::vector<std::string> found;
    for (const Entry& entry : applied) {
      if (entry.kind == EntryKind::kNormal && !entry.payload.empty())
        found.emplace_back(entry.payload.view());
    }
    return found;
  }
};

class TestCluster {
 public:
  using Adjust = std::function<void(Config&)>;

  explicit TestCluster(ConfState configuration, Adjust adjust = {}) : adjust_(std::move(adjust)) {
    for (const NodeId id : members(configuration))
      add(id.value, configuration);
  }

  TestNode& add(std::uint64_t id, const ConfState& configuration) {
    auto& node = nodes_[NodeId(id)];
    node = std::make_unique<TestNode>();
    node->config.id = NodeId(id);
    node->config.seed = id;
    if (adjust_) adjust_(node->config);
    node->configuration = configuration;
    start(*node);
    return *node;
  }

  TestNode& operator[](std::uint64_t id) { return *nodes_.at(NodeId(id)); }
  Core& core(std::uint64_t id) { return *(*this)[id].core; }

  // Loses what its disk had not completed.
  void restart(std::uint64_t id) {
    TestNode& node = (*this)[id];
    node.disk.clear();
    node.applied.clear();
    start(node);
  }

  // Takes what a node has to say; messages go to the network, appends wait for the disk.
  void take(std::uint64_t id) {
    TestNode& node = (*this)[id];
    while (node.core->has_output()) {
      Output out = node.core->take_output();
      for (Message& message : out.messages)
        post(node, std::move(message));
      if (out.append) node.disk.push_back(std::move(*out.append));
      node.reads.insert(node.reads.end(), out.reads.begin(), out.reads.end());
      node.refused.insert(node.refused.end(), out.refused_reads.begin(), out.refused_reads.end());
      if (!out.committed.empty()) apply(node, out.committed);
    }
  }
  // The disk completes its oldest append.
  void complete_one(std::uint64_t id) {
    TestNode& node = (*this)[id];
    ASSERT_FALSE(node.disk.empty());
    Append append = std::move(node.disk.front());
    node.disk.pop_front();
    node.storage.write(append);
    for (Message& message : append.responses) {
      if (message.to == node.config.id) {
        ignore(node.core->step(std::move(message)), "its own");
      } else {
        post(node, std::move(message));
      }
    }
    node.core->appended(append.mark);
  }
  void complete(std::uint64_t id) {
    for (take(id); !(*this)[id].disk.empty(); take(id))
      complete_one(id);
  }
  // Delivers what is on the network now; what it causes stays there.
  void deliver() {
    std::deque<Message> now = std::exchange(network, {});
    for (Message& message : now) {
      if (drop && drop(message)) continue;
      const auto found = nodes_.find(message.to);
      if (found == nodes_.end() || isolated.contains(message.to) || isolated.contains(message.from))
        continue;
      last_result = found->second->core->step(message);
    }
  }
  void settle() {
    for (int round = 0; round < 1000; ++round) {
      for (auto& [id, node] : nodes_)
        complete(id.value);
      if (network.empty()) return;
      deliver();
    }
    FAIL() << "it does not settle";
  }
  void elect(std::uint64_t id) {
    ASSERT_TRUE(core(id).campaign());
    settle();
    ASSERT_EQ(core(id).role(), Role::kLeader);
  }
  void propose(std::uint64_t id, const std::string& bytes) {
    ASSERT_TRUE(core(id).propose(std::vector<Entry>{command(bytes)}));
    settle();
  }
  void tick(std::uint64_t id, int times = 1) {
    for (int at = 0; at < times; ++at)
      core(id).tick();
  }

  std::deque<Message> network;
  std::function<bool(const Message&)> drop;
  std::map<NodeId, bool> isolated;
  Result<void> last_result;
  std::function<void(TestNode&, const Entry&)> on_apply;

 private:
  void start(TestNode& node) {
    const SnapshotMeta& base = node.storage.base();
    const ConfState& configuration = base.index ? base.configuration : node.configuration;
    auto made = Core::make(node.config, node.storage,
                           {node.storage.hard_state, configuration, base.index}, &node.events);
    ASSERT_TRUE(made) << made.error().message();
    node.core = std::move(*made);
  }
  void post(TestNode& node, Message message) {
    node.sent.push_back(message);
    network.push_back(std::move(message));
  }
  void apply(TestNode& node, const std::vector<Entry>& entries) {
    for (const Entry& entry : entries) {
      node.applied.push_back(entry);
      if (on_apply) on_apply(node, entry);
      if (entry.kind == EntryKind::kNormal) continue;
      const auto change = decode_conf_change(entry.payload.view());
      ASSERT_TRUE(change);
      ignore(node.core->apply_conf_change(*change), "what cannot be changes nothing, anywhere");
    }
    node.core->applied(entries.back().index);
  }

  Adjust adjust_;
  std::map<NodeId, std::unique_ptr<TestNode>> nodes_;
};

}  // namespace blixard::raft

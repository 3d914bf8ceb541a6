// What one entry costs from proposal to commitment on three nodes, without disk and network: time,
// and allocations, which are exact. Argument: entries of one proposal.

#include "core/raft/core.h"

#include <cstdint>
#include <iterator>
#include <memory>
#include <utility>
#include <vector>

#include <benchmark/benchmark.h>

#include "observe/allocations.h"

namespace blixard::raft {
namespace {

// A durable log that keeps the last few thousand entries.
class Recent : public Storage {
 public:
  [[nodiscard]] LogIndex first() const override { return before_.next(); }
  [[nodiscard]] LogIndex last() const override { return LogIndex(before_.value + entries_.size()); }
  [[nodiscard]] std::optional<Term> term(LogIndex index) const override {
    if (index == before_) return before_term_;
    if (index < before_ || index > last()) return std::nullopt;
    return entries_[index.value - before_.value - 1].term;
  }
  Fetch entries(LogIndex from, LogIndex to, std::size_t bytes_max,
                std::vector<Entry>& out) const override {
    if (from <= before_) return Fetch::kCompacted;
    std::size_t bytes = 0;
    for (LogIndex index = from; index <= to; index = index.next()) {
      const Entry& entry = entries_[index.value - before_.value - 1];
      bytes += entry_bytes(entry);
      if (bytes > bytes_max && index != from) break;
      out.push_back(entry);
    }
    return Fetch::kFound;
  }
  [[nodiscard]] std::optional<SnapshotMeta> snapshot() const override { return std::nullopt; }
  void write(const Append& append) {
    if (entries_.size() > 2 * kKept) {
      const auto end = entries_.begin() + static_cast<std::ptrdiff_t>(kKept);
      before_ = LogIndex(before_.value + kKept);
      before_term_ = std::prev(end)->term;
      entries_.erase(entries_.begin(), end);
    }
    entries_.insert(entries_.end(), append.entries.begin(), append.entries.end());
  }

 private:
  static constexpr std::size_t kKept = 4096;
  LogIndex before_;
  Term before_term_;
  std::vector<Entry> entries_;
};

struct Node {
  Recent storage;
  std::unique_ptr<Core> core;
};

class Nodes {
 public:
  Nodes() {
    ConfState configuration;
    for (std::uint64_t id = 1; id <= 3; ++id)
      configuration.voters.emplace_back(id);
    for (std::uint64_t id = 1; id <= 3; ++id) {
      Config config;
      config.id = NodeId(id);
      Node& node = nodes_[id - 1];
      node.core = std::move(*Core::make(config, node.storage, {{}, configuration, {}}, nullptr));
    }
    ignore(leader().campaign(), "it can");
    settle();
  }
  Core& leader() { return *nodes_[0].core; }

  void settle() {
    bool busy = true;
    while (busy) {
      busy = false;
      for (Node& node : nodes_)
        busy = run(node) || busy;
    }
  }

 private:
  bool run(Node& node) {
    if (!node.core->has_output()) return false;
    Output out = node.core->take_output();
    for (Message& message : out.messages)
      deliver(std::move(message));
    if (out.append) {
      node.storage.write(*out.append);
      for (Message& message : out.append->responses)
        deliver(std::move(message));
      node.core->appended(out.append->mark);
    }
    if (!out.committed.empty()) node.core->applied(out.committed.back().index);
    node.core->recycle(std::move(out));
    return true;
  }
  void deliver(Message message) {
    const std::uint64_t to = message.to.value;
    ignore(nodes_[to - 1].core->step(std::move(message)), "between correct nodes");
  }

  Node nodes_[3];
};

void propose_and_commit(benchmark::State& state) {
  Nodes nodes;
  const auto count = static_cast<std::size_t>(state.range(0));
  const Payload payload(std::string(128, 'x'));
  std::uint64_t made = 0;
  for ([[maybe_unused]] auto _ : state) {
    std::vector<Entry> entries(count);
    for (Entry& entry : entries)
      entry.payload = payload;
    const observe::AllocationMeter meter;
    if (!nodes.leader().propose(std::move(entries))) state.SkipWithError("refused");
    nodes.settle();
    made += meter.spent().allocations;
  }
  const auto entries = static_cast<double>(state.iterations()) * static_cast<double>(count);
  state.SetItemsProcessed(static_cast<std::int64_t>(entries));
  state.counters["allocations_per_proposal"] =
      static_cast<double>(made) / static_cast<double>(state.iterations());
  if (nodes.leader().commit() != nodes.leader().last_index()) state.SkipWithError("not committed");
}
BENCHMARK(propose_and_commit)->Arg(1)->Arg(16)->Arg(64)->Arg(1024);

}  // namespace
}  // namespace blixard::raft

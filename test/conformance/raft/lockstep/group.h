#pragma once

// Our side of the lockstep test: a group of cores that does what it is told, as main.go does it
// with the reference.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/raft/core.h"
#include "test/conformance/raft/lockstep/canon.h"
#include "test/conformance/raft/lockstep/disk.h"
#include "test/conformance/raft/lockstep/protocol.h"

namespace blixard::raft::lockstep {

// What was seen, to know that a run meant something.
struct Seen {
  std::array<std::uint64_t, kOps> inputs{};
  std::array<std::uint64_t, 32> delivered{};  // by message type
  std::uint64_t worlds = 0;
  std::uint64_t leaders = 0;
  std::uint64_t committed = 0;
  std::uint64_t changes = 0;
  std::uint64_t refused_changes = 0;
  std::uint64_t joint = 0;
  std::uint64_t snapshots = 0;
  std::uint64_t reads = 0;
  std::uint64_t dropped_proposals = 0;
  [[nodiscard]] std::string text() const;
};

class Group {
 public:
  struct Node {
    NodeId id;
    Disk disk;
    std::unique_ptr<Core> core;
    ConfState conf;  // as of applied
    LogIndex applied;
  };

  Group();
  void begin(const Settings& settings);
  // The digest of what can be seen of the node afterwards; the text is in text().
  std::uint64_t step(const Input& input);
  [[nodiscard]] const std::string& text() const { return canon_.text(); }

  [[nodiscard]] const Settings& settings() const { return settings_; }
  [[nodiscard]] std::size_t size() const { return nodes_.size(); }
  [[nodiscard]] const Node& node(std::uint64_t id) const { return *nodes_.at(id - 1); }
  [[nodiscard]] const std::vector<Message>& pool() const { return pool_; }
  // Of the entries made in this world whose payload is below the unit.
  [[nodiscard]] std::size_t small_bytes() const { return small_bytes_; }
  [[nodiscard]] const Seen& seen() const { return seen_; }

 private:
  void start(Node& node);
  std::uint64_t act(const Input& input, Node& node);
  std::uint64_t propose(const Input& input, Node& node);
  std::uint64_t deliver(const Input& input, Node& node);
  void tick(Node& node, std::uint32_t times);
  void restart(Node& node, bool from_snapshot);
  bool ready(Node& node);  // false: nothing was
  void apply(Node& node, const Entry& entry);
  void send(Message message);
  void remove(std::size_t slot);
  void look(const Node& node, bool handled);

  Settings settings_;
  std::vector<Payload> payloads_;
  std::vector<std::unique_ptr<Node>> nodes_;
  std::vector<Message> pool_;
  std::uint64_t overflow_ = 0;
  std::size_t small_bytes_ = 0;
  Canon canon_;
  Seen seen_;
};

ConfChange changes_of(const Input& input);

}  // namespace blixard::raft::lockstep

#pragma once

// Draws worlds and inputs from a seed, looking at our side so that they mean something: somebody
// leads, messages arrive, and then everything goes wrong in its turn.

#include <array>
#include <cstdint>

#include "test/conformance/raft/lockstep/group.h"
#include "test/conformance/raft/lockstep/protocol.h"

namespace blixard::raft::lockstep {

class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next();
  std::uint64_t below(std::uint64_t bound) { return next() % bound; }
  bool one_in(std::uint64_t n) { return below(n) == 0; }

 private:
  std::uint64_t state_;
};

class Generator {
 public:
  Generator(std::uint64_t seed, std::uint64_t world);

  [[nodiscard]] const Settings& settings() const { return settings_; }
  // How many inputs the world has at most.
  [[nodiscard]] std::uint64_t length() const { return length_; }
  // Precondition: the group has done all before.
  Input next(const Group& group);
  // The world has what it can take (see kLimitSlack).
  [[nodiscard]] static bool is_full(const Group& group);

 private:
  void draw_settings();
  void begin_phase();
  Op draw_op(const Group& group);
  Input input_of(Op op, const Group& group);
  Input message_input(const Group& group);
  Input change_input(Input input);
  Input compact_input(Input input, const Group& group);
  Input ready_input(Input input, const Group& group);
  std::uint8_t any_node() { return static_cast<std::uint8_t>(1 + random_.below(settings_.nodes)); }
  std::uint8_t leader_or_any(const Group& group);
  std::uint8_t candidate(const Group& group);
  std::uint8_t of_whom(const Group::Node& leader);
  [[nodiscard]] bool is_cut(NodeId node) const { return (cut_ >> node.value & 1) != 0; }

  Random random_;
  Settings settings_;
  std::uint64_t length_ = 0;
  std::uint64_t settle_percent_ = 100;
  std::uint64_t read_sequence_ = 0;
  // Of the phase.
  std::uint64_t left_ = 0;
  bool calm_ = true;
  std::uint64_t cut_ = 0;  // nodes that nothing reaches
  std::uint64_t window_ = 1;
  std::uint64_t drop_percent_ = 0;
};

}  // namespace blixard::raft::lockstep

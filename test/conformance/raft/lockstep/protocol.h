#pragma once

// What the two sides of the lockstep test say to each other (main.go is the other one).
//
// Each input is a record of 16 bytes, little endian: kind (1), node (1), flags (2), a (4), b (8).
// kWorld is followed by the settings, 16 numbers. Each is answered with a digest (8), and with
// kText also with the length of a text (8) and the text.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace blixard::raft::lockstep {

enum class Op : std::uint8_t {
  kWorld,
  kCampaign,
  kPropose,            // a: number of the first payload, b: how many
  kProposeChange,      // see changes_of()
  kReadIndex,          // b: sequence
  kTransfer,           // a: to whom
  kTick,               // a: how often; only leaders do more by it than count
  kDeliver,            // a: slot of the pool
  kDrop,               // a: slot of the pool
  kRestart,            // kYes: from the snapshot, else from what the state machine kept
  kCompact,            // b: up to here, after a snapshot of what is applied
  kUnreachable,        // a: who
  kSnapshotStatus,     // a: whose, kYes: it arrived
  kReady,              // handle one
  kSnapshotAvailable,  // kYes, or not for now
};
inline constexpr std::size_t kOps = 15;

inline constexpr std::uint16_t kSettle = 1;  // handle what is ready until nothing is
inline constexpr std::uint16_t kText = 2;
inline constexpr std::uint16_t kKeep = 4;  // deliver a copy
inline constexpr std::uint16_t kYes = 8;   // of the input's own question; of a change: the old kind

struct Input {
  Op op = Op::kWorld;
  std::uint8_t node = 1;
  std::uint16_t flags = 0;
  std::uint32_t a = 0;
  std::uint64_t b = 0;
};

inline constexpr std::uint64_t kPanicked = ~std::uint64_t{0};  // the reference did; the world ends
inline constexpr std::size_t kPoolMax = 256;

// Payloads are numbered; the size follows from the number. Large steps and limits between them let
// both sides cut batches at the same place although an entry has different bytes with each.
inline constexpr std::size_t kPayloads = 1024;
inline constexpr std::size_t kPayloadUnit = 4096;
inline constexpr std::uint64_t kLimitSlack = kPayloadUnit / 2;

inline constexpr std::uint64_t kUnlimited = std::uint64_t{1} << 40;

struct Settings {
  std::uint64_t nodes = 3;
  std::uint64_t voters = 0b1110;  // bit of each id
  std::uint64_t learners = 0;
  std::uint64_t pre_vote = 0;
  std::uint64_t check_quorum = 0;
  std::uint64_t leases = 0;
  std::uint64_t no_forwarding = 0;
  std::uint64_t message_bytes = kUnlimited;
  std::uint64_t inflight = 64;
  std::uint64_t uncommitted_bytes = kUnlimited;
  std::uint64_t committed_bytes = kUnlimited;
  std::uint64_t election_ticks = 10;
  std::uint64_t heartbeat_ticks = 1;
  std::uint64_t boot_index = 1;

  [[nodiscard]] std::array<std::uint64_t, 16> words() const {
    return {nodes,
            voters,
            learners,
            pre_vote,
            check_quorum,
            leases,
            no_forwarding,
            message_bytes,
            inflight,
            uncommitted_bytes,
            committed_bytes,
            election_ticks,
            heartbeat_ticks,
            boot_index,
            0,
            0};
  }
};

std::string describe(const Input& input);
std::string describe(const Settings& settings);

}  // namespace blixard::raft::lockstep

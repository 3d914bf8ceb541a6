#pragma once

// Clients of the cluster: writers, which repeat a request with the same id anywhere until it is
// answered (or give up), and readers, which ask for what was acknowledged. All tell the judge what
// they were told.

#include <cstdint>
#include <string>

#include "env/scope.h"
#include "test/conformance/consensus/cluster.h"

namespace blixard::consensus_sim {

struct Counts {
  std::uint64_t answered = 0;
  std::uint64_t given_up = 0;
  std::uint64_t tries = 0;
  std::uint64_t reads = 0;
  std::uint64_t reads_refused = 0;
};

class Clients {
 public:
  explicit Clients(Cluster& cluster) : cluster_(cluster) {}

  // Nothing new is begun from here on; what was begun is still repeated until it is answered.
  void finish() { finishing_ = true; }
  // Requests of clients that have not given up.
  [[nodiscard]] std::uint64_t waiting() const { return waiting_; }
  [[nodiscard]] const Counts& counts() const { return counts_; }

  // Each ends some time after finish().
  env::Task<void> write(std::size_t number);
  env::Task<void> read();

  // Repeats until it is answered or `deadline` has passed: then the last error.
  env::Task<Result<cluster::Outcome>> request(v1::Command command, Instant deadline);
  // Of one try: whether it is the answer of the state machine, or nothing is known.
  static bool is_answer(const Result<cluster::Outcome>& outcome);

 private:
  Uuid next_request();
  env::Task<Result<cluster::Outcome>> ask(Daemon& daemon, v1::Command command, Uuid id);
  env::Task<void> ask_beside(Daemon& daemon, v1::Command command, Uuid id);

  Cluster& cluster_;
  bool finishing_ = false;
  std::uint64_t requests_ = 0;
  std::uint64_t waiting_ = 0;
  Counts counts_;
};

}  // namespace blixard::consensus_sim

#pragma once

// What a workload fills: the steps of one client, or of the operator, one after another.

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <utility>
#include <vector>

#include "sim/random.h"
#include "vopr/plan.h"
#include "vopr/scenario.h"

namespace blixard::vopr {

class Stream {
 public:
  Stream(const Workload& workload, const Settings& settings, Duration until, std::uint64_t seed,
         std::vector<Step>& steps);

  // False when the time is over.
  bool advance();
  void add(Step step);
  void ask(Action action, std::uint32_t client, std::uint32_t node, std::uint32_t vm);

  [[nodiscard]] sim::SeededRandom& random() { return random_; }
  [[nodiscard]] const Settings& settings() const { return settings_; }

  // Precondition: their weights are not all 0.
  Action pick(std::initializer_list<std::pair<Action, std::uint64_t>> weighted);
  // Mostly the node this client always asks, now and then the leader or any machine.
  std::uint32_t server(std::uint32_t home);

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

}  // namespace blixard::vopr

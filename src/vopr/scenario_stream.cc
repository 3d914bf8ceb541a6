#include "vopr/scenario_stream.h"

#include "base/assert.h"
#include "vopr/scenario_steps.h"

namespace blixard::vopr {
namespace {

constexpr TimeRange kFollows{200ms, 10s};

}  // namespace

Stream::Stream(const Workload& workload, const Settings& settings, Duration until,
               std::uint64_t seed, std::vector<Step>& steps)
    : workload_(workload),
      settings_(settings),
      until_(until),
      random_(seed),
      gap_(workload.gap),
      steps_(steps) {
  // Some are busy: always near the shortest gap.
  if (random_.one_in(4)) gap_.most = gap_.least + (gap_.most - gap_.least) / 6;
}

bool Stream::advance() {
  at_ += draw_time(random_, gap_);
  return at_ <= until_ && ++count_ <= kStepsMost;
}

void Stream::add(Step step) {
  step.at = at_;
  steps_.push_back(step);
}

void Stream::ask(Action action, std::uint32_t client, std::uint32_t node, std::uint32_t vm) {
  Step step{.action = action, .node = node, .client = client};
  const Uses& uses = facts_of(action).uses;
  if (uses.vm) step.vm = vm;
  if (uses.length) step.length = draw_by_size(random_, kFollows);
  step.amount = draw_amount(random_, action);
  const std::uint64_t percent = random_.below(100);
  if (percent < workload_.noisy_percent)
    step.manner = Manner::kNoisy;
  else if (percent < workload_.noisy_percent + workload_.vanishing_percent)
    step.manner = Manner::kVanishes;
  add(step);
}

Action Stream::pick(std::initializer_list<std::pair<Action, std::uint64_t>> weighted) {
  std::uint64_t sum = 0;
  for (const auto& [action, weight] : weighted)
    sum += weight;
  std::uint64_t place = random_.below(sum);
  for (const auto& [action, weight] : weighted) {
    if (place < weight) return action;
    place -= weight;
  }
  BLX_ASSERT(false);
  return Action::kNone;
}

std::uint32_t Stream::server(std::uint32_t home) {
  if (random_.one_in(8)) return 0;
  return random_.below(3) < 2 ? home : draw_machine(random_, settings_);
}

}  // namespace blixard::vopr

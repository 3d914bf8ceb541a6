#include "test/conformance/consensus/settings.h"

namespace blixard::consensus_sim {

std::string_view name(Fault fault) {
  constexpr std::array<std::string_view, kFaults> kNames{
      "crash",     "power",     "crash-all", "cut",     "one-way",   "isolate",
      "split",     "slow-link", "reset",     "weather", "slow-disk", "bad-sync",
      "full-disk", "wall-jump", "transfer",  "join",    "promote",   "remove"};
  return kNames.at(static_cast<std::size_t>(fault));
}

Settings Settings::draw(std::uint64_t seed, Mix mix, std::size_t nodes, Duration until) {
  sim::SeededRandom random(sim::SeededRandom(seed).seed_for("settings"));
  const bool hard = mix == Mix::kHard;
  Settings settings{.seed = seed, .mix = mix, .until = until};
  settings.nodes = nodes != 0 ? nodes : (random.one_in(3) ? 5 : 3);
  settings.spares = 1 + random.below(2);
  settings.writers = 1 + random.below(4);
  settings.readers = 1 + random.below(3);
  settings.request_gap = random.between(20ms, hard ? 150ms : 300ms);
  settings.fault_gap = hard ? random.between(60ms, 500ms) : random.between(800ms, 3s);
  settings.fault_length = random.between(200ms, hard ? 2s : 1500ms);
  for (std::uint32_t& weight : settings.weights)
    weight = random.one_in(3) ? 0 : static_cast<std::uint32_t>(1 + random.below(4));
  // Without these not much would be seen.
  settings.weights[static_cast<std::size_t>(Fault::kCrash)] += 1;
  settings.weights[static_cast<std::size_t>(Fault::kIsolate)] += 1;
  replica::Options& options = settings.replica;
  options.log.segment_bytes = std::uint64_t{2} << 20;
  options.tick = random.between(20ms, 60ms);
  options.election_ticks = static_cast<int>(5 + random.below(6));
  options.snapshot_entries = random.one_in(4) ? 1000 : 5 + random.below(60);
  options.trailing_entries = random.one_in(2) ? 0 : random.below(40);
  return settings;
}

}  // namespace blixard::consensus_sim

#include "sim/journal.h"

namespace blixard::sim {

void Journal::write(const Engine& engine, std::string_view who, std::string_view level_name,
                    std::string_view line) {
  const auto micros =
      std::chrono::duration_cast<std::chrono::microseconds>(engine.now().since_start).count();
  lines.push_back(fmt::format("{:>6}.{:06} {:<12} {:<5} {}", micros / 1'000'000, micros % 1'000'000,
                              who, level_name, line));
}

}  // namespace blixard::sim

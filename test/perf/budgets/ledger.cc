#include "test/perf/budgets/ledger.h"

#include <cstdio>
#include <fstream>
#include <map>
#include <optional>
#include <sstream>

#include <fmt/format.h>

namespace blixard::budgets {
namespace {

constexpr const char* kTable = BLX_SOURCE_DIR "/test/perf/budgets/budgets.txt";

struct Budget {
  std::uint64_t runs = 0;
  std::uint64_t allocations = 0;
  std::uint64_t bytes = 0;
};
using Budgets = std::map<std::string, Budget, std::less<>>;

Budgets read_table() {
  Budgets budgets;
  std::ifstream file(kTable);
  std::string line;
  while (std::getline(file, line)) {
    if (line.empty() || line.front() == '#') continue;
    std::istringstream words(line);
    std::string name;
    Budget budget;
    if (words >> name >> budget.runs >> budget.allocations >> budget.bytes) budgets[name] = budget;
  }
  return budgets;
}

const Budgets& table() {
  static const Budgets kBudgets = read_table();
  return kBudgets;
}

std::optional<Budgets>& rewritten() {
  static std::optional<Budgets> budgets;
  return budgets;
}

std::string per_run(std::uint64_t count, std::uint64_t runs) {
  return fmt::format("{:.3f}", static_cast<double>(count) / static_cast<double>(runs));
}

std::string change(std::string_view operation, const Budget& before, const Budget& now) {
  return fmt::format(
      "{}: allocations {} -> {} and bytes {} -> {} a run (in all {} -> {}, {} -> {})", operation,
      per_run(before.allocations, before.runs), per_run(now.allocations, now.runs),
      per_run(before.bytes, before.runs), per_run(now.bytes, now.runs), before.allocations,
      now.allocations, before.bytes, now.bytes);
}

}  // namespace

observe::AllocationCounts Meter::now() {
  auto counts = observe::thread_allocations_by_subsystem();
  counts[std::size_t(observe::Subsystem::kSimulator)] = {};
  return observe::sum_of(counts);
}

testing::AssertionResult within_budget(std::string_view operation, std::uint64_t runs,
                                       const observe::AllocationCounts& spent) {
  if (!observe::is_hooked()) return testing::AssertionSuccess();
  const Budget now{runs, spent.allocations, spent.bytes};
  if (rewritten()) {
    (*rewritten())[std::string(operation)] = now;
    return testing::AssertionSuccess();
  }
  const auto found = table().find(operation);
  if (found == table().end() || found->second.runs != runs) {
    return testing::AssertionFailure()
           << operation << ": no budget for " << runs << " runs; it took " << now.allocations
           << " allocations of " << now.bytes
           << " bytes. To write it down: blx_budgets_test --rewrite";
  }
  const Budget& budget = found->second;
  if (now.allocations > budget.allocations || now.bytes > budget.bytes) {
    return testing::AssertionFailure()
           << "more than its budget: " << change(operation, budget, now)
           << ". Take less, or accept it: blx_budgets_test --rewrite changes "
              "test/perf/budgets/budgets.txt";
  }
  if (now.allocations < budget.allocations || now.bytes < budget.bytes) {
    std::printf("less than its budget: %s; blx_budgets_test --rewrite keeps it\n",
                change(operation, budget, now).c_str());
  }
  return testing::AssertionSuccess();
}

void rewrite() { rewritten() = table(); }

void write_table() {
  if (!rewritten()) return;
  std::ofstream file(kTable);
  file << "# What operations ask of the allocator: ledger.h says how to read and change this.\n"
       << fmt::format("# {:<38} {:>8} {:>12} {:>14}\n", "operation", "runs", "allocations",
                      "bytes");
  for (const auto& [name, budget] : *rewritten()) {
    file << fmt::format("{:<40} {:>8} {:>12} {:>14}\n", name, budget.runs, budget.allocations,
                        budget.bytes);
  }
}

}  // namespace blixard::budgets

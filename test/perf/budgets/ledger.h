#pragma once

// What each operation may ask of the allocator, as written in budgets.txt beside this file.
//
//   const Spent spent = ...;                                  // of 1000 runs
//   EXPECT_TRUE(within_budget("wire.encode", 1000, spent));
//
// A line of the table is `operation runs allocations bytes`, the last two for all the runs
// together, so that what happens once in a thousand runs is seen too. More than that fails; less
// is said, so that the table follows. `blx_budgets_test --rewrite` writes the table anew, and its
// difference shows in the review what a change costs.

#include <cstdint>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include "observe/allocations.h"

namespace blixard::budgets {

// By the product: what the simulated machines take for themselves is left out.
class Meter {
 public:
  Meter() : before_(now()) {}
  [[nodiscard]] observe::AllocationCounts spent() const { return now() - before_; }

 private:
  [[nodiscard]] static observe::AllocationCounts now();

  observe::AllocationCounts before_;
};

// Skips nothing and is true where allocations are not counted.
[[nodiscard]] testing::AssertionResult within_budget(std::string_view operation, std::uint64_t runs,
                                                     const observe::AllocationCounts& spent);

// From now on within_budget() keeps what it is told for write_table().
void rewrite();
void write_table();

// The compiler may leave out what nobody looks at.
template <class T>
void look_at(const T& value) {
  asm volatile("" : : "r"(&value) : "memory");
}

}  // namespace blixard::budgets

#include <string_view>

#include <gtest/gtest.h>

#include "test/perf/budgets/ledger.h"

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  const bool rewrites = argc > 1 && std::string_view(argv[1]) == "--rewrite";
  if (rewrites) blixard::budgets::rewrite();
  const int failed = RUN_ALL_TESTS();
  if (rewrites && failed == 0) blixard::budgets::write_table();
  return failed;
}

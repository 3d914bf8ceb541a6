#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "base/assert.h"
#include "base/name.h"
#include "observe/allocations.h"
#include "test/perf/budgets/ledger.h"

namespace {

// The table of names grows where it is asked for one too many: not in one operation or another, as
// the tests come.
void make_room_for_names() {
  constexpr std::size_t kNames = 10'000;
  std::vector<blixard::Name> names;
  names.reserve(kNames);
  for (std::size_t i = 0; i < kNames; ++i)
    names.emplace_back("a-name-for-the-budgets-" + std::to_string(i));
}

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
#if !__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer)
  // Nothing would be counted, and every budget be kept.
  BLX_ASSERT(blixard::observe::is_hooked());
#endif
  const bool rewrites = argc > 1 && std::string_view(argv[1]) == "--rewrite";
  if (rewrites) blixard::budgets::rewrite();
  make_room_for_names();
  const int failed = RUN_ALL_TESTS();
  if (rewrites && failed == 0) blixard::budgets::write_table();
  return failed;
}

// The tests' own main: the launcher of their children is this very program.

#include <gtest/gtest.h>

#include "linux/runtime.h"

int main(int argc, char** argv) {
  if (const int code = blixard::linux_side::run_hidden_command(argc, argv); code >= 0) return code;
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}

// The tests' own main: it serves the hidden subcommand too.

#include <gtest/gtest.h>

#include "linux/runtime.h"

int main(int argc, char** argv) {
  if (const int code = blixard::linux_side::run_hidden_command(argc, argv); code >= 0) return code;
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}

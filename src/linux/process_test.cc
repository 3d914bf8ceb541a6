#include <gtest/gtest.h>

#include "linux/test_runtime.h"

namespace blixard::linux_side {
namespace {

using ProcessTest = RuntimeTest;

TEST_F(ProcessTest, SpawnsAndWaits) {
  run([this](env::Env env) -> env::Task<void> {
    auto child =
        co_await env.process.spawn({.executable = "/bin/sh",
                                    .arguments = {"-c", "echo hello; echo oops >&2; exit 3"},
                                    .output_path = path("out")});
    if (!child) {
      ADD_FAILURE() << child.error().message();
      co_return;
    }
    auto status = co_await (*child)->wait();
    EXPECT_EQ(status.value().text(), "exit code 3");
    auto output = co_await env.disk.read_file(path("out"), 100);
    EXPECT_EQ(output.value(), "hello\noops\n");
  });
}

}  // namespace
}  // namespace blixard::linux_side

#pragma once

// What the tests of this folder share: one Runtime, tasks run on it, a directory that goes away.

#include <stdlib.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "env/sync.h"
#include "linux/runtime.h"

namespace blixard::linux_side {

class RuntimeTest : public testing::Test {
 protected:
  RuntimeTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "blx-XXXXXX").string();
    directory_ = mkdtemp(pattern.data());
    group_root_ = "blx-test-" + std::to_string(getpid());
    runtime_ = std::make_unique<Runtime>(Options{.group_root = group_root_});
  }
  ~RuntimeTest() override { std::filesystem::remove_all(directory_); }

  [[nodiscard]] env::Env env() { return runtime_->env(); }
  [[nodiscard]] std::string path(const std::string& name) const { return directory_ + "/" + name; }
  [[nodiscard]] Instant in(Duration duration) { return env().clock.monotonic() + duration; }

  // Runs `body(env)`, a coroutine, to its end; a test that hangs fails after a minute.
  template <class Body>
  void run(Body body) {
    bool in_time = false;
    runtime_->run(limited(env(), body, in_time));
    EXPECT_TRUE(in_time) << "the test hung";
  }

  Runtime& runtime() { return *runtime_; }

  std::string directory_;
  std::string group_root_;

 private:
  template <class Body>
  static env::Task<Result<void>> whole(env::Env env, Body& body) {
    co_await body(env);
    co_return Result<void>();
  }
  template <class Body>
  static env::Task<void> limited(env::Env env, Body& body, bool& in_time) {
    auto result = co_await env::with_deadline(env.executor, env.clock, env.clock.monotonic() + 60s,
                                              whole(env, body));
    in_time = env.clock.monotonic() < Instant::never() && result.has_value();
  }

  std::unique_ptr<Runtime> runtime_;
};

}  // namespace blixard::linux_side

#pragma once

// What the tests of this folder share: one Runtime, tasks run on it, a directory that goes away.

#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "env/sync.h"
#include "linux/runtime.h"

// In a coroutine, where ASSERT_* cannot return.
#define BLX_CO_ASSERT(result)                    \
  if (!(result)) {                               \
    ADD_FAILURE() << (result).error().message(); \
    co_return;                                   \
  }                                              \
  static_assert(true)

namespace blixard::linux_side {

class Lines final : public observe::LogSink {
 public:
  [[nodiscard]] bool wants(observe::Level level) const override {
    return level >= observe::Level::kWarn;
  }
  void write(observe::Level /*level*/, std::string_view line) override { all.emplace_back(line); }

  std::vector<std::string> all;
};

class RuntimeTest : public testing::Test {
 protected:
  RuntimeTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "blx-XXXXXX").string();
    directory_ = mkdtemp(pattern.data());
    runtime_ = std::make_unique<Runtime>(Options{.log = &log_, .group_root = group_root()});
  }
  ~RuntimeTest() override { std::filesystem::remove_all(directory_); }

  [[nodiscard]] Runtime& runtime() { return *runtime_; }
  [[nodiscard]] env::Env env() { return runtime_->env(); }
  [[nodiscard]] std::string path(const std::string& name) const { return directory_ + "/" + name; }
  [[nodiscard]] static std::string group_root() { return "blx-test-" + std::to_string(getpid()); }
  [[nodiscard]] const std::vector<std::string>& warnings() const { return log_.all; }
  [[nodiscard]] Instant in(Duration duration) { return env().clock.monotonic() + duration; }

  // Runs `body(env)`, a coroutine, to its end; one that hangs fails after half a minute.
  template <class Body>
  void run(Body body) {
    Result<void> result;
    runtime_->run(limited(env(), body, result));
    if (!result) ADD_FAILURE() << "the test hung: " << result.error().message();
  }

  // Lets everything that was spawned run until it waits.
  env::Task<void> let_run() { (void)co_await env().clock.sleep(0ms); }

  // Waits until `condition()` holds. False after 10 s.
  template <class Condition>
  env::Task<bool> eventually(Condition condition) {
    const Instant deadline = in(10s);
    while (!condition()) {
      if (env().clock.monotonic() > deadline) co_return false;
      if (!co_await env().clock.sleep(1ms)) co_return false;
    }
    co_return true;
  }

 private:
  template <class Body>
  static env::Task<Result<void>> whole(env::Env env, Body& body) {
    co_await body(env);
    co_return Result<void>();
  }
  template <class Body>
  static env::Task<void> limited(env::Env env, Body& body, Result<void>& result) {
    result = co_await env::with_deadline(env.executor, env.clock, env.clock.monotonic() + 30s,
                                         whole(env, body));
  }

  std::string directory_;
  Lines log_;
  std::unique_ptr<Runtime> runtime_;
};

template <class T>
std::string reason_of(const Result<T>& result) {
  return result ? "ok" : std::string(result.error().reason());
}

}  // namespace blixard::linux_side

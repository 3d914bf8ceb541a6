#include "linux/process.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <gtest/gtest.h>

#include "linux/proc_stat.h"
#include "linux/test_runtime.h"

namespace blixard::linux_side {
namespace {

class ProcessTest : public RuntimeTest {
 protected:
  static env::SpawnSpec shell(std::string script) {
    return {.executable = "/bin/sh", .arguments = {"-c", std::move(script)}};
  }
  // What a script prints, run to its end.
  env::Task<std::string> output_of(env::SpawnSpec spec) {
    auto result = co_await env().process.run(std::move(spec), in(10s), 64 << 10);
    co_return result ? result->output : result.error().message();
  }
};

TEST_F(ProcessTest, OutputGoesToTheFileAndIsAppended) {
  run([this](env::Env env) -> env::Task<void> {
    for (int i = 0; i < 2; ++i) {
      auto spec = shell("echo hello; echo oops >&2; exit 3");
      spec.output_path = path("out");
      auto child = co_await env.process.spawn(spec);
      BLX_CO_ASSERT(child);
      EXPECT_EQ((co_await (*child)->wait()).value().text(), "exit code 3");
    }
    EXPECT_EQ((co_await env.disk.read_file(path("out"), 100)).value(),
              "hello\noops\nhello\noops\n");
  });
}

TEST_F(ProcessTest, AProgramThatIsNotThereIsAnError) {
  run([this](env::Env env) -> env::Task<void> {
    const auto spawn = [&](env::SpawnSpec spec) { return env.process.spawn(std::move(spec)); };
    EXPECT_EQ(reason_of(co_await spawn({.executable = "/no/such"})), "program_missing");
    EXPECT_EQ(reason_of(co_await spawn({.executable = "/etc/passwd"})), "program_refused");
    EXPECT_EQ(reason_of(co_await spawn({.executable = "sh"})), "spawn_invalid");
    EXPECT_EQ(reason_of(co_await spawn({.executable = "/bin/sh", .working_directory = "/no"})),
              "file_missing");
    EXPECT_EQ(reason_of(co_await spawn({.executable = "/bin/sh", .output_path = "/no/out"})),
              "file_missing");
    EXPECT_EQ(reason_of(co_await spawn({.executable = "/bin/sh", .group = "never-made"})),
              "group_missing");
    EXPECT_EQ(
        reason_of(co_await spawn({.executable = "/bin/sh", .arguments = {std::string("a\0b", 3)}})),
        "spawn_invalid");
    // Not even the failed launchers are left.
    EXPECT_TRUE(co_await eventually([] {
      siginfo_t info{};  // only looked at: reaping is not the test's to do
      return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == -1 && errno == ECHILD;
    }));
  });
}

TEST_F(ProcessTest, TheChildHasACleanStart) {
  run([this](env::Env /*env*/) -> env::Task<void> {
    EXPECT_EQ(co_await output_of(shell("ls /proc/self/fd | tr '\\n' ' '")), "0 1 2 3 ");
    EXPECT_EQ(co_await output_of(shell("readlink /proc/self/fd/0; pwd; umask")),
              "/dev/null\n/\n0077\n");
    EXPECT_EQ(co_await output_of(shell("grep ^SigBlk /proc/self/status")),
              "SigBlk:\t0000000000000000\n");
    // posix_spawn leaves the C library's own two signals (32, 33) ignored; nothing else is.
    const std::string ignored = co_await output_of(shell("grep ^SigIgn /proc/self/status"));
    EXPECT_EQ(std::stoull(ignored.substr(8), nullptr, 16) & ~0x180000000ull, 0u) << ignored;
    // Leader of its own session.
    EXPECT_EQ(co_await output_of(shell("set -- $(cat /proc/$$/stat); test $6 = $$ && echo own")),
              "own\n");
    EXPECT_EQ(co_await output_of(shell("env | grep -cE '^(HOME|USER)='")), "0\n");
  });
}

TEST_F(ProcessTest, RunsAsAnotherUserWithoutNewPrivileges) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  run([this](env::Env env) -> env::Task<void> {
    auto spec = shell("id -u; id -g; id -G; grep NoNewPrivs /proc/self/status");
    spec.run_as = env::Owner{.uid = 65534, .gid = 65534};
    EXPECT_EQ(co_await output_of(spec), "65534\n65534\n65534\nNoNewPrivs:\t1\n");
    spec.arguments = {"-c", "cat /etc/shadow"};
    auto result = co_await env.process.run(spec, in(10s), 1000);
    BLX_CO_ASSERT(result);
    EXPECT_NE(result->status.exit_code, 0);
  });
}

TEST_F(ProcessTest, KillEndsAndTellsHow) {
  run([](env::Env env) -> env::Task<void> {
    for (const auto& [how, text] :
         {std::pair{env::Kill::kTerminate, "signal 15"}, std::pair{env::Kill::kNow, "signal 9"}}) {
      auto child = co_await env.process.spawn(shell("exec sleep 1000"));
      BLX_CO_ASSERT(child);
      EXPECT_GT((*child)->usage().value().resident.value, 0u);
      EXPECT_TRUE((*child)->kill(how).has_value());
      EXPECT_EQ((co_await (*child)->wait()).value().text(), text);
      EXPECT_EQ((co_await (*child)->wait()).value().text(), text);
      EXPECT_EQ((*child)->kill(how).error().code(), Code::kNotFound);
      EXPECT_EQ(reason_of((*child)->usage()), "process_gone");
    }
  });
}

TEST_F(ProcessTest, WaitIsCancelledAndTheProcessLivesOn) {
  run([](env::Env env) -> env::Task<void> {
    auto child = co_await env.process.spawn(shell("exec sleep 1000"));
    BLX_CO_ASSERT(child);
    auto waited = co_await env::with_deadline(env.executor, env.clock, env.clock.monotonic() + 20ms,
                                              (*child)->wait());
    EXPECT_EQ(reason_of(waited), "deadline_exceeded");
    EXPECT_TRUE((*child)->usage().has_value());
    EXPECT_TRUE((*child)->kill(env::Kill::kNow).has_value());
    EXPECT_EQ((co_await (*child)->wait()).value().text(), "signal 9");
  });
}

TEST_F(ProcessTest, ADroppedChildIsStillReaped) {
  run([this](env::Env env) -> env::Task<void> {
    std::int64_t pid = 0;
    {
      auto child = co_await env.process.spawn(shell("exec sleep 0.05"));
      BLX_CO_ASSERT(child);
      pid = (*child)->id().pid;
    }
    EXPECT_TRUE(co_await eventually([pid] { return !read_proc_stat(pid).has_value(); }));
  });
}

TEST_F(ProcessTest, AdoptsOwnChildrenWithTheirStatus) {
  run([](env::Env env) -> env::Task<void> {
    auto child = co_await env.process.spawn(shell("exec sleep 1000"));
    BLX_CO_ASSERT(child);
    auto again = co_await env.process.adopt((*child)->id());
    BLX_CO_ASSERT(again);
    EXPECT_TRUE((*again)->kill(env::Kill::kNow).has_value());
    EXPECT_EQ((co_await (*again)->wait()).value().text(), "signal 9");
    EXPECT_EQ((co_await (*child)->wait()).value().text(), "signal 9");
  });
}

TEST_F(ProcessTest, AdoptRefusesStrangers) {
  run([](env::Env env) -> env::Task<void> {
    auto child = co_await env.process.spawn(shell("exec sleep 1000"));
    BLX_CO_ASSERT(child);
    env::ProcessId id = (*child)->id();
    ++id.start_ticks;
    EXPECT_EQ(reason_of(co_await env.process.adopt(id)), "process_gone");
    EXPECT_EQ(reason_of(co_await env.process.adopt({.pid = 0, .start_ticks = 1})), "process_gone");
    EXPECT_EQ(reason_of(co_await env.process.adopt({.pid = 1 << 30, .start_ticks = 1})),
              "process_gone");
    EXPECT_TRUE((*child)->usage().has_value());
    EXPECT_TRUE((*child)->kill(env::Kill::kNow).has_value());
    EXPECT_TRUE((co_await (*child)->wait()).has_value());
    EXPECT_EQ(reason_of(co_await env.process.adopt((*child)->id())), "process_gone");
  });
}

TEST_F(ProcessTest, AdoptsAProcessOfAnotherParent) {
  run([this](env::Env env) -> env::Task<void> {
    // The shell ends, its child stays and is nobody's we know.
    const std::string text = co_await output_of(shell("sleep 1000 & echo $!"));
    const std::int64_t pid = std::stoll(text);
    const auto stat = read_proc_stat(pid);
    if (!stat) {
      ADD_FAILURE() << text;
      co_return;
    }
    auto child = co_await env.process.adopt({.pid = pid, .start_ticks = stat->start_ticks});
    BLX_CO_ASSERT(child);
    EXPECT_TRUE((*child)->kill(env::Kill::kNow).has_value());
    EXPECT_EQ((co_await (*child)->wait()).value().text(), "ended");
  });
}

TEST_F(ProcessTest, RunGivesBothStreamsAndTheStatus) {
  run([this](env::Env env) -> env::Task<void> {
    auto result = co_await env.process.run(shell("echo a; echo b >&2; exit 7"), in(10s), 100);
    BLX_CO_ASSERT(result);
    EXPECT_EQ(result->output, "a\nb\n");
    EXPECT_EQ(result->status.exit_code, 7);
  });
}

TEST_F(ProcessTest, RunDropsWhatIsTooMuch) {
  run([this](env::Env env) -> env::Task<void> {
    auto result = co_await env.process.run(shell("head -c 3000000 /dev/zero"), in(20s), 1000);
    BLX_CO_ASSERT(result);
    EXPECT_EQ(result->output.size(), 1000u);
    EXPECT_EQ(result->status.exit_code, 0);
  });
}

TEST_F(ProcessTest, RunDoesNotWaitForGrandchildrenThatHoldTheOutput) {
  run([this](env::Env env) -> env::Task<void> {
    auto result = co_await env.process.run(shell("sleep 1000 & echo $!"), in(10s), 100);
    BLX_CO_ASSERT(result);
    EXPECT_EQ(::kill(static_cast<pid_t>(std::stol(result->output)), SIGKILL), 0);
  });
}

TEST_F(ProcessTest, RunKillsAtTheDeadlineWithAllDescendants) {
  run([this](env::Env env) -> env::Task<void> {
    auto spec = shell("echo $$ >" + path("pid") + "; sleep 1000; true");
    auto result = co_await env.process.run(spec, in(300ms), 100);
    EXPECT_EQ(reason_of(result), "deadline_exceeded");
    const auto pid = std::stoll((co_await env.disk.read_file(path("pid"), 100)).value());
    EXPECT_FALSE(read_proc_stat(pid).has_value());
  });
}

TEST_F(ProcessTest, RunKillsWhenCancelled) {
  run([this](env::Env env) -> env::Task<void> {
    std::string reason;
    const auto body = [&]() -> env::Task<void> {
      reason = reason_of(co_await env.process.run(
          shell("echo $$ >" + path("pid") + "; exec sleep 1000"), in(1h), 100));
    };
    env::Scope scope(env.executor, co_await env::this_cancellation());
    scope.spawn(body());
    EXPECT_TRUE(co_await eventually([this] {
      std::error_code ignored;
      return std::filesystem::file_size(path("pid"), ignored) - 1 < 20;
    }));
    scope.cancel();
    co_await scope.join();
    EXPECT_EQ(reason, "cancelled");
    const auto pid = std::stoll((co_await env.disk.read_file(path("pid"), 100)).value());
    EXPECT_FALSE(read_proc_stat(pid).has_value());
  });
}

TEST_F(ProcessTest, ManyAtOnce) {
  run([this](env::Env env) -> env::Task<void> {
    int ended = 0;
    const auto body = [&]() -> env::Task<void> {
      auto result = co_await env.process.run(shell("echo x"), in(20s), 10);
      if (result && result->output == "x\n") ++ended;
    };
    env::Scope scope(env.executor, co_await env::this_cancellation());
    for (int i = 0; i < 30; ++i)
      scope.spawn(body());
    co_await scope.join();
    EXPECT_EQ(ended, 30);
  });
}

TEST_F(ProcessTest, FindsPrograms) {
  run([](env::Env env) -> env::Task<void> {
    EXPECT_TRUE((co_await env.process.find_program("sh")).value().ends_with("/sh"));
    EXPECT_EQ((co_await env.process.find_program("/bin/sh")).value(), "/bin/sh");
    EXPECT_EQ(reason_of(co_await env.process.find_program("no-such-program")), "program_missing");
    EXPECT_EQ(reason_of(co_await env.process.find_program("/etc/passwd")), "program_missing");
  });
}

TEST(ProcStatTest, NamesMayHoldAnything) {
  const auto stat = parse_proc_stat(
      "77 (a) R 9 (b c)) S 1 2 3 4 5 6 7 8 9 10 1100 1200 13 14 15 16 17 18 424242 20\n");
  ASSERT_TRUE(stat.has_value());
  EXPECT_EQ(stat->state, 'S');
  EXPECT_EQ(stat->user_ticks, 1100u);
  EXPECT_EQ(stat->system_ticks, 1200u);
  EXPECT_EQ(stat->start_ticks, 424242u);
  EXPECT_FALSE(parse_proc_stat("77 (x) S 1 2").has_value());
  EXPECT_FALSE(parse_proc_stat("").has_value());
}

}  // namespace
}  // namespace blixard::linux_side

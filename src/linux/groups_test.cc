#include "linux/groups.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <array>
#include <cstddef>
#include <thread>

#include <gtest/gtest.h>

#include "linux/proc_stat.h"
#include "linux/test_runtime.h"

namespace blixard::linux_side {
namespace {

using env::GroupLimits;

class GroupsTest : public RuntimeTest {
 protected:
  [[nodiscard]] bool has_limits() {
    return env().process.group_support() != env::Process::GroupSupport::kNone;
  }
  // How often the kernel held the group back, in whichever tree it limits CPU.
  static int times_throttled(const std::string& group) {
    for (const char* tree :
         {"/sys/fs/cgroup/cpu/", "/sys/fs/cgroup/cpu,cpuacct/", "/sys/fs/cgroup/"}) {
      const std::string stat = read_kernel_file(tree + group_root() + "/" + group + "/cpu.stat");
      const auto found = stat.find("nr_throttled ");
      if (found != std::string::npos) return std::stoi(stat.substr(found + 13));
    }
    return 0;
  }
  // As containers do: for this thread, and those that it starts.
  static bool refuse_clone3() {
    std::array<sock_filter, 4> filter{{
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    }};
    const sock_fprog program{filter.size(), filter.data()};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
  }
  // The group is told by the child's first step of its own, and it is ours to wait for.
  env::Task<void> spawn_in_group(env::Env env) {
    EXPECT_EQ(reason_of(co_await env.process.make_group("g", {})), "ok");
    const std::string look = "cat /proc/self/cgroup; echo parent $PPID; exit 3";
    const auto result = co_await env.process.run(shell(look, "g"), in(20s), 10'000);
    BLX_CO_ASSERT(result);
    EXPECT_EQ(result->status.exit_code, 3);
    const std::string group = group_root() + "/g\n";
    std::size_t trees = 0;
    for (const char* tree : {"0::", ":memory:", ":pids:"}) {
      const auto line = result->output.find(tree);
      if (line == std::string::npos) continue;
      const std::string place =
          result->output.substr(line, result->output.find('\n', line) + 1 - line);
      EXPECT_TRUE(place.ends_with(group)) << place;
      ++trees;
    }
    EXPECT_GT(trees, 0U);
    EXPECT_TRUE(result->output.contains("parent " + std::to_string(getpid()) + "\n"))
        << result->output;
    EXPECT_EQ(reason_of(co_await env.process.remove_group("g")), "ok");
  }
  env::SpawnSpec shell(std::string script, std::string group) {
    return {
        .executable = "/bin/sh", .arguments = {"-c", std::move(script)}, .group = std::move(group)};
  }
};

TEST_F(GroupsTest, AreMadeListedAndRemoved) {
  run([](env::Env env) -> env::Task<void> {
    for (const char* name : {"b", "a", "b"})
      EXPECT_EQ(reason_of(co_await env.process.make_group(name, {})), "ok");
    EXPECT_EQ((co_await env.process.groups()).value(), (std::vector<std::string>{"a", "b"}));
    EXPECT_EQ(reason_of(co_await env.process.kill_group("a")), "ok");
    EXPECT_EQ(reason_of(co_await env.process.remove_group("a")), "ok");
    EXPECT_EQ(reason_of(co_await env.process.remove_group("a")), "ok");
    EXPECT_EQ(reason_of(co_await env.process.kill_group("a")), "ok");
    EXPECT_EQ((co_await env.process.groups()).value(), std::vector<std::string>{"b"});
    EXPECT_EQ(reason_of(co_await env.process.remove_group("b")), "ok");
    for (const char* name : {"", "..", "a/b", ".hidden", "a b"})
      EXPECT_EQ(reason_of(co_await env.process.make_group(name, {})), "group_name_invalid");
  });
}

TEST_F(GroupsTest, AreKilledWhole) {
  run([this](env::Env env) -> env::Task<void> {
    EXPECT_EQ(reason_of(co_await env.process.make_group("g", {})), "ok");
    auto spec = shell("sleep 1000 & sleep 1000 & echo $! >" + path("pid") + "; wait", "g");
    auto child = co_await env.process.spawn(spec);
    BLX_CO_ASSERT(child);
    EXPECT_TRUE(co_await eventually([this] { return read_kernel_file(path("pid")).size() > 1; }));
    const auto grandchild = std::stoll(read_kernel_file(path("pid")));
    EXPECT_EQ(reason_of(co_await env.process.remove_group("g")), "group_not_empty");
    EXPECT_TRUE((*child)->usage().has_value());
    EXPECT_EQ(reason_of(co_await env.process.kill_group("g")), "ok");
    EXPECT_EQ((co_await (*child)->wait()).value().text(), "signal 9");
    EXPECT_TRUE(co_await eventually([grandchild] {
      const auto stat = read_proc_stat(grandchild);
      return !stat || stat->state == 'Z';  // pid 1 may be slow to reap
    }));
    EXPECT_EQ(reason_of(co_await env.process.remove_group("g")), "ok");
  });
}

TEST_F(GroupsTest, AChildBeginsInItsGroup) {
  if (!has_limits()) GTEST_SKIP() << "no cgroups here: a group is only a name";
  run([this](env::Env env) -> env::Task<void> { co_await spawn_in_group(env); });
}

TEST_F(GroupsTest, AChildMovesThereWhereNoneCanBegin) {
  if (!has_limits()) GTEST_SKIP() << "no cgroups here: a group is only a name";
  std::thread([this] {
    ASSERT_TRUE(refuse_clone3());
    Runtime of_this_thread(Options{.group_root = group_root()});
    of_this_thread.run(spawn_in_group(of_this_thread.env()));
  }).join();
}

TEST_F(GroupsTest, WhatWasKilledTakesAChildOnceItIsMadeAgain) {
  if (!has_limits()) GTEST_SKIP() << "no cgroups here: a group is only a name";
  run([this](env::Env env) -> env::Task<void> {
    for (int round = 0; round < 3; ++round) {
      EXPECT_EQ(reason_of(co_await env.process.make_group("g", {})), "ok");
      const auto result = co_await env.process.run(shell("exit 3", "g"), in(20s), 100);
      BLX_CO_ASSERT(result);
      EXPECT_EQ(result->status.exit_code, 3);
      EXPECT_EQ(reason_of(co_await env.process.kill_group("g")), "ok");
    }
    // Not made again: by the kernel's grace it runs, or is killed as it begins.
    const auto result = co_await env.process.run(shell("exit 3", "g"), in(20s), 100);
    EXPECT_TRUE(result ? result->status.exit_code == 3 : reason_of(result) == "group_killed")
        << reason_of(result);
    EXPECT_EQ(reason_of(co_await env.process.remove_group("g")), "ok");
  });
}

TEST_F(GroupsTest, AMemoryLimitEndsAHog) {
  if (!has_limits()) GTEST_SKIP() << "no cgroups here: limits are not tested";
  run([this](env::Env env) -> env::Task<void> {
    EXPECT_EQ(reason_of(co_await env.process.make_group("g", {.memory = mib(32)})), "ok");
    const std::string hog = "exec head -c 200m /dev/zero | tail -c 150m | wc -c";
    auto result = co_await env.process.run(shell(hog, "g"), in(20s), 1000);
    BLX_CO_ASSERT(result);
    EXPECT_NE(result->output, "157286400\n");
    // The same fits once the limit is gone.
    EXPECT_EQ(reason_of(co_await env.process.make_group("g", {})), "ok");
    result = co_await env.process.run(shell(hog, "g"), in(20s), 1000);
    BLX_CO_ASSERT(result);
    EXPECT_EQ(result->output, "157286400\n");
    EXPECT_EQ(reason_of(co_await env.process.kill_group("g")), "ok");
    EXPECT_EQ(reason_of(co_await env.process.remove_group("g")), "ok");
  });
}

TEST_F(GroupsTest, ALimitOfProcessesStopsForks) {
  if (!has_limits()) GTEST_SKIP() << "no cgroups here: limits are not tested";
  run([this](env::Env env) -> env::Task<void> {
    EXPECT_EQ(reason_of(co_await env.process.make_group("g", {.pids = 1})), "ok");
    auto result = co_await env.process.run(shell("/bin/true; echo forked", "g"), in(20s), 1000);
    BLX_CO_ASSERT(result);
    EXPECT_TRUE(result->output.contains("fork")) << result->output;
    EXPECT_FALSE(result->output.contains("forked")) << result->output;
    EXPECT_EQ(reason_of(co_await env.process.kill_group("g")), "ok");
    EXPECT_EQ(reason_of(co_await env.process.remove_group("g")), "ok");
  });
}

TEST_F(GroupsTest, ALimitOfCpuHoldsBack) {
  if (!has_limits()) GTEST_SKIP() << "no cgroups here: limits are not tested";
  run([this](env::Env env) -> env::Task<void> {
    EXPECT_EQ(reason_of(co_await env.process.make_group("g", {.cpu_percent = 20})), "ok");
    auto child = co_await env.process.spawn(shell("while :; do :; done", "g"));
    BLX_CO_ASSERT(child);
    EXPECT_TRUE(co_await eventually([] { return times_throttled("g") > 2; }));
    EXPECT_GT((*child)->usage().value().resident, Bytes(0));
    EXPECT_EQ(reason_of(co_await env.process.kill_group("g")), "ok");
    EXPECT_EQ(reason_of(co_await env.process.remove_group("g")), "ok");
  });
}

TEST(GroupNameTest, OnlyPlainNames) {
  EXPECT_TRUE(is_group_name("vm-7.1_A"));
  EXPECT_FALSE(is_group_name(std::string(101, 'a')));
}

}  // namespace
}  // namespace blixard::linux_side

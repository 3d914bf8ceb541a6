#include "linux/groups.h"

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

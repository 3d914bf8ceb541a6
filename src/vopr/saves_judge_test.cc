#include "vopr/saves_judge.h"

#include <string>

#include <gtest/gtest.h>

#include "core/cluster/scenario.h"

namespace blixard::vopr {
namespace {

constexpr std::uint64_t kFirst = 11;  // saves
constexpr std::uint64_t kSecond = 13;

// A VM "web" on nodes 1 and 2, which are machines 1 and 2.
class SavesJudgeTest : public ::testing::Test {
 protected:
  SavesJudgeTest()
      : recorder_([] { return Duration(1s); }, [](std::uint32_t) { return Standing{}; }),
        judge_(recorder_, [this](const cluster::Digest&) { return is_harmed_; }) {}

  void SetUp() override {
    ASSERT_TRUE(cluster_.add_image("alpine"));
    for (const char* id : {"1", "2"}) {
      apply(std::string("register_node { node_id: ") + id + " name: 'n" + id +
            "' capacity { vcpus: 4 memory_mib: 1024 } accelerator: 'kvm' hypervisor_version: '7.2' "
            "tsc_khz: 2000000 }");
    }
    ASSERT_TRUE(cluster_.create("web"));
    place(1);
    report("state: VM_STATE_STARTING");
    begin(0);
    report("state: VM_STATE_RUNNING");
  }

  void look() { judge_.on_applied(cluster_.state, LogIndex(++index_)); }
  void apply(const std::string& command) {
    const auto applied = cluster_.apply(command);
    ASSERT_TRUE(applied) << applied.error().message();
    look();
  }
  const cluster::Vm& web() { return *cluster_.state.find_vm("web"); }
  void place(std::uint64_t node) {
    const auto placed = cluster_.place("web", node);
    ASSERT_TRUE(placed) << placed.error().message();
    look();
  }
  void report(const std::string& rest) {
    apply("report_vms { node_id: " + std::to_string(web().node.value) +
          " reports { vm_id: " + std::to_string(web().id.value) +
          " generation: " + std::to_string(web().generation.value) + " " + rest + " } }");
  }
  void desire(const std::string& desired) {
    apply("set_desired { name: 'web' desired: VM_DESIRED_" + desired + " }");
  }
  static std::string saved(char digest) {
    return "saved { digest: '" + std::string(32, digest) +
           "' bytes: 4096 accelerator: 'kvm' hypervisor_version: '7.2' tsc_khz: 2000000 "
           "saved_unix_ms: 77 }";
  }

  [[nodiscard]] sim::GuestView guest(std::uint64_t save) {
    sim::GuestView view{.process = {.pid = pid_}, .uuid = web().uuid, .name = "web"};
    view.machine_id = "it";
    view.save = save;
    return view;
  }
  // Its process is let run for the first time, on machine and node of this number.
  void begin(std::uint64_t save, std::uint32_t node = 1) {
    ++pid_;
    loaded_ = save;
    judge_.on_runs(node, NodeId(node), guest(save));
  }
  void go_on(std::uint32_t node = 1) { judge_.on_runs(node, NodeId(node), guest(loaded_)); }
  void save(std::uint64_t number, std::uint32_t node = 1) {
    judge_.on_stands(node, guest(loaded_));
    judge_.on_saved(node, guest(loaded_), number);
  }
  void end(std::uint32_t node = 1) { judge_.on_ended(node, guest(loaded_)); }

  // Saved on its node, gone from there, and placed on `node`.
  void suspend(std::uint64_t number, char digest) {
    desire("SUSPENDED");
    save(number);
    report("state: VM_STATE_PAUSED " + saved(digest));
    end();
    report("state: VM_STATE_SUSPENDED released: true " + saved(digest));
  }
  void wake(std::uint64_t node) {
    desire("RUNNING");
    place(node);
    report("state: VM_STATE_STARTING");
  }
  void claim() { report("state: VM_STATE_STARTING uses_saved: true"); }

  void expect_accused(const std::string& part) {
    ASSERT_TRUE(recorder_.failed()) << part;
    EXPECT_EQ(recorder_.report().violation->checker, "saved-once");
    EXPECT_TRUE(recorder_.report().violation->text.contains(part))
        << recorder_.report().violation->text;
  }
  void expect_content() { EXPECT_FALSE(recorder_.failed()) << recorder_.report().violation->text; }

  cluster::Scenario cluster_;
  bool is_harmed_ = false;
  Recorder recorder_;
  SavesJudge judge_;
  std::uint64_t index_ = 0;
  std::uint64_t loaded_ = 0;  // by the newest process
  std::int32_t pid_ = 0;
};

TEST_F(SavesJudgeTest, WhatIsClaimedAndThenRunsIsFine) {
  suspend(kFirst, 'a');
  wake(2);
  claim();
  begin(kFirst, 2);
  report("state: VM_STATE_RUNNING");
  expect_content();
  ASSERT_NE(judge_.machine_id_in(kFirst), nullptr);
  EXPECT_EQ(*judge_.machine_id_in(kFirst), "it");
  EXPECT_EQ(judge_.machine_id_in(kSecond), nullptr);
}

TEST_F(SavesJudgeTest, WhoeverDoesNotAskTheLog) {
  suspend(kFirst, 'a');
  wake(2);
  begin(kFirst, 2);
  expect_accused("the log does not say that node 2 uses its saved guest");
}

TEST_F(SavesJudgeTest, TheWordThatAnotherNodeWasGiven) {
  suspend(kFirst, 'a');
  wake(2);
  claim();
  begin(kFirst, 1);
  expect_accused("the log does not say that node 1");
}

TEST_F(SavesJudgeTest, TwiceByOneWord) {
  suspend(kFirst, 'a');
  wake(2);
  claim();
  begin(kFirst, 2);
  end(2);
  expect_content();
  begin(kFirst, 2);
  expect_accused("once more than the log says: generation 2");
}

TEST_F(SavesJudgeTest, ASnapshotOnceForEachRestore) {
  apply("take_snapshot { name: 'web' }");
  save(kFirst);
  go_on();
  report("state: VM_STATE_RUNNING snapshot { number: 1 " + saved('a') + " }");
  for (int i = 0; i < 2; ++i) {
    apply("restore_snapshot { name: 'web' }");
    end();
    report("state: VM_STATE_STARTING");
    claim();
    begin(kFirst);
    report("state: VM_STATE_RUNNING");
  }
  expect_content();
}

TEST_F(SavesJudgeTest, AnOlderSaveThanTheOneThatIsMeant) {
  suspend(kFirst, 'a');
  wake(1);
  claim();
  begin(kFirst);
  report("state: VM_STATE_RUNNING");
  suspend(kSecond, 'b');
  wake(2);
  claim();
  begin(kFirst, 2);
  expect_accused("goes on from another saved guest than 6262");
}

TEST_F(SavesJudgeTest, WhatWasSavedOfAnother) {
  sim::GuestView other = guest(0);
  other.uuid = Uuid::from_random(1, 2);
  judge_.on_saved(1, other, kSecond);
  begin(kSecond);
  expect_accused("goes on from what was saved of");
}

TEST_F(SavesJudgeTest, WhoIsToldToBeSavedStandsStill) {
  desire("SUSPENDED");
  save(kFirst);
  report("state: VM_STATE_PAUSED " + saved('a'));
  expect_content();
  go_on();
  expect_accused("was told to be saved, and runs again");
}

TEST_F(SavesJudgeTest, WhoRanOnIsNotToldToBeSaved) {
  desire("SUSPENDED");
  save(kFirst);
  go_on();
  judge_.on_stands(1, guest(loaded_));
  report("state: VM_STATE_PAUSED " + saved('a'));
  expect_accused("is told to be saved, and has run since");
}

TEST_F(SavesJudgeTest, WhatIsGivenUpMayRunToItsEnd) {
  desire("SUSPENDED");
  save(kFirst);
  report("state: VM_STATE_PAUSED " + saved('a'));
  desire("STOPPED");
  go_on();
  expect_content();
}

TEST_F(SavesJudgeTest, WhatIsLostIsSavedAnew) {
  desire("SUSPENDED");
  save(kFirst);
  report("state: VM_STATE_PAUSED " + saved('a'));
  is_harmed_ = true;
  go_on();
  expect_content();
}

TEST_F(SavesJudgeTest, WhoWillBeDeletedIsNotWoken) {
  desire("SUSPENDED");
  save(kFirst);
  report("state: VM_STATE_PAUSED " + saved('a'));
  desire("DELETED");
  go_on();
  expect_content();
}

}  // namespace
}  // namespace blixard::vopr

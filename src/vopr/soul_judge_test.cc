#include "vopr/soul_judge.h"

#include <map>
#include <string>

#include <gtest/gtest.h>

#include "core/cluster/scenario.h"
#include "node/vm/qemu/arguments.h"

namespace blixard::vopr {
namespace {

// As long as a uuid, which is made of them.
constexpr const char* kA = "one-long-name-aa";
constexpr const char* kB = "one-long-name-bb";

class SoulJudgeTest : public ::testing::Test {
 protected:
  SoulJudgeTest()
      : recorder_([] { return Duration(1s); }, [](std::uint32_t) { return Standing{}; }),
        judge_(recorder_, [this](const Uuid& uuid) -> std::optional<SoulJudge::Living> {
          const auto found = guests_.find(uuid);
          if (found == guests_.end()) return std::nullopt;
          return found->second;
        }) {}

  void SetUp() override {
    ASSERT_TRUE(cluster_.add_image("alpine"));
    ASSERT_TRUE(cluster_.add_node(1, 8, 4096));
  }

  const cluster::Vm& vm(const std::string& name) { return *cluster_.state.find_vm(name); }
  sim::GuestView& guest(const std::string& name) { return guests_.at(vm(name).uuid).guest; }
  void look() { judge_.on_applied(cluster_.state, LogIndex(++index_)); }
  void say(const std::string& name, v1::VmState state) {
    ASSERT_TRUE(cluster_.report(name, state));
    look();
  }

  // A VM that is placed, and shown so.
  void place(const std::string& name) {
    ASSERT_TRUE(cluster_.create(name));
    look();
    ASSERT_TRUE(cluster_.place(name, 1));
    look();
    say(name, v1::VM_STATE_STARTING);
  }
  // A clone of it begins, as it has to be once it was identified.
  void begin(const std::string& name) {
    const Uuid uuid = vm(name).uuid;
    sim::GuestView clone{.process = {.pid = ++pid_}, .uuid = uuid, .name = name};
    clone.host_name = name;
    clone.mac = qemu::mac_address(uuid);
    for (const char c : uuid.text())
      if (c != '-') clone.machine_id += c;
    clone.random_seed = pid_;
    clone.save = 7;
    clone.identified = true;
    clone.status = "running";
    guests_[uuid] = {.guest = clone, .wall_jumps = 3};
    judge_.on_begun(uuid);
  }
  void end(const std::string& name) { guests_.erase(vm(name).uuid); }
  void show(const std::string& name) { say(name, v1::VM_STATE_RUNNING); }

  // What the judge says of it as a whole: during the trouble, and at rest.
  void expect_fault(const std::string& name, const std::string& part) {
    show(name);
    ASSERT_TRUE(recorder_.failed()) << part;
    EXPECT_EQ(recorder_.report().violation->checker, "souls");
    EXPECT_TRUE(recorder_.report().violation->text.contains(part))
        << recorder_.report().violation->text;
    EXPECT_TRUE(judge_.missing(cluster_.state).contains(part)) << judge_.missing(cluster_.state);
  }
  void expect_content() {
    EXPECT_FALSE(recorder_.failed()) << recorder_.report().violation->text;
    EXPECT_EQ(judge_.missing(cluster_.state), "");
  }

  cluster::Scenario cluster_;
  Recorder recorder_;
  std::map<Uuid, SoulJudge::Living> guests_;
  SoulJudge judge_;
  std::uint64_t index_ = 0;
  std::int32_t pid_ = 0;
};

TEST_F(SoulJudgeTest, ClonesThatKnowWhoTheyAreAreFine) {
  for (const char* name : {kA, kB}) {
    place(name);
    begin(name);
    show(name);
  }
  expect_content();
}

TEST_F(SoulJudgeTest, AHostNameOfTheTemplate) {
  place(kA);
  begin(kA);
  guest(kA).host_name = "template-12";
  expect_fault(kA, "the host name template-12, not one-long-name-aa");
}

TEST_F(SoulJudgeTest, AMacAddressOfTheTemplate) {
  place(kA);
  begin(kA);
  guest(kA).mac = "52:54:00:00:00:01";
  expect_fault(kA, "the MAC address");
}

TEST_F(SoulJudgeTest, AMachineIdOfTheTemplate) {
  place(kA);
  begin(kA);
  guest(kA).machine_id = std::string(32, '1');
  expect_fault(kA, "machine id");
}

TEST_F(SoulJudgeTest, ANameWithoutASeed) {
  place(kA);
  begin(kA);
  guest(kA).identified = false;
  expect_fault(kA, "never given a seed");
}

TEST_F(SoulJudgeTest, MemoryThatIsNotWhatWasSaved) {
  place(kA);
  begin(kA);
  guest(kA).damaged = true;
  guest(kA).save = 0;
  expect_fault(kA, "something else than was saved");
}

TEST_F(SoulJudgeTest, TwoThatDrawTheSame) {
  for (const char* name : {kA, kB}) {
    place(name);
    begin(name);
    guest(name).random_seed = 5;
  }
  show(kA);
  expect_content();
  expect_fault(kB, "the state of the random generator in common with one-long-name-aa");
}

TEST_F(SoulJudgeTest, WhoHasEndedHasNoAddressInCommonWithAnybody) {
  for (const char* name : {kA, kB}) {
    place(name);
    begin(name);
    guest(name).save = 0;
    guest(name).machine_id = std::string(32, '1');
  }
  show(kA);
  end(kA);
  show(kB);
  expect_content();
}

// A snapshot that is restored twice, for one.
TEST_F(SoulJudgeTest, WhatOneDrewNobodyDrawsLater) {
  place(kA);
  begin(kA);
  guest(kA).random_seed = 5;
  show(kA);
  end(kA);
  place(kB);
  begin(kB);
  guest(kB).random_seed = 5;
  show(kB);
  ASSERT_TRUE(recorder_.failed());
  EXPECT_TRUE(recorder_.report().violation->text.contains("random generator that pid 1 had"));
}

TEST_F(SoulJudgeTest, WhoGoesOnKeepsItsMachineId) {
  place(kA);
  begin(kA);
  guest(kA).machine_id = std::string(32, '1');
  guests_.at(vm(kA).uuid).saved_machine_id = std::string(32, '1');
  show(kA);
  expect_content();
}

TEST_F(SoulJudgeTest, WhoGoesOnHasNoOtherMachineIdThanItHad) {
  place(kA);
  begin(kA);
  guests_.at(vm(kA).uuid).saved_machine_id = std::string(32, '1');
  expect_fault(kA, "not 1111");
}

TEST_F(SoulJudgeTest, APausedGuestIsJudgedButForItsTime) {
  place(kA);
  begin(kA);
  show(kA);
  say(kA, v1::VM_STATE_PAUSED);
  guest(kA).status = "paused";
  guest(kA).clock_offset = -1h;
  expect_content();
  guest(kA).host_name = "template-12";
  EXPECT_TRUE(judge_.missing(cluster_.state).contains("is paused and has the host name"));
}

TEST_F(SoulJudgeTest, ATimeOfDayThatIsOff) {
  place(kA);
  begin(kA);
  guest(kA).clock_offset = -2001ms;
  show(kA);
  ASSERT_TRUE(recorder_.failed());
  EXPECT_TRUE(recorder_.report().violation->text.contains("-2001 ms off"));
}

TEST_F(SoulJudgeTest, AMachineWhoseOwnClockHasJumpedSaysNothing) {
  place(kA);
  begin(kA);
  guest(kA).clock_offset = 1h;
  ++guests_.at(vm(kA).uuid).wall_jumps;
  show(kA);
  expect_content();
}

TEST_F(SoulJudgeTest, TheClockOfAGuestThatHasEndedStandsStill) {
  place(kA);
  begin(kA);
  guest(kA).clock_offset = -5s;
  guest(kA).status = "shutdown";
  show(kA);
  expect_content();
}

TEST_F(SoulJudgeTest, WhoBootedIsToldNothing) {
  place(kA);
  begin(kA);
  guest(kA).save = 0;
  guest(kA).identified = false;
  guest(kA).machine_id = std::string(32, '1');
  show(kA);
  expect_content();
}

// What is shown is said of the first.
TEST_F(SoulJudgeTest, TheSecondGuestOfAnAssignmentIsJudgedAtRest) {
  place(kA);
  begin(kA);
  end(kA);
  begin(kA);
  guest(kA).host_name = "template-12";
  show(kA);
  EXPECT_FALSE(recorder_.failed());
  EXPECT_TRUE(judge_.missing(cluster_.state).contains("the host name"));
}

TEST_F(SoulJudgeTest, AGuestOfTheAssignmentBeforeIsJudgedAtRest) {
  ASSERT_TRUE(cluster_.create(kA));
  begin(kA);
  guest(kA).host_name = "template-12";
  ASSERT_TRUE(cluster_.place(kA, 1));
  look();
  say(kA, v1::VM_STATE_STARTING);
  show(kA);
  EXPECT_FALSE(recorder_.failed());
  EXPECT_TRUE(judge_.missing(cluster_.state).contains("the host name"));
}

}  // namespace
}  // namespace blixard::vopr

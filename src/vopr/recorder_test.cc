#include "vopr/recorder.h"

#include <gtest/gtest.h>

namespace blixard::vopr {
namespace {

class RecorderTest : public ::testing::Test {
 protected:
  // Whether what happens now counts as under this fault.
  bool is_there(Action fault) {
    recorder_.report().coverage = {};
    recorder_.note(1, Event::kLeads, "");
    return recorder_.report().coverage.saw(Role::kLeader, Event::kLeads, fault);
  }

  Duration now_{10s};
  Recorder recorder_{[this] { return now_; },
                     [](std::uint32_t) { return Standing{.role = Role::kLeader}; }};
};

TEST_F(RecorderTest, AFaultIsThereAsLongAsItLastsAndALittleLonger) {
  recorder_.begin(Action::kCut);
  now_ += 1min;
  EXPECT_TRUE(is_there(Action::kCut));
  EXPECT_FALSE(is_there(Action::kClog));
  recorder_.end(Action::kCut);
  now_ += Recorder::kAftermath - 1ns;
  EXPECT_TRUE(is_there(Action::kCut));
  now_ += 1ns;
  EXPECT_FALSE(is_there(Action::kCut));
}

TEST_F(RecorderTest, WhatTakesNoTimeIsThereForAWhile) {
  EXPECT_FALSE(is_there(Action::kReset));
  recorder_.note_step(1, Event::kStep, Action::kReset, "reset");
  now_ += Recorder::kAftermath - 1ns;
  EXPECT_TRUE(is_there(Action::kReset));
  now_ += 1ns;
  EXPECT_FALSE(is_there(Action::kReset));
}

TEST_F(RecorderTest, WhatIsSkippedAndWhatClientsAskIsNot) {
  recorder_.note_step(1, Event::kSkipped, Action::kBitRot, "bit-rot: too much would be lost");
  EXPECT_FALSE(is_there(Action::kBitRot));
  recorder_.note_step(0, Event::kStep, Action::kCreate, "client 1");
  EXPECT_FALSE(is_there(Action::kCreate));
  EXPECT_TRUE(is_there(Action::kNone));
}

}  // namespace
}  // namespace blixard::vopr

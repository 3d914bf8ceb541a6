// The core against the reference's interaction files and against our own scenarios.

#include <gtest/gtest.h>

#include "test/conformance/raft/reference.h"
#include "test/conformance/raft/replay.h"

namespace blixard::raft::interaction {
namespace {

std::string own_directory() { return std::string(BLX_SOURCE_DIR) + "/src/core/raft/testdata"; }

void expect_match(const std::string& path, Form form) {
  const Result<Replay> done = replay(path, form);
  ASSERT_TRUE(done) << path << ": " << done.error().message();
  EXPECT_GT(done->outcome.cases, 0U) << path;
  EXPECT_TRUE(done->matches()) << done->text();
}

TEST(Interaction, matches_the_files_of_the_packaged_reference) {
  const std::vector<std::string> files = datadriven::files_in(kReference + "/testdata");
  if (files.empty()) GTEST_SKIP() << kReferenceAbsent;
  EXPECT_GE(files.size(), 9U);
  for (const std::string& file : files)
    expect_match(file, Form::k34);
}

TEST(Interaction, matches_our_own_scenarios) {
  const std::vector<std::string> files = datadriven::files_in(own_directory());
  EXPECT_GE(files.size(), 30U);
  for (const std::string& file : files)
    expect_match(file, Form::kCurrent);
}

// A judge that cannot say no is none: one wrong letter in any output is found.
TEST(Interaction, finds_a_wrong_expectation) {
  for (const std::string& path : datadriven::files_in(own_directory())) {
    auto file = datadriven::load(path);
    ASSERT_TRUE(file);
    datadriven::Case* victim = nullptr;
    for (datadriven::Case& block : file->cases) {
      if (block.expected.size() > 20) victim = &block;
    }
    ASSERT_NE(victim, nullptr) << path;
    victim->expected[10] = victim->expected[10] == 'x' ? 'y' : 'x';
    const std::string place = victim->place;
    const Replay done = replay(*file, Form::kCurrent);
    ASSERT_EQ(done.outcome.mismatches.size(), 1U) << path;
    EXPECT_EQ(done.outcome.mismatches.front().place, place);
  }
}

Replay replay_text(std::string_view text) {
  const auto file = datadriven::parse("text", text);
  EXPECT_TRUE(file);
  return replay(*file, Form::kCurrent);
}

TEST(Interaction, answers_wrong_commands_with_an_error) {
  const Replay done = replay_text(
      "frobnicate 1\n----\nunknown command\n\n"
      "campaign 1\n----\nno node 1\n\n"
      "add-nodes 1 voters=(1) index=1\n----\nindex must be specified as > 1 due to bootstrap\n\n"
      "add-nodes 1 colour=red\n----\nunknown option colour\n\n"
      "log-level loud\n----\nlog levels must be either of [DEBUG INFO WARN ERROR FATAL NONE]\n\n"
      "deliver-msgs 1 type=MsgNothing\n----\nunknown message type MsgNothing\n");
  EXPECT_TRUE(done.matches()) << done.text();
}

// The same script gives the same text, to the last byte.
TEST(Interaction, is_deterministic) {
  for (const std::string& path : datadriven::files_in(own_directory())) {
    const auto once = replay(path, Form::kCurrent);
    const auto again = replay(path, Form::kCurrent);
    ASSERT_TRUE(once && again);
    EXPECT_EQ(once->outcome.rewritten, again->outcome.rewritten) << path;
  }
}

}  // namespace
}  // namespace blixard::raft::interaction

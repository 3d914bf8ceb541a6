#include "app/state_file.h"

#include <gtest/gtest.h>

#include "blixard/v1/cluster.pb.h"
#include "core/wire/checksum.h"

namespace blixard::app {
namespace {

cluster::State a_state() {
  const auto state = cluster::State::found(
      {.cluster = Uuid::from_random(1, 2), .name = "n1", .peer_address = "10.0.0.1:7481"});
  EXPECT_TRUE(state);
  return *state;
}

std::string refusal_of(const std::string& text) {
  const auto state = read_state_file(text);
  return state ? ""
               : std::string(state.error().reason()) + ": " + std::string(state.error().detail());
}

TEST(StateFile, GoesBothWays) {
  const cluster::State state = a_state();
  const auto read = read_state_file(state_file_text(state.encode()));
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_TRUE(*read == state);
}

TEST(StateFile, WhatIsNotWholeIsRefused) {
  const std::string whole = state_file_text(a_state().encode());
  const std::size_t head = whole.find('\n') + 1;
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_EQ(refusal_of(whole.substr(0, size)),
              size < head ? "state_file_invalid: this is no file that blixard plan --save-state "
                            "wrote"
                          : "state_file_invalid: the file is damaged or not whole: save the state "
                            "again")
        << size;
  }
  EXPECT_NE(refusal_of(whole + "x"), "");
}

TEST(StateFile, AChangedByteIsRefused) {
  const std::string whole = state_file_text(a_state().encode());
  for (std::size_t at = 0; at < whole.size(); ++at) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 1);
    EXPECT_NE(refusal_of(damaged), "") << at;
  }
}

TEST(StateFile, OfANewerProgramItSaysSo) {
  v1::StateSnapshot snapshot;
  ASSERT_TRUE(snapshot.ParseFromString(a_state().encode()));
  snapshot.set_version(cluster::kModelVersion + 1);
  EXPECT_TRUE(
      refusal_of(state_file_text(snapshot.SerializeAsString())).starts_with("model_too_new"));
  EXPECT_EQ(refusal_of(state_file_text("garbage")),
            "state_file_invalid: the state in the file is not valid: not a snapshot");
}

}  // namespace
}  // namespace blixard::app

// The trace of a command decides nothing: programs that know it and programs that do not agree.

#include <gtest/gtest.h>

#include "core/cluster/scenario.h"
#include "core/cluster/state.h"

namespace blixard::cluster {
namespace {

v1::Command image(std::uint8_t request) {
  v1::Command command;
  command.set_version(kModelVersion);
  command.set_time_unix_ms(1);
  command.set_request_id(std::string(16, static_cast<char>(request)));
  auto& added = *command.mutable_add_image();
  added.set_name("a");
  auto& file = *added.add_files();
  file.set_name("vmlinux");
  file.set_bytes(4096);
  file.set_digest(std::string(32, 'd'));
  return command;
}

v1::Command traced(v1::Command command, std::uint64_t span) {
  auto& trace = *command.mutable_trace();
  trace.set_trace_high(1);
  trace.set_trace_low(2);
  trace.set_span(span);
  trace.set_request(3);
  return command;
}

TEST(TraceOfCommand, IsNotInTheState) {
  State plain;
  State with;
  EXPECT_TRUE(plain.apply(LogIndex(1), image(1), nullptr));
  EXPECT_TRUE(with.apply(LogIndex(1), traced(image(1), 7), nullptr));
  EXPECT_EQ(plain.hash(), with.hash());
  EXPECT_EQ(with.model_version(), plain.model_version());
}

// A retry that is traced anew, or no more, is the same request.
TEST(TraceOfCommand, IsNotWhatARequestIsKnownBy) {
  State state;
  const auto first = state.apply(LogIndex(1), traced(image(1), 7), nullptr);
  ASSERT_TRUE(first);
  const auto again = state.apply(LogIndex(2), traced(image(1), 8), nullptr);
  ASSERT_TRUE(again) << again.error().message();
  EXPECT_EQ(again->index, first->index);
  EXPECT_EQ(again->object_id, first->object_id);
  const auto plain = state.apply(LogIndex(3), image(1), nullptr);
  ASSERT_TRUE(plain) << plain.error().message();
  EXPECT_EQ(plain->index, first->index);
}

// As an older program reads it: a field that it does not know, which it hands on as it is.
TEST(TraceOfCommand, IsPassedOnByWhoDoesNotKnowIt) {
  std::string bytes = image(1).SerializeAsString();
  const std::string plain = bytes;
  bytes +=
      "\xfa\x3f\x03"
      "abc";  // field 127, three bytes
  v1::Command unknown;
  ASSERT_TRUE(unknown.ParseFromString(bytes));
  State with;
  State without;
  EXPECT_TRUE(with.apply(LogIndex(1), unknown, nullptr));
  v1::Command known;
  ASSERT_TRUE(known.ParseFromString(plain));
  EXPECT_TRUE(without.apply(LogIndex(1), known, nullptr));
  EXPECT_EQ(with.hash(), without.hash());
  EXPECT_EQ(unknown.SerializeAsString().size(), bytes.size());
}

}  // namespace
}  // namespace blixard::cluster

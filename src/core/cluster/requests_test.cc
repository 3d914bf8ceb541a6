#include "core/cluster/requests.h"

#include <gtest/gtest.h>

#include "base/limits.h"
#include "blixard/v1/cluster.pb.h"
#include "core/cluster/scenario.h"
#include "core/wire/checksum.h"

namespace blixard::cluster {
namespace {

Uuid uuid_of(std::uint64_t number) { return Uuid::from_random(number, number); }

TEST(Requests, RemembersTheLastOnesOnly) {
  Requests requests;
  for (std::uint64_t at = 0; at < limits::kRememberedRequests + 5; ++at) {
    requests.remember({.request_id = uuid_of(at),
                       .fingerprint = at,
                       .index = LogIndex(at + 1),
                       .outcome = Outcome{.index = LogIndex(at + 1), .object_id = at}});
  }
  EXPECT_EQ(requests.oldest_first().size(), limits::kRememberedRequests);
  EXPECT_EQ(requests.find(uuid_of(4)), nullptr);
  for (const std::uint64_t at :
       {std::uint64_t{5}, std::uint64_t{limits::kRememberedRequests + 4}}) {
    ASSERT_NE(requests.find(uuid_of(at)), nullptr);
    EXPECT_EQ(requests.find(uuid_of(at))->fingerprint, at);
  }
}

v1::Command with_id(v1::Command command, char letter) {
  command.set_request_id(std::string(16, letter));
  return command;
}

class Retry : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(cluster_.add_image("alpine"));
    ASSERT_TRUE(cluster_.add_node(1, 4, 4096));
  }
  Scenario cluster_;
};

TEST_F(Retry, OfASuccessGetsTheSameAnswerWithoutEffect) {
  const auto first = cluster_.apply(with_id(Scenario::create_command("web", 1, 128), 'r'));
  ASSERT_TRUE(first);
  const std::string hash = cluster_.state.hash();
  const std::size_t changes = cluster_.changes.size();
  const auto again = cluster_.apply(with_id(Scenario::create_command("web", 1, 128), 'r'));
  ASSERT_TRUE(again);
  EXPECT_EQ(again->index, first->index);
  EXPECT_EQ(again->object_id, first->object_id);
  EXPECT_EQ(cluster_.state.hash(), hash);
  EXPECT_EQ(cluster_.changes.size(), changes);
}

// It is in snapshots and goes from one version to the next: the same bytes for ever.
TEST_F(Retry, IsKnownByWhatWasAskedWithoutWhatAServerMakesAnew) {
  auto command = with_id(Scenario::create_command("web", 1, 128), 'r');
  command.mutable_create_vm()->mutable_spec()->set_image("alpine");
  ASSERT_TRUE(cluster_.apply(command));
  v1::CreateVm asked = command.create_vm();
  ASSERT_FALSE(asked.uuid().empty());
  asked.clear_uuid();
  v1::StateSnapshot snapshot;
  ASSERT_TRUE(snapshot.ParseFromString(cluster_.state.encode()));
  ASSERT_EQ(snapshot.requests_size(), 1);
  EXPECT_EQ(snapshot.requests(0).fingerprint(),
            wire::checksum(asked.SerializeAsString(), v1::Command::kCreateVm));
}

TEST_F(Retry, IsNotCarriedOutAfterTheObjectIsGone) {
  const auto create = with_id(Scenario::create_command("web", 1, 128), 'r');
  ASSERT_TRUE(cluster_.apply(create));
  ASSERT_TRUE(cluster_.desire("web", v1::VM_DESIRED_DELETED));
  ASSERT_TRUE(cluster_.apply(create));
  EXPECT_EQ(cluster_.state.find_vm("web"), nullptr);
}

TEST_F(Retry, OfARefusalGetsTheSameRefusal) {
  const auto command = with_id(Scenario::command(R"(remove_image { name: "none" })"), 'r');
  const auto first = cluster_.apply(command);
  ASSERT_FALSE(first);
  ASSERT_TRUE(cluster_.add_image("none"));
  const auto again = cluster_.apply(command);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code(), first.error().code());
  EXPECT_EQ(again.error().message(), first.error().message());
  EXPECT_NE(cluster_.state.find_image("none"), nullptr);
}

// A server stamps time and the guest's uuid at every try, so they do not make another command.
TEST_F(Retry, MayDifferInWhatServersStamp) {
  auto command = with_id(Scenario::create_command("web", 1, 128), 'r');
  const auto first = cluster_.apply(command);
  command.set_time_unix_ms(77);
  command.mutable_create_vm()->set_uuid("another-uuid-16b");
  const auto again = cluster_.apply(command);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->object_id, first->object_id);
}

TEST_F(Retry, WithAnotherCommandIsAFaultAndForgetsNothing) {
  ASSERT_TRUE(cluster_.apply(with_id(Scenario::create_command("web", 1, 128), 'r')));
  const std::string hash = cluster_.state.hash();
  const v1::Command others[] = {
      Scenario::create_command("web", 1, 129),
      Scenario::create_command("other", 1, 128),
      Scenario::command(R"(remove_image { name: "web" })"),
  };
  for (const v1::Command& other : others) {
    const auto refused = cluster_.apply(with_id(other, 'r'));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code(), Code::kInvalidArgument);
    EXPECT_EQ(refused.error().reason(), "request_id_reused");
  }
  EXPECT_EQ(cluster_.state.hash(), hash);
}

TEST_F(Retry, SurvivesASnapshot) {
  const auto create = with_id(Scenario::create_command("web", 1, 128), 'r');
  const auto bad = with_id(Scenario::command(R"(remove_image { name: "none" })"), 's');
  const auto first = cluster_.apply(create);
  const auto refused = cluster_.apply(bad);
  auto restored = State::decode(cluster_.state.encode());
  ASSERT_TRUE(restored);
  cluster_.state = std::move(*restored);
  const auto again = cluster_.apply(create);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->index, first->index);
  const auto refused_again = cluster_.apply(bad);
  ASSERT_FALSE(refused_again);
  EXPECT_EQ(refused_again.error().message(), refused.error().message());
}

TEST_F(Retry, WithoutAnIdIsCarriedOutAgain) {
  ASSERT_TRUE(cluster_.create("web"));
  const auto again = cluster_.create("web");
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().reason(), "vm_exists");
}

}  // namespace
}  // namespace blixard::cluster

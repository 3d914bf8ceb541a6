// Who may ask for what: every command and every message of consensus, by every kind of sender.

#include "node/replica/rights.h"

#include <map>
#include <string>

#include <gtest/gtest.h>

#include "core/cluster/scenario.h"

namespace blixard::replica {
namespace {

constexpr NodeId kServer(1);
constexpr NodeId kWorker(2);
constexpr NodeId kOther(3);  // a worker as well
constexpr NodeId kStranger(9);

cluster::State state() {
  cluster::Scenario made = cluster::Scenario::founded();
  for (const std::uint64_t token : {1, 2}) {
    const auto name = "w" + std::to_string(token);
    EXPECT_TRUE(
        made.apply(cluster::Scenario::token_command(token, 1'000'000, v1::NODE_ROLE_WORKER)));
    EXPECT_TRUE(made.enrol(token, name));
  }
  return made.state;
}

std::string answer(NodeId from, const v1::Command& command) {
  const auto may = may_propose(state(), from, command);
  return may ? "" : std::string(may.error().reason());
}

// Whether a worker may propose the command about itself, and about another node.
struct Rights {
  bool own = false;
  bool of_others = false;
};

const std::map<std::string, Rights>& worker_rights() {
  static const std::map<std::string, Rights> all{
      {"register_node", {.own = true}},
      {"create_vm", {true, true}},
      {"set_desired", {true, true}},
      {"take_snapshot", {true, true}},
      {"restore_snapshot", {true, true}},
      {"delete_snapshot", {true, true}},
      {"place_vm", {}},
      {"explain_pending", {}},
      {"report_vms", {.own = true}},
      {"add_image", {true, true}},
      {"remove_image", {true, true}},
      {"create_token", {}},
      {"revoke_token", {}},
      {"enrol_node", {}},
      {"remove_node", {.own = true}},
      {"drop_node", {}},
      {"update_node_address", {.own = true}},
      {"place_gang", {}},
      {"evict_vm", {}},
      {"update_node", {.own = true}},
      {"drain_node", {.own = true}},
      {"end_drain", {}},
      {"set_policy", {}},
      {"set_group", {true, true}},
      {"remove_group", {true, true}},
      {"set_tenant", {}},
      {"remove_tenant", {}},
      {"set_reservation", {}},
      {"remove_reservation", {}},
  };
  return all;
}

TEST(Rights, OfEveryCommand) {
  const auto* kinds = v1::Command::descriptor()->FindOneofByName("kind");
  ASSERT_NE(kinds, nullptr);
  EXPECT_EQ(static_cast<std::size_t>(kinds->field_count()), worker_rights().size());
  for (int i = 0; i < kinds->field_count(); ++i) {
    const auto* kind = kinds->field(i);
    const auto row = worker_rights().find(std::string(kind->name()));
    ASSERT_NE(row, worker_rights().end()) << kind->name() << " has no row: may a worker do it?";
    for (const NodeId about : {kWorker, kOther}) {
      v1::Command command;
      auto* content = command.GetReflection()->MutableMessage(&command, kind);
      if (const auto* node = content->GetDescriptor()->FindFieldByName("node_id")) {
        content->GetReflection()->SetUInt64(content, node, about.value);
      }
      const bool may = about == kWorker ? row->second.own : row->second.of_others;
      EXPECT_EQ(answer(kServer, command), "") << kind->name();
      EXPECT_EQ(answer(kWorker, command), may ? "" : "servers_only")
          << kind->name() << " about node " << about.value;
      EXPECT_EQ(answer(kStranger, command), "not_leader") << kind->name();
    }
  }
  EXPECT_EQ(answer(kWorker, v1::Command()), "servers_only");
}

TEST(Rights, ToChangeMembersAreTheServers) {
  EXPECT_TRUE(may_change_members(state(), kServer));
  EXPECT_EQ(may_change_members(state(), kWorker).error().reason(), "servers_only");
  EXPECT_TRUE(may_change_members(state(), kWorker).error().detail().contains("ask a server"));
  EXPECT_EQ(may_change_members(state(), kStranger).error().reason(), "not_leader");
}

TEST(Rights, OfEveryMessage) {
  using raft::MessageType;
  for (auto type = MessageType::kAppend; type <= MessageType::kForgetLeader;
       type = static_cast<MessageType>(static_cast<int>(type) + 1)) {
    const bool answers = type == MessageType::kAppendResponse ||
                         type == MessageType::kHeartbeatResponse || type == MessageType::kReadIndex;
    const auto may = [type](NodeId from, bool marked, Term term) {
      return may_send(state(), {.node = from, .server = marked}, type, term, Term(5));
    };
    for (const bool marked : {false, true}) {
      // The state decides about whom it knows, and the certificate about the others.
      for (const Term term : {Term(), Term(4), Term(5)}) {
        EXPECT_EQ(may(kWorker, marked, term), answers) << static_cast<int>(type);
        EXPECT_EQ(may(kStranger, marked, term), answers || marked) << static_cast<int>(type);
      }
      EXPECT_FALSE(may(kWorker, marked, Term(6))) << static_cast<int>(type);
      EXPECT_TRUE(may(kServer, marked, Term(6))) << static_cast<int>(type);
      EXPECT_EQ(may(kStranger, marked, Term(6)), marked) << static_cast<int>(type);
    }
  }
}

}  // namespace
}  // namespace blixard::replica

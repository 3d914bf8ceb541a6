// The operator of a cluster under faults: who leads, who joins, who goes. What he asks for may fail
// at any step; he then does something else, as the next one will find it.

#include <string>
#include <utility>
#include <vector>

#include "test/conformance/consensus/nemesis.h"

namespace blixard::consensus_sim {
namespace {

constexpr Duration kPatience = 3s;

using Kind = replica::MembershipChange::Kind;

// Marks that somebody is at work.
class Busy {
 public:
  explicit Busy(bool& busy) : busy_(busy) { busy_ = true; }
  Busy(const Busy&) = delete;
  Busy& operator=(const Busy&) = delete;
  ~Busy() { busy_ = false; }

 private:
  bool& busy_;
};

std::string secret_of(std::uint64_t number) {
  std::string secret(32, 's');
  for (std::size_t i = 0; i < 8; ++i)
    secret[i] = static_cast<char>(number >> (8 * i));
  return secret;
}

}  // namespace

env::Task<void> Nemesis::transfer() {
  Daemon* asked = cluster_.any_serving();
  if (asked == nullptr) co_return;
  const NodeId to = random_.one_in(3) ? NodeId() : victim().id;
  ignore(co_await asked->replica->transfer_leader(to), "it may be too late, or the wrong one");
}

env::Task<Result<cluster::Outcome>> Nemesis::change(replica::MembershipChange change) {
  const Instant deadline = cluster_.env().clock.monotonic() + kPatience;
  Result<cluster::Outcome> outcome = fail(Code::kUnavailable, "nobody_serves");
  do {
    if (Daemon* asked = cluster_.any_serving()) {
      outcome = co_await asked->replica->change_membership(change);
      if (outcome) break;
      const std::string_view reason = outcome.error().reason();
      if (reason == "member_exists" || reason == "member_unknown" || reason == "last_voter") break;
    }
    if (!co_await cluster_.pause(random_.between(20ms, 150ms))) break;
  } while (cluster_.env().clock.monotonic() < deadline);
  co_return outcome;
}

env::Task<void> Nemesis::join() {
  if (operator_busy_) co_return;
  const Busy busy(operator_busy_);
  std::vector<Daemon*> free;
  for (const auto& daemon : cluster_.daemons()) {
    if (!daemon->id || daemon->removed) free.push_back(daemon.get());
  }
  if (free.empty()) co_return;
  Daemon& daemon = *free[random_.below(free.size())];
  const std::uint64_t number = 1000 + ++joined_;
  const std::string name = "j" + std::to_string(number);
  const Instant deadline = cluster_.env().clock.monotonic() + kPatience;
  v1::Command token;
  auto& create = *token.mutable_create_token();
  create.set_token_id(number);
  create.set_secret_hash(secret_of(number));
  create.set_role(v1::NODE_ROLE_SERVER);
  create.set_lifetime_ms(24LL * 3600 * 1000);
  if (!co_await clients_.request(token, deadline)) co_return;
  v1::Command command;
  auto& enrol = *command.mutable_enrol_node();
  enrol.set_token_id(number);
  enrol.set_secret_hash(secret_of(number));
  enrol.set_name(name);
  enrol.set_peer_address(cluster_.endpoint_of(daemon).text());
  enrol.set_key_digest(secret_of(number));
  const auto enrolled = co_await clients_.request(command, deadline);
  if (!enrolled) co_return;
  cluster_.crash(daemon);
  cluster_.become(daemon, NodeId(enrolled->object_id), name);
  cluster_.start(daemon);
  ignore(co_await change({.kind = Kind::kAddLearner, .node = daemon.id, .command = {}}),
         "it stays outside");
}

env::Task<void> Nemesis::promote() {
  if (operator_busy_) co_return;
  const Busy busy(operator_busy_);
  Daemon* seen = cluster_.any_serving();
  if (seen == nullptr) co_return;
  const raft::ConfState configuration = seen->replica->state().configuration();
  if (configuration.learners.empty() || configuration.voters.size() >= 7) co_return;
  const NodeId learner = configuration.learners[random_.below(configuration.learners.size())];
  ignore(co_await change({.kind = Kind::kPromote, .node = learner, .command = {}}),
         "it may not have caught up");
}

env::Task<void> Nemesis::remove() {
  if (operator_busy_) co_return;
  const Busy busy(operator_busy_);
  Daemon* seen = cluster_.any_serving();
  if (seen == nullptr) co_return;
  const raft::ConfState configuration = seen->replica->state().configuration();
  std::vector<NodeId> choice = configuration.learners;
  if (configuration.voters.size() > (random_.one_in(4) ? 2 : 3)) {
    choice.insert(choice.end(), configuration.voters.begin(), configuration.voters.end());
  }
  if (choice.empty()) co_return;
  const NodeId node = choice[random_.below(choice.size())];
  for (const auto& daemon : cluster_.daemons()) {
    if (daemon->id == node) daemon->removal_begun = true;
  }
  v1::Command leave;
  leave.mutable_remove_node()->set_node_id(node.value);
  const Instant deadline = cluster_.env().clock.monotonic() + kPatience;
  if (!co_await clients_.request(leave, deadline)) co_return;
  v1::Command drop;
  drop.set_version(cluster::kModelVersion);
  drop.mutable_drop_node()->set_node_id(node.value);
  const auto removed =
      co_await change({.kind = Kind::kRemove, .node = node, .command = drop.SerializeAsString()});
  if (!removed) co_return;
  for (const auto& daemon : cluster_.daemons()) {
    if (daemon->id == node) daemon->removed = true;
  }
}

}  // namespace blixard::consensus_sim

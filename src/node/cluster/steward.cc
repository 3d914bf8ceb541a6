#include "node/cluster/steward.h"

#include <string_view>
#include <utility>

#include "blixard/v1/cluster.pb.h"
#include "env/sync.h"

namespace blixard::membership {
namespace {

constexpr Duration kLook = 500ms;  // how often followers' progress is looked at
constexpr Duration kRetryDelay = 1s;
constexpr Duration kLateMax = 3s;  // of a step, in simulation

std::string_view step_name(Step::Kind kind) {
  switch (kind) {
    case Step::Kind::kAddLearner:
      return "taken in";
    case Step::Kind::kPromote:
      return "made a voter";
    case Step::Kind::kRemove:
    case Step::Kind::kDrop:
      return "removed";
    case Step::Kind::kHandOver:
      return "relieved of the lead";
  }
  return "changed";
}

v1::Command drop_command(const cluster::State& state, NodeId node) {
  v1::Command command;
  command.set_version(state.model_version());
  command.mutable_drop_node()->set_node_id(node.value);
  return command;
}

}  // namespace

env::Task<void> Steward::run() {
  while (true) {
    Duration pause = kLook;
    if (replica_.is_leader()) {
      look_who_is_close();
      const auto step =
          next_step(replica_.state(), replica_.status().self, close_, env_.clock.monotonic());
      if (step) {
        if (env_.rare.happens(env::RareSite::kMembershipLate)) {
          const auto most = static_cast<std::uint64_t>(kLateMax.count());
          if (!co_await env_.clock.sleep(Duration(env_.random.below(most)))) co_return;
        }
        const auto done = co_await carry_out(*step);
        if (!done && done.error().code() == Code::kCancelled) co_return;
        if (done) {
          BLX_LOG(env_.log, kInfo, "node {} is {}", step->node.value, step_name(step->kind));
          continue;
        }
        BLX_LOG(env_.log, kWarn, "node {} is not {} yet: {}", step->node.value,
                step_name(step->kind), done.error().message());
        pause = kRetryDelay;
      }
    } else {
      close_.clear();
    }
    if (!co_await env_.clock.sleep(pause)) co_return;
  }
}

void Steward::look_who_is_close() {
  const LogIndex commit = replica_.status().commit;
  const Instant now = env_.clock.monotonic();
  CloseSince close;
  for (const replica::MemberProgress& member : replica_.members()) {
    // In a young cluster everybody is close to the end: who has nothing at all has not begun.
    if (!member.learner || !member.active || !member.match) continue;
    if (member.match.value + kLagMax < commit.value) continue;
    const auto before = close_.find(member.node);
    close.emplace(member.node, before == close_.end() ? now : before->second);
  }
  close_ = std::move(close);
}

env::Task<Result<void>> Steward::carry_out(Step step) {
  using Kind = replica::MembershipChange::Kind;
  replica::MembershipChange change{.kind = Kind::kAddLearner, .node = step.node, .command = {}};
  switch (step.kind) {
    case Step::Kind::kHandOver:
      co_return co_await replica_.transfer_leader(NodeId());
    case Step::Kind::kDrop: {
      BLX_CO_TRY(co_await replica_.propose(drop_command(replica_.state(), step.node)));
      co_return Result<void>();
    }
    case Step::Kind::kAddLearner:
      break;
    case Step::Kind::kPromote:
      change.kind = Kind::kPromote;
      break;
    case Step::Kind::kRemove:
      change.kind = Kind::kRemove;
      // Its time is that of no decision: apply does not look at it.
      change.command = drop_command(replica_.state(), step.node).SerializeAsString();
      break;
  }
  BLX_CO_TRY(co_await replica_.change_membership(std::move(change)));
  co_return Result<void>();
}

}  // namespace blixard::membership

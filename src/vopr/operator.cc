#include "vopr/operator.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "core/raft/configuration.h"
#include "sim/tiny_image.h"

namespace blixard::vopr {
namespace {

using http::Method;

// Who sets up a machine while others are upgraded takes the program that they will have.
constexpr std::uint32_t kNewest = 2;
constexpr Duration kAttempt = 20s;
constexpr Duration kPause = 200ms;
constexpr Duration kReadyPatience = 90s;
constexpr std::string_view kServer = R"({"role":"server"})";

}  // namespace

// Marks that the members are being changed.
class Operator::Turn {
 public:
  explicit Turn(bool& busy) : busy_(busy) { busy_ = true; }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
  ~Turn() { busy_ = false; }

 private:
  bool& busy_;
};

Operator::Operator(Cluster& cluster, Clients& clients) : cluster_(cluster), clients_(clients) {}

std::size_t Operator::voters() const {
  const Site* leader = cluster_.leader();
  if (leader == nullptr) return 0;
  return raft::all_voters(leader->replica()->state().configuration()).size();
}

bool Operator::has_voter(const Site& site) const {
  const Site* leader = cluster_.leader();
  return leader != nullptr && site.belongs &&
         leader->replica()->state().membership(site.id) == cluster::Membership::kVoter;
}

std::size_t Operator::lost() const {
  return static_cast<std::size_t>(
      std::ranges::count_if(cluster_.sites(), [](const auto& site) { return site->damaged; }));
}

bool Operator::may_lose(const Site& site) const {
  const std::size_t count = voters();
  return site.belongs && !site.damaged && !busy_ && count >= 3 && lost() + 1 <= (count - 1) / 2;
}

env::Task<rest::Reply> Operator::ask(Method method, std::string target, std::string body) {
  const std::string key = method == Method::kGet ? "" : cluster_.env().random.uuid().text();
  std::uint32_t node = 1;
  while (!cluster_.recorder().failed()) {
    if (Site* site = cluster_.serving(node)) {
      node = site->number % static_cast<std::uint32_t>(cluster_.sites().size()) + 1;
      const rest::Reply reply = co_await clients_.call(*site, method, target, body, key, kAttempt);
      const bool is_answer = reply.status != 0 && reply.status != 401 && reply.status < 500 &&
                             reply.text("code") != "removed" &&
                             reply.text("code") != "removal_unfinished" &&
                             reply.text("code") != "change_in_progress";
      if (is_answer) co_return reply;
    }
    if (!co_await cluster_.pause(kPause)) break;
  }
  co_return rest::Reply{};
}

// Images.

// Again until the disk takes it.
env::Task<void> Operator::write_image(Site& site) {
  bool is_there = false;
  while (!is_there) {
    if (!site.machine->running()) site.machine->restart();
    const env::Env env = site.machine->env();
    is_there = (co_await sim::write_image(env, "/src", "")).has_value() &&
               (co_await env.disk.sync_directory("/")).has_value();
    site.machine->crash_daemon();
    if (!is_there && !co_await cluster_.pause(kPause)) co_return;
  }
}

env::Task<void> Operator::import_image(Site& site) {
  const std::string key = cluster_.env().random.uuid().text();
  while (!cluster_.recorder().failed() && !site.removed && site.belongs) {
    const rest::Reply reply = co_await clients_.call(site, Method::kPost, "/v1/images",
                                                     R"({"path":"/src"})", key, kAttempt);
    if (reply.status >= 200 && reply.status < 300) co_return;
    if (!co_await cluster_.pause(kPause)) co_return;
  }
}

// Members.

env::Task<bool> Operator::form() {
  auto& sites = cluster_.sites();
  Site& first = *sites.front();
  co_await write_image(first);
  first.belongs = first.bootstrap = true;
  first.terms = 1;
  cluster_.start(first);
  if (!co_await cluster_.until([&] { return first.ready; }, kReadyPatience)) co_return false;
  co_await import_image(first);
  for (std::size_t i = 1; i < cluster_.plan().settings.nodes; ++i) {
    if (!co_await take_in(*sites[i])) co_return false;
  }
  co_return co_await cluster_.until([&] { return voters() == cluster_.plan().settings.nodes; },
                                    kReadyPatience);
}

env::Task<bool> Operator::take_in(Site& site) {
  cluster_.retire(site);
  co_await write_image(site);
  // A token that was used in vain is used up.
  while (!cluster_.recorder().failed()) {
    const rest::Reply token = co_await ask(Method::kPost, "/v1/tokens", std::string(kServer));
    Site* member = cluster_.serving(1);
    if (token.status != 201 || member == nullptr) {
      if (token.status == 0 || !co_await cluster_.pause(kPause)) co_return false;
      continue;
    }
    site.join = token.text("token") + "@" + member->peer_address();
    site.belongs = true;
    ++site.terms;
    cluster_.start(site);
    const bool is_ready = co_await cluster_.until(
        [&] { return site.ready || (site.given_up && !site.id); }, kReadyPatience);
    if (is_ready && site.ready) break;
    if (site.id) break;  // it is a node; it will be ready some time
    // It may have become a node all the same, of which nothing is left.
    const std::string name = site.node_name();
    cluster_.retire(site);
    co_await ask(Method::kDelete, "/v1/nodes/" + name + "?force=true", "");
    if (!co_await cluster_.pause(kPause)) co_return false;
  }
  co_await import_image(site);
  co_return site.ready;
}

env::Task<void> Operator::join(Site& site) {
  const Turn turn(busy_);
  site.version = std::max(site.version, kNewest);
  co_await take_in(site);  // what keeps it out is seen at the end
}

env::Task<void> Operator::remove(Site& site) {
  const Turn turn(busy_);
  const std::string name = site.node_name();
  site.removal_begun = true;
  bool is_out = false;
  while (!is_out) {
    const rest::Reply reply = co_await ask(Method::kDelete, "/v1/nodes/" + name, "");
    is_out = site.removed || reply.text("code") == "node_not_found";
    if (!is_out && reply.status != 200) {
      site.removal_begun = false;
      co_return;
    }
    // The node itself says that it leaves, and is out later; its machine is needed until then.
    if (!is_out && !co_await cluster_.pause(kPause)) co_return;
  }
  cluster_.retire(site);
}

env::Task<void> Operator::replace(Site& site) {
  const Turn turn(busy_);
  // Also without a daemon: its guests live on, and get their place elsewhere once it is removed.
  cluster_.lose_power(site);
  site.removal_begun = true;
  const std::string name = site.node_name();
  while (!cluster_.recorder().failed()) {
    const rest::Reply reply =
        co_await ask(Method::kDelete, "/v1/nodes/" + name + "?force=true", "");
    if (reply.status == 0) co_return;
    if (reply.status == 200 || reply.text("code") == "node_not_found") break;
    if (!co_await cluster_.pause(kPause)) co_return;
  }
  cluster_.lose_power(site);  // a restart of the machine may have been due
  site.machine->replace_disk();
  site.version = std::max(site.version, kNewest);
  co_await take_in(site);  // what keeps it out is seen at the end
}

env::Task<void> Operator::mend() {
  while (co_await cluster_.pause(kPause)) {
    if (busy_) continue;
    for (const auto& site : cluster_.sites()) {
      if (site->lost() && site->holds == 0) {
        co_await replace(*site);
        break;
      }
    }
  }
}

// Steps.

env::Task<void> Operator::once(Site* site, Ask ask) {
  if (site == nullptr || !site->ready) co_return;
  // It may be too late, or the wrong one.
  co_await clients_.call(*site, ask.method, std::move(ask.target), std::move(ask.body),
                         cluster_.env().random.uuid().text(), kAttempt);
}

env::Task<void> Operator::upgrade(const Step& step, Site& site) {
  ++site.holds;
  if (site.running) co_await cluster_.stop(site);
  ++site.version;
  co_await cluster_.pause(step.length);
  --site.holds;
  cluster_.start(site);
}

env::Task<void> Operator::act(const Step& step) {
  Recorder& recorder = cluster_.recorder();
  const std::string name(facts_of(step.action).name);
  Site* site = cluster_.resolve(step.node);
  const auto skip = [&](const char* why) {
    recorder.note_step(site == nullptr ? 0 : site->number, Event::kSkipped, step.action,
                       fmt::format("{}: {}", name, why));
  };
  if (step.action == Action::kJoin) {
    const auto free =
        std::ranges::find_if(cluster_.sites(), [](const auto& one) { return !one->belongs; });
    site = free == cluster_.sites().end() ? nullptr : free->get();
  }
  if (site == nullptr) co_return skip("no such machine");
  const bool is_change = step.action == Action::kJoin || step.action == Action::kRemove;
  if (is_change && busy_) co_return skip("members are being changed");
  if (step.action != Action::kJoin && !site->belongs) co_return skip("it has no node");
  if (step.action == Action::kRemove && (voters() < 3 || lost() > 0)) {
    co_return skip("too few would be left");
  }
  if (step.action == Action::kUpgrade && (!site->running || site->holds > 0)) {
    co_return skip("it does not run");
  }
  recorder.note_step(site->number, Event::kStep, step.action, name);
  switch (step.action) {
    case Action::kTransferLeader: {
      Site* to = cluster_.resolve(step.node);
      co_return co_await once(to, {.target = "/v1/cluster/transfer-leader",
                                   .body = fmt::format(R"({{"node":"{}"}})", to->node_name())});
    }
    case Action::kRotate:
      co_return co_await once(site, {.target = "/v1/certificate/rotate", .body = {}});
    case Action::kJoin:
      co_return co_await join(*site);
    case Action::kRemove:
      co_return co_await remove(*site);
    case Action::kUpgrade:
      co_return co_await upgrade(step, *site);
    default:
      // Of a node that is down, others are told.
      co_return co_await once(cluster_.serving(site->number),
                              placement_ask(step, site->node_name()));
  }
}

}  // namespace blixard::vopr

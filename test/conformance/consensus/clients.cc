#include "test/conformance/consensus/clients.h"

#include <utility>

#include "node/replica/test_alone.h"

namespace blixard::consensus_sim {
namespace {

// Of each writer; they come and go, so the state stays small.
constexpr std::uint64_t kNames = 4;

}  // namespace

bool Clients::is_answer(const Result<cluster::Outcome>& outcome) {
  if (outcome) return true;
  switch (outcome.error().code()) {
    case Code::kAlreadyExists:
    case Code::kNotFound:
    case Code::kFailedPrecondition:
    case Code::kPermissionDenied:
      return true;
    default:
      return false;
  }
}

Uuid Clients::next_request() { return Uuid::from_random(++requests_, 0); }

env::Task<Result<cluster::Outcome>> Clients::ask(Daemon& daemon, v1::Command command, Uuid id) {
  ++counts_.tries;
  auto outcome = co_await daemon.replica->propose(std::move(command));
  if (is_answer(outcome)) {
    cluster_.judge().on_answer(id, outcome);
  } else if (outcome.error().code() == Code::kInvalidArgument ||
             outcome.error().code() == Code::kInternal ||
             outcome.error().code() == Code::kDataLoss) {
    cluster_.judge().fail("ended", "a client is told " + outcome.error().message());
  }
  co_return outcome;
}

env::Task<void> Clients::ask_beside(Daemon& daemon, v1::Command command, Uuid id) {
  if (daemon.replica == nullptr) co_return;
  ignore(co_await ask(daemon, std::move(command), id), "the judge heard of it");
}

env::Task<Result<cluster::Outcome>> Clients::request(v1::Command command, Instant deadline) {
  const Uuid id = next_request();
  command.set_request_id(replica::bytes_of(id));
  env::Scope beside(cluster_.env().executor, co_await env::this_cancellation());
  Result<cluster::Outcome> outcome = fail(Code::kUnavailable, "nobody_serves");
  do {
    if (Daemon* daemon = cluster_.any_serving()) {
      // The same request on two ways at once, as after a client's own timeout.
      if (cluster_.random().one_in(8)) {
        beside.spawn(ask_beside(*cluster_.any_serving(), command, id));
      }
      outcome = co_await ask(*daemon, command, id);
      if (is_answer(outcome)) break;
    }
    if (!co_await cluster_.pause(cluster_.random().between(5ms, 80ms))) break;
  } while (cluster_.env().clock.monotonic() < deadline);
  co_await beside.join();
  co_return outcome;
}

env::Task<void> Clients::write(std::size_t number) {
  const env::Env env = cluster_.env();
  sim::SeededRandom& random = cluster_.random();
  while (!finishing_) {
    if (!co_await cluster_.pause(cluster_.up_to(cluster_.settings().request_gap))) co_return;
    const std::string name =
        "w" + std::to_string(number) + "-" + std::to_string(random.below(kNames));
    const bool gives_up = random.one_in(6);
    const Instant deadline =
        gives_up ? env.clock.monotonic() + random.between(50ms, 1s) : Instant::never();
    ++waiting_;
    const auto outcome = co_await request(
        random.one_in(2) ? replica::add_image(name) : replica::remove_image(name), deadline);
    --waiting_;
    ++(is_answer(outcome) ? counts_.answered : counts_.given_up);
  }
}

env::Task<void> Clients::read() {
  while (!finishing_) {
    if (!co_await cluster_.pause(cluster_.up_to(cluster_.settings().request_gap))) co_return;
    Daemon* daemon = cluster_.any_serving();
    if (daemon == nullptr) continue;
    // Stays where it is until every call has returned.
    replica::Replica& asked = *daemon->replica;
    const NodeId node = daemon->id;
    const LogIndex floor = cluster_.judge().read_floor();
    if (co_await asked.read_barrier()) {
      cluster_.judge().on_read(node, floor, asked.status().applied);
      ++counts_.reads;
    } else {
      ++counts_.reads_refused;
    }
  }
}

}  // namespace blixard::consensus_sim

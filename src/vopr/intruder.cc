#include "vopr/intruder.h"

#include <array>
#include <string>

namespace blixard::vopr {
namespace {

constexpr Duration kPatience = 5s;

}  // namespace

env::Task<void> Intruder::act(const Step& step) {
  if (Site* site = cluster_.resolve(step.node)) co_await send_as_stranger(step, *site);
}

// To either port, without a handshake.
env::Task<void> Intruder::send_as_stranger(const Step& step, Site& site) {
  const env::Env env = cluster_.env();
  const std::uint16_t port = step.amount % 2 == 0 ? Site::kApiPort : Site::kPeerPort;
  const Instant deadline = cluster_.now() + kPatience;
  auto stream =
      co_await env.network.dial(env::Endpoint::tcp(site.machine->address(), port), deadline);
  if (!stream) co_return;
  std::string bytes(1 + env.random.below(4096), '\0');
  for (char& byte : bytes)
    byte = static_cast<char>(env.random.next());
  if (!co_await (*stream)->write_all(bytes)) co_return;
  std::array<char, 256> answer{};
  auto read =
      co_await env::with_deadline(env.executor, env.clock, deadline, (*stream)->read_some(answer));
  if (!read || *read == 0) {
    cluster_.recorder().note(site.number, Event::kFrameRefused, "a stranger is hung up on");
  }
}

}  // namespace blixard::vopr

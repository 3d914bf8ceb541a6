#include "node/vm/qemu/ports.h"

#include <algorithm>
#include <string>

namespace blixard::qemu {
namespace {

constexpr int kTries = 16;

std::unexpected<Error> in_use(std::uint16_t port) {
  return fail(Code::kAlreadyExists, "port_in_use",
              "port " + std::to_string(port) + " of 127.0.0.1 is in use");
}

// Listens for a moment; returns the number, which for 0 the system chose.
env::Task<Result<std::uint16_t>> probe_port(env::Network& network, std::uint16_t port) {
  auto listener = co_await network.listen(env::Endpoint::tcp("127.0.0.1", port));
  if (!listener) {
    if (listener.error().code() == Code::kAlreadyExists) co_return in_use(port);
    co_return std::unexpected(std::move(listener).error());
  }
  const std::uint16_t found = (*listener)->local().port;
  (*listener)->close();
  co_return found;
}

}  // namespace

env::Task<Result<std::vector<vm::Publish>>> HostPorts::choose(VmId id,
                                                              std::vector<vm::Publish> wanted) {
  const auto is_taken = [&](std::uint16_t port) {
    return is_kept_by_other(id, port) || std::ranges::any_of(wanted, [port](const vm::Publish& p) {
             return p.host_port == port;
           });
  };
  for (vm::Publish& publish : wanted) {
    const std::uint16_t fixed = publish.host_port;
    if (fixed != 0) {
      if (is_kept_by_other(id, fixed)) co_return in_use(fixed);
      BLX_CO_TRY(co_await probe_port(network_, fixed));
      continue;
    }
    for (int i = 0; i < kTries && publish.host_port == 0; ++i) {
      BLX_CO_TRY(const std::uint16_t port, co_await probe_port(network_, 0));
      if (!is_taken(port)) publish.host_port = port;
    }
    if (publish.host_port == 0) co_return fail(Code::kResourceExhausted, "no_free_port");
  }
  keep(id, wanted);
  co_return wanted;
}

void HostPorts::keep(VmId id, const std::vector<vm::Publish>& published) {
  std::vector<std::uint16_t> ports;
  ports.reserve(published.size());
  for (const vm::Publish& publish : published)
    ports.push_back(publish.host_port);
  kept_[id] = std::move(ports);
}

bool HostPorts::is_kept_by_other(VmId id, std::uint16_t port) const {
  return std::ranges::any_of(kept_, [&](const auto& entry) {
    return entry.first != id && std::ranges::find(entry.second, port) != entry.second.end();
  });
}

}  // namespace blixard::qemu

// Secure streams beside plain TCP, on loopback and in one process: ping-pong of 256 bytes, writes
// of 1 MiB, a batch of a hundred 128-byte entries, and handshakes. Both ends share one thread, so
// the numbers are what a message costs the processors of both machines. Plain and secure take
// turns in the same run; the ratio is the result.

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <type_traits>
#include <vector>

#include "env/scope.h"
#include "linux/runtime.h"

namespace blixard {
namespace {

using env::Env;
using env::Task;

constexpr int kRounds = 5;
constexpr Duration kTurn = 300ms;
constexpr std::size_t kMebibyte = std::size_t{1} << 20;

template <class T>
T must(Result<T> result) {
  if (!result) {
    std::fprintf(stderr, "%s\n", result.error().message().c_str());
    std::exit(1);
  }
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

struct Ends {
  std::unique_ptr<env::Listener> listener;
  std::unique_ptr<env::Stream> near;
  std::unique_ptr<env::Stream> far;
};

struct Links {
  std::unique_ptr<env::SecureTransport> one;
  std::unique_ptr<env::SecureTransport> two;
  Ends plain;
  Ends secure;
};

std::unique_ptr<env::SecureTransport> member(Env env, const env::Authority& authority,
                                             NodeId node) {
  const env::KeyRequest request = must(env.security.make_request());
  const WallTime now = env.clock.wall();
  return must(env.security.open(
      {must(env.security.issue(authority, request.request, {"bench", node}, now, 1h)), request.key,
       authority.certificate}));
}

Task<void> connect(Env env, Links& links) {
  const auto any = env::Endpoint::tcp("127.0.0.1", 0);
  const Instant soon = env.clock.monotonic() + 10s;
  const env::Authority authority =
      must(env.security.make_authority("bench", env.clock.wall(), 24h));
  links.one = member(env, authority, NodeId(1));
  links.two = member(env, authority, NodeId(2));
  Ends& plain = links.plain;
  plain.listener = must(co_await env.network.listen(any));
  plain.near = must(co_await env.network.dial(plain.listener->local(), soon));
  plain.far = must(co_await plain.listener->accept());
  Ends& secure = links.secure;
  secure.listener = must(co_await links.one->listen(any));
  secure.near = must(co_await links.two->dial(secure.listener->local(), NodeId(1), soon));
  secure.far = must(co_await secure.listener->accept());
}

Task<void> read_exactly(env::Stream& stream, std::span<char> buffer) {
  while (!buffer.empty())
    buffer = buffer.subspan(must(co_await stream.read_some(buffer)));
}

// Microseconds for one message there and back.
Task<double> ping_pong(Env env, Ends& ends) {
  const std::string message(256, 'p');
  std::array<char, 256> buffer{};
  std::uint64_t count = 0;
  const Instant begin = env.clock.monotonic();
  while (env.clock.monotonic() - begin < kTurn) {
    must(co_await ends.near->write_all(message));
    co_await read_exactly(*ends.far, buffer);
    must(co_await ends.far->write_all(message));
    co_await read_exactly(*ends.near, buffer);
    ++count;
  }
  const Duration took = env.clock.monotonic() - begin;
  co_return std::chrono::duration<double, std::micro>(took).count() / static_cast<double>(count);
}

Task<void> drain(env::Stream& stream, const bool& ended, std::uint64_t& left) {
  std::vector<char> buffer(kMebibyte / 4);
  while (!ended || left > 0)
    left -= must(co_await stream.read_some(buffer));
}

// MiB a second, in writes of `parts`.
Task<double> throughput(Env env, Ends& ends, std::span<const std::string_view> parts) {
  std::uint64_t size = 0;
  for (const std::string_view part : parts)
    size += part.size();
  std::uint64_t sent = 0;
  std::uint64_t left = 0;
  bool ended = false;
  env::Scope scope(env.executor, nullptr);
  const Instant begin = env.clock.monotonic();
  scope.spawn(drain(*ends.far, ended, left));
  while (!ended) {
    left += size;
    sent += size;
    ended = env.clock.monotonic() - begin >= kTurn;
    must(co_await ends.near->write(parts));
  }
  co_await scope.join();
  const Duration took = env.clock.monotonic() - begin;
  co_return static_cast<double>(sent) / kMebibyte / std::chrono::duration<double>(took).count();
}

Task<double> handshakes(Env env, Links& links) {
  std::uint64_t count = 0;
  const Instant begin = env.clock.monotonic();
  while (env.clock.monotonic() - begin < kTurn) {
    auto near = must(co_await links.two->dial(links.secure.listener->local(), NodeId(1),
                                              env.clock.monotonic() + 10s));
    auto far = must(co_await links.secure.listener->accept());
    ++count;
  }
  const Duration took = env.clock.monotonic() - begin;
  co_return std::chrono::duration<double, std::micro>(took).count() / static_cast<double>(count);
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

void print(const char* what, const char* unit, const std::vector<double>& plain,
           const std::vector<double>& secure) {
  std::printf("%-32s %10.1f %10.1f %-6s %6.2f\n", what, median(plain), median(secure), unit,
              median(secure) / median(plain));
}

Task<void> measure(Env env) {
  Links links;
  co_await connect(env, links);
  const std::string large(kMebibyte, 'l');
  const std::string entry(128, 'e');
  const std::array<std::string_view, 1> whole{large};
  const std::vector<std::string_view> entries(100, entry);
  std::array<std::vector<double>, 2> pings;
  std::array<std::vector<double>, 2> larges;
  std::array<std::vector<double>, 2> batches;
  std::vector<double> shakes;
  for (int round = 0; round < kRounds; ++round) {
    for (const std::size_t kind : {0u, 1u}) {
      Ends& ends = kind == 0 ? links.plain : links.secure;
      pings[kind].push_back(co_await ping_pong(env, ends));
      larges[kind].push_back(co_await throughput(env, ends, whole));
      batches[kind].push_back(co_await throughput(env, ends, entries));
    }
    shakes.push_back(co_await handshakes(env, links));
  }
  std::printf("%-32s %10s %10s %-6s %6s\n", "both ends on one thread", "plain", "secure", "",
              "ratio");
  print("256 bytes there and back", "us", pings[0], pings[1]);
  print("writes of 1 MiB", "MiB/s", larges[0], larges[1]);
  print("writes of 100 x 128 bytes", "MiB/s", batches[0], batches[1]);
  std::printf("%-32s %10s %10.1f %-6s\n", "dial, handshake, accept", "", median(shakes), "us");
}

}  // namespace
}  // namespace blixard

int main() {
  blixard::linux_side::Runtime runtime({});
  runtime.run(blixard::measure(runtime.env()));
  return 0;
}

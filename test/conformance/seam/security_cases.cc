// Secure streams: what both sides of the seam promise.

#include <array>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/limits.h"
#include "env/scope.h"
#include "env/sync.h"
#include "test/conformance/seam/seam.h"

namespace blixard::seam {
namespace {

using env::Endpoint;
using env::Env;
using env::Task;
using testing::HasSubstr;

const std::string kCluster = "0f8fad5b-d9cb-469f-a165-70867728950e";

// In a coroutine, where ASSERT_* cannot return.
#define BLX_CO_ASSERT(result)                    \
  if (!(result)) {                               \
    ADD_FAILURE() << (result).error().message(); \
    co_return;                                   \
  }                                              \
  static_assert(true)

template <class T>
std::string detail(const Result<T>& result) {
  return result ? "ok" : std::string(result.error().detail());
}

Endpoint any_port() { return Endpoint::tcp("127.0.0.1", 0); }

WallTime from_now(Env env, Duration offset) { return {env.clock.wall().unix_ms + offset / 1ms}; }

Result<env::Credentials> enrol(Env env, const env::Authority& authority, NodeId node,
                               Duration since = 0s, Duration lifetime = 24h) {
  BLX_TRY(env::KeyRequest request, env.security.make_request());
  // Node 1 is a server.
  const env::Subject subject{.cluster = kCluster, .node = node, .server = node == NodeId(1)};
  BLX_TRY(std::string certificate,
          env.security.issue(authority, request.request, subject, from_now(env, since), lifetime));
  return env::Credentials{std::move(certificate), std::move(request.key), authority.certificate};
}

Result<std::unique_ptr<env::SecureTransport>> open_as(Env env, const env::Authority& authority,
                                                      NodeId node, Duration since = 0s,
                                                      Duration lifetime = 24h) {
  BLX_TRY(const env::Credentials credentials, enrol(env, authority, node, since, lifetime));
  return env.security.open(credentials);
}

// The next `size` bytes; fewer where the stream ends.
Task<std::string> read_bytes(env::Stream& stream, std::size_t size) {
  std::string bytes(size, '\0');
  std::size_t have = 0;
  while (have < size) {
    const auto count = co_await stream.read_some(std::span(bytes).subspan(have));
    EXPECT_TRUE(count) << detail(count);
    if (!count || *count == 0) break;
    have += *count;
  }
  bytes.resize(have);
  co_return bytes;
}

// Node 1 listens, node 2 is its peer.
struct Cluster {
  env::Authority authority;
  std::unique_ptr<env::SecureTransport> one;
  std::unique_ptr<env::SecureTransport> two;
  std::unique_ptr<env::Listener> listener;
};

Task<Result<Cluster>> make_cluster(Env env) {
  Cluster cluster;
  BLX_CO_TRY(cluster.authority, env.security.make_authority(kCluster, env.clock.wall(), 240h));
  BLX_CO_TRY(cluster.one, open_as(env, cluster.authority, NodeId(1)));
  BLX_CO_TRY(cluster.two, open_as(env, cluster.authority, NodeId(2)));
  BLX_CO_TRY(cluster.listener, co_await cluster.one->listen(any_port()));
  co_return std::move(cluster);
}

struct Ends {
  std::unique_ptr<env::Stream> dialled;
  std::unique_ptr<env::Stream> accepted;
};

Task<Result<Ends>> connect(Env env, Cluster& cluster) {
  Ends ends;
  BLX_CO_TRY(ends.dialled,
             co_await cluster.two->dial(cluster.listener->local(), NodeId(1), soon(env)));
  BLX_CO_TRY(ends.accepted, co_await cluster.listener->accept());
  co_return std::move(ends);
}

Task<bool> failures_reach(Env env, env::SecureTransport& transport, std::uint64_t count) {
  const Instant deadline = soon(env);
  while (transport.handshakes_failed() < count && env.clock.monotonic() < deadline)
    (void)co_await env.clock.sleep(1ms);
  co_return transport.handshakes_failed() == count;
}

Task<void> certificates(Env env, Site /*site*/) {
  const WallTime now = env.clock.wall();
  const auto authority = env.security.make_authority(kCluster, now, 240h);
  const auto request = env.security.make_request();
  BLX_CO_ASSERT(authority);
  BLX_CO_ASSERT(request);
  const std::int64_t second = now.unix_ms / 1000 * 1000;
  const auto root = env.security.inspect(authority->certificate);
  BLX_CO_ASSERT(root);
  EXPECT_EQ(root->subject.cluster, kCluster);
  EXPECT_FALSE(root->subject.node);
  EXPECT_EQ(root->not_before.unix_ms, second - env::kBackdated / 1ms);
  EXPECT_EQ(root->not_after.unix_ms, second + 240 * 3'600'000);
  EXPECT_THAT(root->fingerprint, testing::MatchesRegex("[0-9a-f]{64}"));

  const auto issued =
      env.security.issue(*authority, request->request, {kCluster, NodeId(77)}, now, 90min);
  BLX_CO_ASSERT(issued);
  const auto leaf = env.security.inspect(*issued);
  BLX_CO_ASSERT(leaf);
  EXPECT_EQ(leaf->subject.cluster, kCluster);
  EXPECT_EQ(leaf->subject.node, NodeId(77));
  EXPECT_FALSE(leaf->subject.server);
  EXPECT_EQ(leaf->not_before.unix_ms, second - env::kBackdated / 1ms);
  EXPECT_EQ(leaf->not_after.unix_ms, second + 90 * 60'000);
  EXPECT_NE(leaf->fingerprint, root->fingerprint);
  const auto again =
      env.security.issue(*authority, request->request, {kCluster, NodeId(77)}, now, 90min);
  BLX_CO_ASSERT(again);
  EXPECT_NE(env.security.inspect(*again)->fingerprint, leaf->fingerprint);  // another serial
  const auto server =
      env.security.issue(*authority, request->request, {kCluster, NodeId(77), true}, now, 90min);
  BLX_CO_ASSERT(server);
  EXPECT_EQ(env.security.inspect(*server)->subject.node, NodeId(77));
  EXPECT_TRUE(env.security.inspect(*server)->subject.server);
}

Task<void> refused_issues(Env env, Site /*site*/) {
  const WallTime now = env.clock.wall();
  const auto authority = env.security.make_authority(kCluster, now, 240h);
  const auto other = env.security.make_authority(kCluster, now, 240h);
  const auto request = env.security.make_request();
  BLX_CO_ASSERT(authority);
  BLX_CO_ASSERT(other);
  BLX_CO_ASSERT(request);
  const auto issue = [&](const env::Authority& by, std::string_view what, env::Subject whom,
                         Duration lifetime) {
    return reason(env.security.issue(by, what, whom, now, lifetime));
  };
  const env::Subject node{kCluster, NodeId(1)};
  EXPECT_EQ(issue(*authority, request->request, node, 1h), "ok");
  EXPECT_EQ(issue({authority->certificate, other->key}, request->request, node, 1h), "key_invalid");
  EXPECT_EQ(issue({authority->certificate, "no key"}, request->request, node, 1h), "key_invalid");
  EXPECT_EQ(issue({"none", authority->key}, request->request, node, 1h), "certificate_invalid");
  EXPECT_EQ(issue(*authority, "no request", node, 1h), "request_invalid");
  EXPECT_EQ(issue(*authority, authority->certificate, node, 1h), "request_invalid");
  EXPECT_EQ(issue(*authority, request->request, {"another", NodeId(1)}, 1h), "certificate_invalid");
  EXPECT_EQ(issue(*authority, request->request, {kCluster, NodeId()}, 1h), "certificate_invalid");
  EXPECT_EQ(issue(*authority, request->request, node, 0s), "certificate_invalid");
  for (const char* name : {"", "UPPER", "a/b", "a b",
                           "0123456789012345678901234567890123456789012345678901234567890123"}) {
    EXPECT_EQ(reason(env.security.make_authority(name, now, 1h)), "certificate_invalid") << name;
  }
  // A node's certificate signs nothing.
  const auto credentials = enrol(env, *authority, NodeId(1));
  BLX_CO_ASSERT(credentials);
  EXPECT_EQ(issue({credentials->certificate, credentials->key}, request->request, node, 1h),
            "certificate_invalid");
  EXPECT_EQ(reason(env.security.inspect("")), "certificate_invalid");
  EXPECT_EQ(reason(env.security.inspect(request->request)), "certificate_invalid");
  EXPECT_EQ(reason(env.security.inspect(std::string(1 << 20, 'x'))), "certificate_invalid");
  // Any damage is found, in the request and in the certificate.
  const auto damaged = [](std::string text) {
    const auto at = text.size() / 2;
    text[at] = text[at] == 'A' ? 'B' : 'A';
    return text;
  };
  EXPECT_EQ(issue(*authority, damaged(request->request), node, 1h), "request_invalid");
  env::Credentials bent = *credentials;
  bent.certificate = damaged(bent.certificate);
  EXPECT_EQ(reason(env.security.open(bent)), "credentials_invalid");
}

Task<void> credentials_that_do_not_fit(Env env, Site /*site*/) {
  const WallTime now = env.clock.wall();
  const auto authority = env.security.make_authority(kCluster, now, 240h);
  const auto other = env.security.make_authority(kCluster, now, 240h);
  BLX_CO_ASSERT(authority);
  BLX_CO_ASSERT(other);
  const auto one = enrol(env, *authority, NodeId(1));
  const auto two = enrol(env, *authority, NodeId(2));
  BLX_CO_ASSERT(one);
  BLX_CO_ASSERT(two);
  const auto opened = [&](env::Credentials credentials) {
    return reason(env.security.open(credentials));
  };
  EXPECT_EQ(opened({one->certificate, two->key, one->authority}), "credentials_invalid");
  EXPECT_EQ(opened({one->certificate, one->key, other->certificate}), "credentials_invalid");
  EXPECT_EQ(opened({one->certificate, one->key, two->certificate}), "credentials_invalid");
  EXPECT_EQ(opened({authority->certificate, authority->key, authority->certificate}),
            "credentials_invalid");
  EXPECT_EQ(opened({}), "credentials_invalid");
  EXPECT_EQ(opened(*one), "ok");
}

Task<void> mutual_identity(Env env, Site /*site*/) {
  auto cluster = co_await make_cluster(env);
  BLX_CO_ASSERT(cluster);
  auto ends = co_await connect(env, *cluster);
  BLX_CO_ASSERT(ends);
  EXPECT_EQ(ends->dialled->peer().node, NodeId(1));
  EXPECT_EQ(ends->dialled->peer().cluster, kCluster);
  EXPECT_TRUE(ends->dialled->peer().server);
  EXPECT_EQ(ends->dialled->peer().address, cluster->listener->local().text());
  EXPECT_EQ(ends->accepted->peer().node, NodeId(2));
  EXPECT_EQ(ends->accepted->peer().cluster, kCluster);
  EXPECT_FALSE(ends->accepted->peer().server);
  EXPECT_EQ(ends->accepted->peer().uid, -1);
  // The other way round: also who accepts learns that a server has come.
  auto at_two = co_await cluster->two->listen(any_port());
  BLX_CO_ASSERT(at_two);
  const auto back = co_await cluster->one->dial((*at_two)->local(), NodeId(2), soon(env));
  BLX_CO_ASSERT(back);
  EXPECT_FALSE((*back)->peer().server);
  const auto server = co_await (*at_two)->accept();
  BLX_CO_ASSERT(server);
  EXPECT_EQ((*server)->peer().node, NodeId(1));
  EXPECT_TRUE((*server)->peer().server);
  // Whoever it is.
  const auto anyone = co_await cluster->two->dial(cluster->listener->local(), NodeId(), soon(env));
  BLX_CO_ASSERT(anyone);
  EXPECT_EQ((*anyone)->peer().node, NodeId(1));
  EXPECT_EQ(cluster->one->handshakes_failed(), 0u);
}

Task<void> wrong_node(Env env, Site /*site*/) {
  auto cluster = co_await make_cluster(env);
  BLX_CO_ASSERT(cluster);
  const auto wrong = co_await cluster->two->dial(cluster->listener->local(), NodeId(3), soon(env));
  EXPECT_EQ(code(wrong), Code::kPermissionDenied);
  EXPECT_EQ(reason(wrong), "peer_identity_wrong");
  EXPECT_THAT(detail(wrong), HasSubstr("node 1 answers instead of node 3"));
  // The acceptor is told before it accepts: the next stream is the next dialler's.
  if (!co_await failures_reach(env, *cluster->one, 1)) {
    ADD_FAILURE() << "the wrong stream was accepted";
    co_return;
  }
  auto ends = co_await connect(env, *cluster);
  BLX_CO_ASSERT(ends);
  EXPECT_TRUE(co_await ends->dialled->write_all("x"));
  EXPECT_EQ(co_await read_bytes(*ends->accepted, 1), "x");
}

// What a dial is told when one of both has other credentials than the cluster's.
Task<void> expect_refusal(Env env, const env::Authority& authority, Duration since,
                          std::string by_us, std::string by_them) {
  auto cluster = co_await make_cluster(env);
  BLX_CO_ASSERT(cluster);
  auto odd = open_as(env, authority.certificate.empty() ? cluster->authority : authority, NodeId(2),
                     since, 1h);
  BLX_CO_ASSERT(odd);
  auto odd_listener = co_await (*odd)->listen(any_port());
  BLX_CO_ASSERT(odd_listener);
  const auto to_odd = co_await cluster->two->dial((*odd_listener)->local(), NodeId(2), soon(env));
  EXPECT_EQ(code(to_odd), Code::kPermissionDenied);
  EXPECT_EQ(reason(to_odd), "certificate_refused") << detail(to_odd);
  EXPECT_THAT(detail(to_odd), HasSubstr("we refused the certificate: " + by_us));
  EXPECT_TRUE(co_await failures_reach(env, **odd, 1));
  const auto from_odd = co_await (*odd)->dial(cluster->listener->local(), NodeId(1), soon(env));
  EXPECT_EQ(code(from_odd), Code::kPermissionDenied);
  EXPECT_EQ(reason(from_odd), "certificate_refused") << detail(from_odd);
  EXPECT_THAT(detail(from_odd), HasSubstr(by_them));
  EXPECT_TRUE(co_await failures_reach(env, *cluster->one, 1));
}

Task<void> foreign_authority(Env env, Site /*site*/) {
  const auto foreign = env.security.make_authority(kCluster, env.clock.wall(), 240h);
  BLX_CO_ASSERT(foreign);
  // The odd one does not believe the cluster either, so both refuse by themselves.
  co_await expect_refusal(env, *foreign, 0s, "unknown authority",
                          "we refused the certificate: unknown authority");
}

Task<void> expired(Env env, Site /*site*/) {
  co_await expect_refusal(env, {}, -2h, "expired", "the other end refused our certificate");
}

Task<void> not_yet_valid(Env env, Site /*site*/) {
  co_await expect_refusal(env, {}, env::kBackdated + 1h, "not valid yet",
                          "the other end refused our certificate");
}

Task<void> enrolment(Env env, Site /*site*/) {
  auto cluster = co_await make_cluster(env);
  BLX_CO_ASSERT(cluster);
  const auto facts = env.security.inspect(cluster->authority.certificate);
  BLX_CO_ASSERT(facts);
  const Endpoint endpoint = cluster->listener->local();
  auto dialled = co_await env.security.dial_to_enrol(endpoint, facts->fingerprint, soon(env));
  BLX_CO_ASSERT(dialled);
  auto accepted = co_await cluster->listener->accept();
  BLX_CO_ASSERT(accepted);
  EXPECT_EQ((*dialled)->peer().node, NodeId(1));
  EXPECT_EQ((*dialled)->peer().cluster, kCluster);
  EXPECT_EQ((*accepted)->peer().node, NodeId());
  EXPECT_EQ((*accepted)->peer().cluster, "");
  EXPECT_FALSE((*accepted)->peer().server);
  EXPECT_TRUE(co_await (*dialled)->write_all("join"));
  (*dialled)->close();
  EXPECT_EQ(co_await read_to_end(**accepted), "join");

  const auto other = env.security.make_authority(kCluster, env.clock.wall(), 1h);
  BLX_CO_ASSERT(other);
  std::uint64_t failures = 0;
  for (const std::string& wrong : {env.security.inspect(other->certificate)->fingerprint,
                                   std::string(), std::string("zz"), std::string(64, '0')}) {
    const auto refused = co_await env.security.dial_to_enrol(endpoint, wrong, soon(env));
    EXPECT_EQ(reason(refused), "certificate_refused");
    EXPECT_THAT(detail(refused), HasSubstr("unknown authority"));
    EXPECT_TRUE(co_await failures_reach(env, *cluster->one, ++failures));
  }
}

// Whoever has a token says its secret to a server and to nobody else.
Task<void> enrolment_at_a_worker(Env env, Site /*site*/) {
  auto cluster = co_await make_cluster(env);
  BLX_CO_ASSERT(cluster);
  const auto facts = env.security.inspect(cluster->authority.certificate);
  BLX_CO_ASSERT(facts);
  auto listener = co_await cluster->two->listen(any_port());
  BLX_CO_ASSERT(listener);
  const auto refused =
      co_await env.security.dial_to_enrol((*listener)->local(), facts->fingerprint, soon(env));
  EXPECT_EQ(code(refused), Code::kPermissionDenied);
  EXPECT_EQ(reason(refused), "certificate_refused");
  EXPECT_THAT(detail(refused), HasSubstr("we refused the certificate: a worker's"));
  EXPECT_TRUE(co_await failures_reach(env, *cluster->two, 1));
  // A member believes it all the same.
  EXPECT_TRUE(co_await cluster->one->dial((*listener)->local(), NodeId(2), soon(env)));
}

Task<void> replaced_credentials(Env env, Site /*site*/) {
  auto cluster = co_await make_cluster(env);
  BLX_CO_ASSERT(cluster);
  auto old = co_await connect(env, *cluster);
  BLX_CO_ASSERT(old);
  EXPECT_EQ(reason(cluster->one->replace({})), "credentials_invalid");
  EXPECT_TRUE(co_await connect(env, *cluster));  // with the old ones

  // A new authority and new certificates: the listener takes them without being made again.
  const auto next = env.security.make_authority(kCluster, env.clock.wall(), 240h);
  BLX_CO_ASSERT(next);
  const auto one = enrol(env, *next, NodeId(1));
  const auto two = enrol(env, *next, NodeId(2));
  BLX_CO_ASSERT(one);
  BLX_CO_ASSERT(two);
  EXPECT_TRUE(cluster->one->replace(*one));
  EXPECT_EQ(reason(co_await cluster->two->dial(cluster->listener->local(), NodeId(1), soon(env))),
            "certificate_refused");
  EXPECT_TRUE(cluster->two->replace(*two));
  auto fresh = co_await connect(env, *cluster);
  BLX_CO_ASSERT(fresh);
  EXPECT_EQ(fresh->accepted->peer().node, NodeId(2));

  for (Ends* ends : {&*old, &*fresh}) {
    EXPECT_TRUE(co_await ends->dialled->write_all("still"));
    EXPECT_EQ(co_await read_bytes(*ends->accepted, 5), "still");
    EXPECT_TRUE(co_await ends->accepted->write_all("here"));
    EXPECT_EQ(co_await read_bytes(*ends->dialled, 4), "here");
  }
}

// `bytes` in parts of very different sizes, 300 at a time.
Task<void> write_in_parts(env::Stream& stream, std::string_view bytes) {
  std::size_t number = 0;
  while (!bytes.empty()) {
    std::vector<std::string_view> parts;
    while (parts.size() < 300 && !bytes.empty()) {
      const std::size_t size = ++number % 1000 == 0 ? 200'000 : number * 7919 % 400;
      parts.push_back(bytes.substr(0, size));
      bytes.remove_prefix(parts.back().size());
    }
    const auto written = co_await stream.write(parts);
    EXPECT_TRUE(written);
    if (!written) co_return;
  }
}

Task<void> read_all_of(env::Stream& stream, std::size_t size, std::string& bytes) {
  std::vector<char> buffer(50'000);
  while (bytes.size() < size) {
    const auto count = co_await stream.read_some(buffer);
    EXPECT_TRUE(count) << detail(count);
    if (!count || *count == 0) break;
    bytes.append(buffer.data(), *count);
  }
}

Task<void> large_transfers(Env env, Site /*site*/) {
  constexpr std::size_t kSize = std::size_t{10} << 20;
  auto cluster = co_await make_cluster(env);
  BLX_CO_ASSERT(cluster);
  auto ends = co_await connect(env, *cluster);
  BLX_CO_ASSERT(ends);
  const std::string there = env.random.hex(kSize / 2);
  const std::string back = env.random.hex(kSize / 2);
  std::string there_read;
  std::string back_read;
  env::Scope scope(env.executor, co_await env::this_cancellation());
  scope.spawn(write_in_parts(*ends->dialled, there));
  scope.spawn(write_in_parts(*ends->accepted, back));
  scope.spawn(read_all_of(*ends->accepted, kSize, there_read));
  scope.spawn(read_all_of(*ends->dialled, kSize, back_read));
  co_await scope.join();
  EXPECT_TRUE(there == there_read);
  EXPECT_TRUE(back == back_read);
}

Task<void> secure_end_of_stream(Env env, Site /*site*/) {
  auto cluster = co_await make_cluster(env);
  BLX_CO_ASSERT(cluster);
  auto ends = co_await connect(env, *cluster);
  BLX_CO_ASSERT(ends);
  EXPECT_TRUE(co_await ends->accepted->write({}));
  EXPECT_TRUE(co_await ends->accepted->write_all(""));
  EXPECT_TRUE(co_await ends->accepted->write_all("goodbye"));
  ends->accepted->close();
  ends->accepted->close();
  EXPECT_EQ(co_await read_to_end(*ends->dialled), "goodbye");
  EXPECT_EQ(co_await read_to_end(*ends->dialled), "");
  EXPECT_EQ(reason(co_await ends->accepted->write_all("x")), "closed");
  EXPECT_EQ(reason(co_await read_to_end(*ends->accepted)), "closed");
  Result<void> written;
  while (written)
    written = co_await ends->dialled->write_all("anyone?");
  EXPECT_EQ(code(written), Code::kUnavailable);
  ends->dialled.reset();
  auto next = co_await connect(env, *cluster);
  BLX_CO_ASSERT(next);
  EXPECT_TRUE(co_await next->dialled->write_all("by its end"));
  next->dialled.reset();
  EXPECT_EQ(co_await read_to_end(*next->accepted), "by its end");
}

template <class T>
Task<void> keep_code(Task<Result<T>> task, std::vector<Code>& codes) {
  codes.push_back(code(co_await std::move(task)));
}

Task<Result<void>> write_forever(env::Stream& stream) {
  const std::string block(100'000, 'x');
  while (true)
    BLX_CO_TRY(co_await stream.write_all(block));
}

Task<void> secure_waits_end(Env env, Site /*site*/) {
  auto cluster = co_await make_cluster(env);
  BLX_CO_ASSERT(cluster);
  std::array<char, 10> buffer{};
  std::vector<Code> codes;
  {
    auto ends = co_await connect(env, *cluster);
    BLX_CO_ASSERT(ends);
    env::Scope scope(env.executor, co_await env::this_cancellation());
    scope.spawn(keep_code(cluster->listener->accept(), codes));
    scope.spawn(keep_code(ends->accepted->read_some(buffer), codes));
    scope.spawn(keep_code(write_forever(*ends->accepted), codes));
    EXPECT_TRUE(co_await env.clock.sleep(20ms));
    EXPECT_TRUE(codes.empty());
    scope.cancel();
    co_await scope.join();
    EXPECT_THAT(codes, testing::AllOf(testing::SizeIs(3), testing::Each(Code::kCancelled)));
    // A cancelled read has lost nothing.
    EXPECT_TRUE(co_await ends->dialled->write_all("later"));
    EXPECT_EQ(co_await read_bytes(*ends->accepted, 5), "later");
  }
  codes.clear();
  auto ends = co_await connect(env, *cluster);
  BLX_CO_ASSERT(ends);
  env::Scope scope(env.executor, co_await env::this_cancellation());
  scope.spawn(keep_code(ends->accepted->read_some(buffer), codes));
  scope.spawn(keep_code(write_forever(*ends->accepted), codes));
  scope.spawn(keep_code(cluster->listener->accept(), codes));
  EXPECT_TRUE(co_await env.clock.sleep(20ms));
  ends->accepted->close();
  cluster->listener->close();
  co_await scope.join();
  EXPECT_THAT(codes, testing::AllOf(testing::SizeIs(3), testing::Each(Code::kUnavailable)));
  EXPECT_EQ(reason(co_await cluster->listener->accept()), "closed");
}

Task<void> silent_clients(Env env, Site /*site*/) {
  auto cluster = co_await make_cluster(env);
  BLX_CO_ASSERT(cluster);
  const Endpoint endpoint = cluster->listener->local();
  const Instant begin = env.clock.monotonic();
  std::vector<std::unique_ptr<env::Stream>> silent;
  for (std::size_t i = 0; i + 1 < limits::kHandshakesMax; ++i) {
    auto stream = co_await env.network.dial(endpoint, soon(env));
    BLX_CO_ASSERT(stream);
    silent.push_back(std::move(*stream));
  }
  // They hold up nobody...
  auto ends = co_await connect(env, *cluster);
  BLX_CO_ASSERT(ends);
  EXPECT_LT(env.clock.monotonic() - begin, limits::kHandshakeTimeout);
  EXPECT_EQ(cluster->one->handshakes_failed(), 0u);
  // ... and are dropped in time.
  for (const auto& stream : silent) {
    std::array<char, 10> buffer{};
    const auto count = co_await stream->read_some(buffer);
    EXPECT_EQ(count.value_or(0), 0u);
  }
  const Duration took = env.clock.monotonic() - begin;
  EXPECT_GE(took, limits::kHandshakeTimeout);
  EXPECT_LT(took, 2 * limits::kHandshakeTimeout);
  EXPECT_TRUE(co_await failures_reach(env, *cluster->one, silent.size()));
  EXPECT_TRUE(co_await connect(env, *cluster));
}

// More of them than may be in a handshake: the oldest make room at once.
Task<void> many_silent_clients(Env env, Site /*site*/) {
  auto cluster = co_await make_cluster(env);
  BLX_CO_ASSERT(cluster);
  const Instant begin = env.clock.monotonic();
  std::vector<std::unique_ptr<env::Stream>> silent;
  for (std::size_t i = 0; i < limits::kHandshakesMax + 10; ++i) {
    auto stream = co_await env.network.dial(cluster->listener->local(), soon(env));
    BLX_CO_ASSERT(stream);
    silent.push_back(std::move(*stream));
  }
  EXPECT_TRUE(co_await connect(env, *cluster));
  EXPECT_TRUE(co_await failures_reach(env, *cluster->one, 11));
  EXPECT_LT(env.clock.monotonic() - begin, limits::kHandshakeTimeout);
  std::array<char, 10> buffer{};
  EXPECT_EQ((co_await silent.front()->read_some(buffer)).value_or(0), 0u);
  EXPECT_LT(env.clock.monotonic() - begin, limits::kHandshakeTimeout);
}

Task<void> no_handshake(Env env, Site /*site*/) {
  auto cluster = co_await make_cluster(env);
  BLX_CO_ASSERT(cluster);
  // A client without encryption.
  auto plain = co_await env.network.dial(cluster->listener->local(), soon(env));
  BLX_CO_ASSERT(plain);
  EXPECT_TRUE(co_await (*plain)->write_all("GET / HTTP/1.1\r\n\r\n"));
  EXPECT_TRUE(co_await failures_reach(env, *cluster->one, 1));
  // Servers that say nothing, end at once, or are not there.
  auto listener = co_await env.network.listen(any_port());
  BLX_CO_ASSERT(listener);
  const Endpoint endpoint = (*listener)->local();
  const Instant brief = env.clock.monotonic() + 50ms;
  const auto late = co_await cluster->two->dial(endpoint, NodeId(1), brief);
  EXPECT_EQ(code(late), Code::kDeadlineExceeded);
  EXPECT_EQ(reason(late), "handshake_timed_out");
  EXPECT_GE(env.clock.monotonic(), brief);
  listener->reset();
  EXPECT_EQ(reason(co_await cluster->two->dial(endpoint, NodeId(1), soon(env))),
            "connection_refused");
}

Task<void> dial_and_note(Env env, env::SecureTransport& transport, Endpoint endpoint,
                         std::size_t& done) {
  const auto stream = co_await transport.dial(endpoint, NodeId(1), soon(env));
  EXPECT_TRUE(stream) << detail(stream);
  if (stream) ++done;
}

Task<void> handshakes_at_once(Env env, Site /*site*/) {
  constexpr std::size_t kCount = 40;
  auto cluster = co_await make_cluster(env);
  BLX_CO_ASSERT(cluster);
  std::size_t dialled = 0;
  env::Scope scope(env.executor, co_await env::this_cancellation());
  for (std::size_t i = 0; i < kCount; ++i)
    scope.spawn(dial_and_note(env, *cluster->two, cluster->listener->local(), dialled));
  for (std::size_t i = 0; i < kCount; ++i) {
    const auto stream = co_await cluster->listener->accept();
    EXPECT_TRUE(stream);
    if (stream) EXPECT_EQ((*stream)->peer().node, NodeId(2));
  }
  co_await scope.join();
  EXPECT_EQ(dialled, kCount);
}

// A listener that goes away takes what it has not handed out with it.
Task<void> listener_ends(Env env, Site /*site*/) {
  auto cluster = co_await make_cluster(env);
  BLX_CO_ASSERT(cluster);
  const Endpoint endpoint = cluster->listener->local();
  auto silent = co_await env.network.dial(endpoint, soon(env));
  auto waiting = co_await cluster->two->dial(endpoint, NodeId(1), soon(env));
  BLX_CO_ASSERT(silent);
  BLX_CO_ASSERT(waiting);
  cluster->listener.reset();
  cluster->one.reset();
  EXPECT_NE(reason(co_await (*silent)->write_all("x")), "closed");
  std::array<char, 10> buffer{};
  EXPECT_EQ((co_await (*waiting)->read_some(buffer)).value_or(0), 0u);
  EXPECT_EQ((co_await (*silent)->read_some(buffer)).value_or(0), 0u);
}

constexpr std::array kCases{
    Case{"Certificates", certificates},
    Case{"RefusedIssues", refused_issues},
    Case{"CredentialsThatDoNotFit", credentials_that_do_not_fit},
    Case{"MutualIdentity", mutual_identity},
    Case{"WrongNode", wrong_node},
    Case{"ForeignAuthority", foreign_authority},
    Case{"Expired", expired},
    Case{"NotYetValid", not_yet_valid},
    Case{"Enrolment", enrolment},
    Case{"EnrolmentAtAWorker", enrolment_at_a_worker},
    Case{"ReplacedCredentials", replaced_credentials},
    Case{"LargeTransfers", large_transfers},
    Case{"SecureEndOfStream", secure_end_of_stream},
    Case{"SecureWaitsEnd", secure_waits_end},
    Case{"SilentClients", silent_clients},
    Case{"ManySilentClients", many_silent_clients},
    Case{"NoHandshake", no_handshake},
    Case{"HandshakesAtOnce", handshakes_at_once},
    Case{"ListenerEnds", listener_ends},
};

}  // namespace

std::span<const Case> security_cases() { return kCases; }

}  // namespace blixard::seam

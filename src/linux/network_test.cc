#include "linux/network.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <array>
#include <cstring>
#include <numeric>
#include <utility>

#include <gtest/gtest.h>

#include "env/accept_loop.h"
#include "linux/stream_socket.h"
#include "linux/test_runtime.h"

namespace blixard::linux_side {
namespace {

using env::Endpoint;

class NetworkTest : public RuntimeTest {
 protected:
  struct Pair {
    std::unique_ptr<env::Stream> client;
    std::unique_ptr<env::Stream> server;
  };

  env::Task<Result<Pair>> connect(env::Listener& listener) {
    Pair pair;
    std::optional<Result<std::unique_ptr<env::Stream>>> accepted;
    const auto accept = [&]() -> env::Task<void> { accepted.emplace(co_await listener.accept()); };
    env::Scope scope(env().executor, co_await env::this_cancellation());
    scope.spawn(accept());
    auto dialled = co_await env().network.dial(listener.local(), in(10s));
    if (!dialled) scope.cancel();
    co_await scope.join();
    BLX_CO_TRY(pair.client, std::move(dialled));
    BLX_CO_TRY(pair.server, std::move(*accepted));
    co_return std::move(pair);
  }

  static env::Task<Result<std::string>> read_to_end(env::Stream& stream) {
    std::string all;
    std::array<char, 5000> buffer{};
    while (true) {
      BLX_CO_TRY(const std::size_t count, co_await stream.read_some(buffer));
      if (count == 0) co_return std::move(all);
      all.append(buffer.data(), count);
    }
  }

  static env::Task<void> echo(env::Stream& stream) {
    std::array<char, 3000> buffer{};
    while (true) {
      const auto count = co_await stream.read_some(buffer);
      if (!count || *count == 0) break;
      if (!co_await stream.write_all({buffer.data(), *count})) break;
    }
    stream.close();
  }
};

TEST_F(NetworkTest, EchoesManyPartsOverTcpAndUnix) {
  run([this](env::Env env) -> env::Task<void> {
    for (const Endpoint& endpoint : {Endpoint::tcp("127.0.0.1", 0), Endpoint::tcp("::1", 0),
                                     Endpoint::unix_socket(path("s"))}) {
      auto listener = co_await env.network.listen(endpoint);
      BLX_CO_ASSERT(listener);
      auto pair = co_await connect(**listener);
      BLX_CO_ASSERT(pair);
      env::Scope scope(env.executor, co_await env::this_cancellation());
      scope.spawn(echo(*pair->server));
      // More parts and bytes than one call or one socket buffer takes, some of them empty.
      std::vector<std::string> texts;
      for (int i = 0; i < 1000; ++i)
        texts.push_back(
            std::string(static_cast<std::size_t>(i % 7 == 0 ? 0 : i * 9), 'a' + i % 26));
      const std::vector<std::string_view> parts(texts.begin(), texts.end());
      const std::string expected = std::accumulate(texts.begin(), texts.end(), std::string());
      std::string got;
      const auto read = [&]() -> env::Task<void> {
        std::array<char, 4096> buffer{};
        while (got.size() < expected.size()) {
          const auto count = co_await pair->client->read_some(buffer);
          if (!count || *count == 0) co_return;
          got.append(buffer.data(), *count);
        }
      };
      scope.spawn(read());
      EXPECT_EQ(reason_of(co_await pair->client->write(parts)), "ok");
      EXPECT_TRUE(co_await eventually([&] { return got.size() >= expected.size(); }));
      EXPECT_TRUE(got == expected) << endpoint.text();
      pair->client->close();
      co_await scope.join();
    }
  });
}

TEST_F(NetworkTest, TheEndOfThePeerReadsAsZeroAndLateWritesFail) {
  run([this](env::Env env) -> env::Task<void> {
    auto listener = co_await env.network.listen(Endpoint::tcp("127.0.0.1", 0));
    BLX_CO_ASSERT(listener);
    auto pair = co_await connect(**listener);
    BLX_CO_ASSERT(pair);
    EXPECT_EQ(reason_of(co_await pair->client->write_all("bye")), "ok");
    pair->client->close();
    pair->client->close();
    EXPECT_EQ((co_await read_to_end(*pair->server)).value(), "bye");
    Result<void> written;
    for (int i = 0; i < 100 && written; ++i) {
      written = co_await pair->server->write_all(std::string(100'000, 'x'));
    }
    EXPECT_EQ(written.error().code(), Code::kUnavailable);
    EXPECT_EQ(reason_of(co_await pair->client->write_all("x")), "closed");
    std::array<char, 8> buffer{};
    EXPECT_EQ(reason_of(co_await pair->client->read_some(buffer)), "closed");
  });
}

TEST_F(NetworkTest, CloseEndsPendingOperations) {
  run([this](env::Env env) -> env::Task<void> {
    auto listener = co_await env.network.listen(Endpoint::unix_socket(path("s")));
    BLX_CO_ASSERT(listener);
    auto pair = co_await connect(**listener);
    BLX_CO_ASSERT(pair);
    std::string read;
    std::string written;
    std::string accepted;
    const auto reading = [&]() -> env::Task<void> {
      std::array<char, 8> buffer{};
      read = reason_of(co_await pair->client->read_some(buffer));
    };
    const auto writing = [&]() -> env::Task<void> {
      written = reason_of(co_await pair->client->write_all(std::string(10'000'000, 'x')));
    };
    const auto accepting = [&]() -> env::Task<void> {
      accepted = reason_of(co_await (*listener)->accept());
    };
    env::Scope scope(env.executor, co_await env::this_cancellation());
    scope.spawn(reading());
    scope.spawn(writing());
    scope.spawn(accepting());
    co_await let_run();
    pair->client->close();
    (*listener)->close();
    co_await scope.join();
    EXPECT_EQ(read, "closed");
    EXPECT_EQ(written, "closed");
    EXPECT_EQ(accepted, "closed");
    EXPECT_EQ(reason_of(co_await (*listener)->accept()), "closed");
  });
}

TEST_F(NetworkTest, CancellingOneReaderLeavesTheWriterAlone) {
  run([this](env::Env env) -> env::Task<void> {
    auto listener = co_await env.network.listen(Endpoint::unix_socket(path("s")));
    BLX_CO_ASSERT(listener);
    auto pair = co_await connect(**listener);
    BLX_CO_ASSERT(pair);
    std::string read;
    std::string written;
    const auto reading = [&]() -> env::Task<void> {
      std::array<char, 8> buffer{};
      read = reason_of(co_await pair->client->read_some(buffer));
    };
    const auto writing = [&]() -> env::Task<void> {
      written = reason_of(co_await pair->client->write_all(std::string(5'000'000, 'x')));
      pair->client->close();
    };
    env::Scope readers(env.executor, co_await env::this_cancellation());
    env::Scope writers(env.executor, co_await env::this_cancellation());
    readers.spawn(reading());
    writers.spawn(writing());
    co_await let_run();
    readers.cancel();
    co_await readers.join();
    EXPECT_EQ(read, "cancelled");
    EXPECT_EQ(written, "");
    EXPECT_EQ((co_await read_to_end(*pair->server)).value().size(), 5'000'000u);
    co_await writers.join();
    EXPECT_EQ(written, "ok");
  });
}

TEST_F(NetworkTest, AcceptAndReadAreCancelled) {
  run([this](env::Env env) -> env::Task<void> {
    auto listener = co_await env.network.listen(Endpoint::tcp("127.0.0.1", 0));
    BLX_CO_ASSERT(listener);
    EXPECT_EQ(reason_of(co_await env::with_deadline(env.executor, env.clock, in(20ms),
                                                    (*listener)->accept())),
              "deadline_exceeded");
    auto pair = co_await connect(**listener);
    BLX_CO_ASSERT(pair);
    std::array<char, 8> buffer{};
    EXPECT_EQ(reason_of(co_await env::with_deadline(env.executor, env.clock, in(20ms),
                                                    pair->client->read_some(buffer))),
              "deadline_exceeded");
    // The stream is still of use.
    EXPECT_EQ(reason_of(co_await pair->server->write_all("late")), "ok");
    EXPECT_EQ((co_await pair->client->read_some(buffer)).value(), 4u);
  });
}

TEST_F(NetworkTest, AUnixPeerIsKnownByItsUid) {
  run([this](env::Env env) -> env::Task<void> {
    auto listener = co_await env.network.listen(Endpoint::unix_socket(path("s")));
    BLX_CO_ASSERT(listener);
    auto pair = co_await connect(**listener);
    BLX_CO_ASSERT(pair);
    EXPECT_EQ(pair->server->peer().uid, static_cast<std::int64_t>(getuid()));
    auto tcp = co_await env.network.listen(Endpoint::tcp("127.0.0.1", 0));
    BLX_CO_ASSERT(tcp);
    auto over_tcp = co_await connect(**tcp);
    BLX_CO_ASSERT(over_tcp);
    EXPECT_EQ(over_tcp->server->peer().uid, -1);
    EXPECT_TRUE(over_tcp->server->peer().address.starts_with("127.0.0.1:"));
  });
}

// The bytes, and the descriptor that came with them.
std::pair<std::string, Fd> receive(int socket) {
  std::string bytes(64, '\0');
  iovec vector{bytes.data(), bytes.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t count = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  bytes.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header == nullptr || header->cmsg_type != SCM_RIGHTS) return {bytes, Fd()};
  int descriptor = -1;
  std::memcpy(&descriptor, CMSG_DATA(header), sizeof descriptor);
  return {bytes, Fd(descriptor)};
}

TEST_F(NetworkTest, AStreamIsHandedOverAUnixSocket) {
  run([this](env::Env env) -> env::Task<void> {
    const auto endpoint = Endpoint::unix_socket(path("s"));
    const auto address = to_socket_address(endpoint).value();
    const Fd listening(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(bind(listening.get(), &address.any, address.size), 0);
    EXPECT_EQ(listen(listening.get(), 1), 0);
    auto stream = co_await env.network.dial(endpoint, in(10s));
    BLX_CO_ASSERT(stream);
    const Fd program(accept4(listening.get(), nullptr, nullptr, SOCK_CLOEXEC));
    auto pair = co_await env.network.pair();
    BLX_CO_ASSERT(pair);
    BLX_CO_ASSERT(co_await (*stream)->write_with("take it\n", std::move(pair->theirs)));
    auto [bytes, taken] = receive(program.get());
    EXPECT_EQ(bytes, "take it\n");
    EXPECT_TRUE(taken);

    EXPECT_EQ(write(taken.get(), "theirs", 6), 6);
    std::array<char, 100> buffer{};
    const auto count = co_await pair->ours->read_some(buffer);
    BLX_CO_ASSERT(count);
    EXPECT_EQ(std::string_view(buffer.data(), *count), "theirs");
    BLX_CO_ASSERT(co_await pair->ours->write_all("ours"));
    EXPECT_EQ(receive(taken.get()).first, "ours");
    taken = Fd();  // nobody else has it
    EXPECT_EQ((co_await pair->ours->read_some(buffer)).value(), 0u);
  });
}

TEST_F(NetworkTest, AUnixSocketIsPrivateAndGoesWithItsListener) {
  run([this](env::Env env) -> env::Task<void> {
    {
      auto listener = co_await env.network.listen(Endpoint::unix_socket(path("s")));
      BLX_CO_ASSERT(listener);
      struct stat status{};
      EXPECT_EQ(stat(path("s").c_str(), &status), 0);
      EXPECT_EQ(status.st_mode, static_cast<mode_t>(S_IFSOCK | 0600));
      EXPECT_EQ((*listener)->local(), Endpoint::unix_socket(path("s")));
    }
    EXPECT_FALSE(std::filesystem::exists(path("s")));
  });
}

TEST_F(NetworkTest, ASocketInUseIsKeptAStaleOneReplaced) {
  run([this](env::Env env) -> env::Task<void> {
    const auto endpoint = Endpoint::unix_socket(path("s"));
    {
      // What a killed process leaves: bound, with nobody listening.
      const auto address = to_socket_address(endpoint).value();
      const Fd dead(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
      EXPECT_EQ(bind(dead.get(), &address.any, address.size), 0);
    }
    EXPECT_TRUE(std::filesystem::exists(path("s")));
    auto listener = co_await env.network.listen(endpoint);
    BLX_CO_ASSERT(listener);
    EXPECT_EQ(reason_of(co_await env.network.listen(endpoint)), "address_in_use");
    EXPECT_TRUE((co_await connect(**listener)).has_value());
    // Neither a file nor a successor's socket is touched.
    std::filesystem::rename(path("s"), path("moved"));
    EXPECT_TRUE((co_await env.disk.open(path("s"), env::OpenMode::kCreateNew)).has_value());
    EXPECT_EQ(reason_of(co_await env.network.listen(endpoint)), "address_in_use");
    listener->reset();
    EXPECT_TRUE(std::filesystem::exists(path("s")));
  });
}

TEST_F(NetworkTest, APortInUseIsAnError) {
  run([](env::Env env) -> env::Task<void> {
    auto listener = co_await env.network.listen(Endpoint::tcp("127.0.0.1", 0));
    BLX_CO_ASSERT(listener);
    EXPECT_NE((*listener)->local().port, 0);
    auto second = co_await env.network.listen((*listener)->local());
    EXPECT_EQ(reason_of(second), "address_in_use");
    EXPECT_EQ(second.error().code(), Code::kAlreadyExists);
  });
}

TEST_F(NetworkTest, BadAddressesAreErrors) {
  run([this](env::Env env) -> env::Task<void> {
    EXPECT_EQ(reason_of(co_await env.network.listen(Endpoint::tcp("localhost", 0))),
              "address_invalid");
    EXPECT_EQ(reason_of(co_await env.network.listen(Endpoint::tcp("203.0.113.1", 0))),
              "address_not_local");
    EXPECT_EQ(reason_of(co_await env.network.listen(Endpoint::unix_socket(std::string(200, 'x')))),
              "address_invalid");
    EXPECT_EQ(reason_of(co_await env.network.dial(Endpoint::unix_socket(path("none")), in(1s))),
              "socket_missing");
  });
}

TEST_F(NetworkTest, DialReportsRefusalDeadlineAndCancellation) {
  run([this](env::Env env) -> env::Task<void> {
    Endpoint closed;
    {
      auto listener = co_await env.network.listen(Endpoint::tcp("127.0.0.1", 0));
      BLX_CO_ASSERT(listener);
      closed = (*listener)->local();
    }
    EXPECT_EQ(reason_of(co_await env.network.dial(closed, in(5s))), "connection_refused");
    // A unix socket whose backlog is full keeps the caller waiting.
    const auto endpoint = Endpoint::unix_socket(path("full"));
    const auto address = to_socket_address(endpoint).value();
    const Fd full(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(bind(full.get(), &address.any, address.size), 0);
    EXPECT_EQ(listen(full.get(), 0), 0);
    auto first = co_await env.network.dial(endpoint, in(5s));
    EXPECT_EQ(reason_of(first), "ok");
    EXPECT_EQ(reason_of(co_await env.network.dial(endpoint, in(30ms))), "connect_timed_out");
    env::Scope scope(env.executor, co_await env::this_cancellation());
    std::string reason;
    const auto body = [&]() -> env::Task<void> {
      reason = reason_of(co_await env.network.dial(endpoint, in(1h)));
    };
    scope.spawn(body());
    co_await let_run();
    scope.cancel();
    co_await scope.join();
    EXPECT_EQ(reason, "cancelled");
  });
}

TEST_F(NetworkTest, AcceptSurvivesAShortageOfDescriptors) {
  run([this](env::Env env) -> env::Task<void> {
    auto listener = co_await env.network.listen(Endpoint::unix_socket(path("s")));
    BLX_CO_ASSERT(listener);
    auto client = co_await env.network.dial((*listener)->local(), in(5s));
    BLX_CO_ASSERT(client);
    // No new descriptors from here on: the limit is below every free number.
    rlimit before{};
    EXPECT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
    const rlimit none{.rlim_cur = 3, .rlim_max = before.rlim_max};
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    bool accepted = false;
    env::AcceptLoop loop(env.clock, env.log);
    const auto accepting = [&]() -> env::Task<void> {
      EXPECT_TRUE(co_await loop.run(**listener, [&](auto /*stream*/) {
        accepted = true;
        loop.stop();
      }));
    };
    env::Scope scope(env.executor, co_await env::this_cancellation());
    scope.spawn(accepting());
    EXPECT_TRUE(co_await eventually([this] { return !warnings().empty(); }));
    EXPECT_FALSE(accepted);
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
    co_await scope.join();
    EXPECT_TRUE(accepted);
  });
}

}  // namespace
}  // namespace blixard::linux_side

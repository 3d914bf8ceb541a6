// Server and client together, on the simulated network and on real loopback.

#include "node/http/server.h"

#include <array>
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "linux/runtime.h"
#include "node/http/client.h"
#include "sim/test_rare.h"
#include "sim/world.h"

namespace blixard::http {
namespace {

using env::Endpoint;
using env::Env;
using env::Task;
using testing::HasSubstr;
using testing::StartsWith;

// /echo gives the body back, /wait answers after 5 s or when it is cancelled, /stream sends three
// pieces, /endless sends until it is cancelled.
class TestHandler final : public Handler {
 public:
  explicit TestHandler(Env env) : env_(env) {}

  Task<Response> handle(const Request& request) override {
    ++handled;
    Response response;
    response.content_type = "text/plain";
    if (request.path == "/echo") {
      response.body = request.body;
    } else if (request.path == "/wait") {
      ++waiting;
      const auto slept = co_await env_.clock.sleep(wait);
      if (!slept) ++cancelled;
      response.body = slept ? "waited" : "cancelled";
    } else if (request.path == "/stream") {
      response.stream = [](BodyWriter& writer) { return three_pieces(writer); };
    } else if (request.path == "/endless") {
      response.stream = [this](BodyWriter& writer) { return endless(writer); };
    } else if (request.path == "/query") {
      for (const auto& [name, value] : request.query)
        response.body += name + "=" + value + ";";
    } else {
      response.status = 404;
      response.body = "nothing at " + request.path;
    }
    co_return response;
  }
  void refused(int status) override { refusals.push_back(status); }

  int handled = 0;
  int waiting = 0;
  int cancelled = 0;
  Duration wait = 5s;
  std::vector<int> refusals;

 private:
  static Task<Result<void>> three_pieces(BodyWriter& writer) {
    for (const char* piece : {"one,", "two,", "three"})
      BLX_CO_TRY(co_await writer.write(piece));
    co_return Result<void>();
  }
  Task<Result<void>> endless(BodyWriter& writer) {
    Result<void> result;
    while (result) {
      result = co_await writer.write("tick\n");
      if (result) result = co_await env_.clock.sleep(1ms);
    }
    ++cancelled;
    co_return result;
  }

  Env env_;
};

// One server on a port of its own, for the length of one test body.
struct Bench {
  explicit Bench(Env e, ServerLimits limits = {})
      : env(e), handler(e), server(e, handler, limits) {}

  // Sends these bytes and reads until the server closes; `step` cuts them into pieces.
  Task<Result<std::string>> raw(std::string bytes, std::size_t step = std::size_t{1} << 20) {
    BLX_CO_TRY(auto stream, co_await dial());
    for (std::size_t at = 0; at < bytes.size(); at += step) {
      if (!co_await stream->write_all(std::string_view(bytes).substr(at, step))) break;
    }
    co_return co_await read_all(*stream);
  }
  Task<Result<std::unique_ptr<env::Stream>>> dial() {
    return env.network.dial(endpoint, env.clock.monotonic() + 5s);
  }
  static Task<Result<std::string>> read_all(env::Stream& stream) {
    std::string all;
    std::array<char, 4096> buffer{};
    while (true) {
      const auto count = co_await stream.read_some(buffer);
      if (!count || *count == 0) break;
      all.append(buffer.data(), *count);
    }
    co_return all;
  }
  // Reads until `text` has come.
  static Task<Result<std::string>> read_until(env::Stream& stream, std::string text) {
    std::string all;
    std::array<char, 4096> buffer{};
    while (!all.contains(text)) {
      BLX_CO_TRY(const std::size_t count, co_await stream.read_some(buffer));
      if (count == 0) co_return fail(Code::kUnavailable, "ended", all);
      all.append(buffer.data(), count);
    }
    co_return all;
  }

  Env env;
  TestHandler handler;
  Server server;
  Endpoint endpoint;
};

using Body = std::function<Task<void>(Bench&)>;

Task<void> served(Server& server, std::unique_ptr<env::Listener> listener) {
  const auto result = co_await server.serve(std::move(listener));
  EXPECT_TRUE(result || result.error().code() == Code::kCancelled);
}

Task<void> bench_main(Env env, ServerLimits limits, Body body, bool& done) {
  Bench bench(env, limits);
  auto listener = co_await env.network.listen(Endpoint::tcp("127.0.0.1", 0));
  if (!listener) {
    ADD_FAILURE() << listener.error().message();
    co_return;
  }
  bench.endpoint = (*listener)->local();
  env::Scope scope(env.executor, co_await env::this_cancellation());
  scope.spawn(served(bench.server, std::move(*listener)));
  co_await body(bench);
  co_await bench.server.stop(env.clock.monotonic() + 1s);
  co_await scope.join();
  EXPECT_EQ(bench.server.connections(), 0u);
  done = true;
}

enum class Side : std::uint8_t { kSim, kReal };

class ServerTest : public testing::TestWithParam<Side> {
 protected:
  void run(Body body, ServerLimits limits = {}) {
    bool done = false;
    if (GetParam() == Side::kSim) {
      sim::World world(7);
      auto& machine = world.add_machine("a");
      EXPECT_TRUE(world.run(bench_main(machine.env(), limits, std::move(body), done)));
    } else {
      linux_side::Runtime runtime({});
      runtime.run(bench_main(runtime.env(), limits, std::move(body), done));
    }
    EXPECT_TRUE(done);
  }
  // Real time is short, virtual time is what the product says.
  [[nodiscard]] Duration brief(Duration product) const {
    return GetParam() == Side::kSim ? product : 100ms;
  }
};

INSTANTIATE_TEST_SUITE_P(Sides, ServerTest, testing::Values(Side::kSim, Side::kReal),
                         [](const auto& param) {
                           return param.param == Side::kSim ? "Sim" : "Real";
                         });

constexpr const char* kGet = "GET /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

std::string post(std::string_view body, std::string_view more = "") {
  return "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: " + std::to_string(body.size()) +
         "\r\n" + std::string(more) + "\r\n" + std::string(body);
}

int status_of(const Result<std::string>& answer) {
  if (!answer || answer->size() < 12) return 0;
  return std::stoi(answer->substr(9, 3));
}

std::string body_of(const Result<std::string>& answer) {
  const auto end = answer ? answer->find("\r\n\r\n") : std::string::npos;
  return end == std::string::npos ? "" : answer->substr(end + 4);
}

TEST_P(ServerTest, AnswersTheClient) {
  run([](Bench& bench) -> Task<void> {
    Client client(bench.env, bench.endpoint);
    ClientRequest request{.method = Method::kPost,
                          .target = "/echo",
                          .headers = {},
                          .content_type = "text/plain",
                          .body = "hello"};
    const auto answer = co_await client.send(request, bench.env.clock.monotonic() + 5s);
    EXPECT_TRUE(answer.has_value());
    if (!answer) co_return;
    EXPECT_EQ(answer->status, 200);
    EXPECT_EQ(answer->body, "hello");
    EXPECT_EQ(*answer->header("content-TYPE"), "text/plain");
    EXPECT_THAT(*answer->header("Date"), HasSubstr("GMT"));
  });
}

TEST_P(ServerTest, KeepsTheConnectionAndAnswersInOrder) {
  run([](Bench& bench) -> Task<void> {
    bench.handler.wait = 10ms;
    const std::string wait = "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n";
    const auto all = co_await bench.raw(wait + post("first") + "\r\n" + post("second") + kGet);
    EXPECT_TRUE(all.has_value());
    const auto waited = all->find("waited");
    const auto first = all->find("first");
    const auto second = all->find("second");
    EXPECT_NE(second, std::string::npos);
    EXPECT_LT(waited, first);
    EXPECT_LT(first, second);
    EXPECT_EQ(bench.handler.handled, 4);
  });
}

TEST_P(ServerTest, OneByteAtATimeIsTheSame) {
  run([](Bench& bench) -> Task<void> {
    const std::string bytes = post("hello", "Connection: close\r\n");
    const auto answer = co_await bench.raw(bytes, 1);
    EXPECT_EQ(status_of(answer), 200);
    EXPECT_EQ(body_of(answer), "hello");
  });
}

TEST_P(ServerTest, TakesChunkedBodies) {
  run([](Bench& bench) -> Task<void> {
    const std::string bytes =
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n";
    EXPECT_EQ(body_of(co_await bench.raw(bytes)), "abcde");
    EXPECT_EQ(body_of(co_await bench.raw(bytes, 1)), "abcde");
    // Found by the fuzzer: an empty body whose last chunk comes in pieces ended the program.
    const std::string empty =
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        "0\r\n\r\n";
    for (std::size_t step = 1; step < 8; ++step) {
      EXPECT_EQ(status_of(co_await bench.raw(empty, step)), 200) << step;
    }
  });
}

struct Bad {
  const char* name;
  std::string bytes;
  int status;
};

TEST_P(ServerTest, RefusesWhatIsNotARequest) {
  const std::string host = "Host: a\r\n";
  const std::vector<Bad> all = {
      {"garbage", "\x16\x03\x01\x02\r\n\r\n\r\n", 400},
      {"no version", "GET /\r\n\r\n", 400},
      {"version 2", "GET / HTTP/2.0\r\n" + host + "\r\n", 505},
      {"no host", "GET / HTTP/1.1\r\n\r\n", 400},
      {"two hosts", "GET / HTTP/1.1\r\n" + host + host + "\r\n", 400},
      {"two tokens", "GET / HTTP/1.1\r\n" + host + "Authorization: a\r\nAuthorization: b\r\n\r\n",
       400},
      {"space before colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400},
      {"both framings",
       "POST /echo HTTP/1.1\r\n" + host +
           "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
       400},
      {"two lengths",
       "POST /echo HTTP/1.1\r\n" + host + "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
       400},
      {"negative length", "POST /echo HTTP/1.1\r\n" + host + "Content-Length: -1\r\n\r\n", 400},
      {"huge length",
       "POST /echo HTTP/1.1\r\n" + host + "Content-Length: 99999999999999999999999\r\n\r\n", 400},
      {"bad chunk size",
       "POST /echo HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\nxyz\r\n", 400},
      {"huge chunk size",
       "POST /echo HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
       400},
      {"chunk without end",
       "POST /echo HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n3\r\nabcdef\r\n", 400},
      {"gzip coding",
       "POST /echo HTTP/1.1\r\n" + host + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501},
      {"absolute target", "GET http://a/ HTTP/1.1\r\n" + host + "\r\n", 400},
      {"bad escape", "GET /%zz HTTP/1.1\r\n" + host + "\r\n", 400},
      {"parameter twice", "GET /?a=1&a=2 HTTP/1.1\r\n" + host + "\r\n", 400},
      {"unknown expectation", "GET / HTTP/1.1\r\n" + host + "Expect: cake\r\n\r\n", 417},
      {"long target", "GET /" + std::string(5000, 'a') + " HTTP/1.1\r\n" + host + "\r\n", 414},
      {"long header", "GET / HTTP/1.1\r\n" + host + "X: " + std::string(20'000, 'a') + "\r\n\r\n",
       431},
      {"endless start line", std::string(40'000, 'a'), 431},
      {"many headers",
       "GET / HTTP/1.1\r\n" + host +
           [] {
             std::string many;
             for (int i = 0; i < 100; ++i)
               many += "X-" + std::to_string(i) + ": 1\r\n";
             return many;
           }() +
           "\r\n",
       431},
      {"large body", "POST /echo HTTP/1.1\r\n" + host + "Content-Length: 262145\r\n\r\nabc", 413},
      {"large chunked body",
       "POST /echo HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n50000\r\n" +
           std::string(0x50000, 'a') + "\r\n0\r\n\r\n",
       413},
  };
  run(
      [&](Bench& bench) -> Task<void> {
        for (const Bad& bad : all) {
          const auto answer = co_await bench.raw(bad.bytes);
          EXPECT_EQ(status_of(answer), bad.status) << bad.name;
          EXPECT_THAT(answer.value_or(""), HasSubstr("application/problem+json")) << bad.name;
          EXPECT_THAT(answer.value_or(""), HasSubstr("Connection: close")) << bad.name;
          EXPECT_EQ(bench.handler.handled, 0) << bad.name;
          EXPECT_EQ(bench.handler.refusals.size(), 1u) << bad.name;
          bench.handler.refusals.clear();
        }
        // A fault of one client is nobody else's.
        EXPECT_EQ(status_of(co_await bench.raw(kGet)), 200);
      },
      {.linger_timeout = 20ms});
}

TEST_P(ServerTest, ABodyOfTheLimitIsTaken) {
  run([](Bench& bench) -> Task<void> {
    const std::string body(limits::kHttpBodyBytes, 'b');
    const auto answer = co_await bench.raw(post(body, "Connection: close\r\n"));
    EXPECT_EQ(status_of(answer), 200);
    EXPECT_EQ(body_of(answer), body);
  });
}

TEST_P(ServerTest, ASlowRequestGets408) {
  run(
      [](Bench& bench) -> Task<void> {
        auto stream = co_await bench.dial();
        EXPECT_TRUE(stream &&
                    co_await (*stream)->write_all("GET /echo HTTP/1.1\r\nHost: a\r\nX: "));
        const Instant begun = bench.env.clock.monotonic();
        const auto answer = co_await Bench::read_all(**stream);
        EXPECT_EQ(status_of(answer), 408);
        EXPECT_GE(bench.env.clock.monotonic() - begun, 50ms);
        EXPECT_EQ(bench.handler.handled, 0);
      },
      {.request_timeout = brief(limits::kHttpRequestTimeout)});
}

// Bytes that keep coming do not extend the time.
TEST_P(ServerTest, ADripGets408) {
  run(
      [&](Bench& bench) -> Task<void> {
        auto stream = co_await bench.dial();
        const Instant begun = bench.env.clock.monotonic();
        const Duration pause = brief(limits::kHttpRequestTimeout) / 10;
        int sent = 0;
        while (co_await (*stream)->write_all(sent == 0 ? "GET /echo HTTP/1.1\r\nX: " : "a")) {
          if (++sent == 12) break;
          if (!co_await bench.env.clock.sleep(pause)) break;
        }
        const auto answer = co_await Bench::read_all(**stream);
        EXPECT_EQ(status_of(answer), 408);
        EXPECT_LT(bench.env.clock.monotonic() - begun, 20 * pause + 2s);
      },
      {.request_timeout = brief(limits::kHttpRequestTimeout)});
}

TEST_P(ServerTest, AnIdleConnectionIsClosedWithoutAWord) {
  run(
      [](Bench& bench) -> Task<void> {
        auto stream = co_await bench.dial();
        EXPECT_EQ((co_await Bench::read_all(**stream)).value_or("?"), "");
      },
      {.idle_timeout = brief(limits::kHttpIdleTimeout)});
}

TEST_P(ServerTest, AsksForTheBodyThatWasAnnounced) {
  run([](Bench& bench) -> Task<void> {
    auto stream = co_await bench.dial();
    EXPECT_TRUE(co_await (*stream)->write_all(
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n"
        "Connection: close\r\n\r\n"));
    EXPECT_THAT((co_await Bench::read_until(**stream, "\r\n\r\n")).value_or(""),
                StartsWith("HTTP/1.1 100 "));
    EXPECT_TRUE(co_await (*stream)->write_all("body"));
    EXPECT_EQ(body_of(co_await Bench::read_all(**stream)), "body");
    // One that is too large is not asked for.
    const auto refused = co_await bench.raw(
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 999999\r\nExpect: 100-continue\r\n\r\n");
    EXPECT_EQ(status_of(refused), 413);
  });
}

TEST_P(ServerTest, HeadHasTheLengthAndNoBody) {
  run([](Bench& bench) -> Task<void> {
    const auto answer =
        co_await bench.raw("HEAD /nothing HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    EXPECT_EQ(status_of(answer), 404);
    EXPECT_THAT(answer.value_or(""), HasSubstr("Content-Length: 19"));
    EXPECT_EQ(body_of(answer), "");
    Client client(bench.env, bench.endpoint);
    const auto head = co_await client.send({.method = Method::kHead, .target = "/stream"},
                                           bench.env.clock.monotonic() + 5s);
    EXPECT_TRUE(head && head->status == 200 && head->body.empty());
  });
}

TEST_P(ServerTest, StreamsInChunksAndGoesOn) {
  run([](Bench& bench) -> Task<void> {
    const auto answer =
        co_await bench.raw("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n" + std::string(kGet));
    EXPECT_THAT(answer.value_or(""),
                HasSubstr("4\r\none,\r\n4\r\ntwo,\r\n5\r\nthree\r\n0\r\n\r\nHTTP/1.1 200 OK"));
    // HTTP/1.0 has no chunks: the end of the connection ends the body.
    const auto old = co_await bench.raw("GET /stream HTTP/1.0\r\n\r\n");
    EXPECT_EQ(body_of(old), "one,two,three");
    EXPECT_THAT(old.value_or(""), testing::Not(HasSubstr("chunked")));
    Client client(bench.env, bench.endpoint);
    std::string pieces;
    const auto streamed =
        co_await client.stream({.target = "/stream"}, 5s, [&](std::string_view piece) {
          pieces += piece;
          return true;
        });
    EXPECT_TRUE(streamed && streamed->status == 200);
    EXPECT_EQ(pieces, "one,two,three");
  });
}

TEST_P(ServerTest, AStreamEndsWhenTheClientGoes) {
  run([](Bench& bench) -> Task<void> {
    Client client(bench.env, bench.endpoint);
    int pieces = 0;
    const auto streamed = co_await client.stream({.target = "/endless"}, 5s,
                                                 [&](std::string_view) { return ++pieces < 3; });
    EXPECT_TRUE(streamed.has_value());
    const Instant deadline = bench.env.clock.monotonic() + 10s;
    while (bench.handler.cancelled == 0 && bench.env.clock.monotonic() < deadline) {
      EXPECT_TRUE(co_await bench.env.clock.sleep(1ms));
    }
    EXPECT_EQ(bench.handler.cancelled, 1);
  });
}

TEST_P(ServerTest, AHandlerIsCancelledWhenTheClientGoes) {
  run(
      [](Bench& bench) -> Task<void> {
        bench.handler.wait = 1h;
        {
          auto stream = co_await bench.dial();
          EXPECT_TRUE(co_await (*stream)->write_all("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n"));
          while (bench.handler.waiting == 0)
            EXPECT_TRUE(co_await bench.env.clock.sleep(1ms));
        }
        const Instant deadline = bench.env.clock.monotonic() + 10s;
        while (bench.handler.cancelled == 0 && bench.env.clock.monotonic() < deadline) {
          EXPECT_TRUE(co_await bench.env.clock.sleep(1ms));
        }
        EXPECT_EQ(bench.handler.cancelled, 1);
      },
      {.half_close_grace = brief(limits::kHttpHalfCloseGrace)});
}

TEST_P(ServerTest, OneConnectionTooManyIsTold) {
  run([](Bench& bench) -> Task<void> {
    std::vector<std::unique_ptr<env::Stream>> open;
    for (std::size_t i = 0; i < limits::kHttpConnections; ++i) {
      auto stream = co_await bench.dial();
      EXPECT_TRUE(stream.has_value());
      if (stream) open.push_back(std::move(*stream));
    }
    const auto answer = co_await bench.raw(kGet);
    EXPECT_EQ(status_of(answer), 503);
    EXPECT_THAT(answer.value_or(""), HasSubstr("too_many_connections"));
    EXPECT_THAT(answer.value_or(""), HasSubstr("Retry-After"));
    EXPECT_EQ(bench.server.connections(), limits::kHttpConnections);
    open.pop_back();
    const Instant deadline = bench.env.clock.monotonic() + 10s;
    while (bench.server.connections() == limits::kHttpConnections &&
           bench.env.clock.monotonic() < deadline) {
      EXPECT_TRUE(co_await bench.env.clock.sleep(1ms));
    }
    EXPECT_EQ(status_of(co_await bench.raw(kGet)), 200);
  });
}

Task<void> stop_soon(Bench& bench, Duration within, bool& stopped) {
  while (bench.handler.waiting == 0)
    EXPECT_TRUE(co_await bench.env.clock.sleep(1ms));
  co_await bench.server.stop(bench.env.clock.monotonic() + within);
  stopped = true;
}

TEST_P(ServerTest, StopLetsARequestFinish) {
  run([](Bench& bench) -> Task<void> {
    bench.handler.wait = 50ms;
    auto idle = co_await bench.dial();
    env::Scope scope(bench.env.executor, co_await env::this_cancellation());
    bool stopped = false;
    scope.spawn(stop_soon(bench, 10s, stopped));
    const auto answer = co_await bench.raw("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
    EXPECT_EQ(body_of(answer), "waited");
    EXPECT_THAT(answer.value_or(""), HasSubstr("Connection: close"));
    EXPECT_EQ((co_await Bench::read_all(**idle)).value_or("?"), "");
    co_await scope.join();
    EXPECT_TRUE(stopped);
    EXPECT_FALSE(co_await bench.dial());
  });
}

TEST_P(ServerTest, StopCancelsWhatIsLeftAtItsDeadline) {
  run([](Bench& bench) -> Task<void> {
    bench.handler.wait = 1h;
    env::Scope scope(bench.env.executor, co_await env::this_cancellation());
    bool stopped = false;
    scope.spawn(stop_soon(bench, 50ms, stopped));
    EXPECT_TRUE((co_await bench.raw("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")).has_value());
    co_await scope.join();
    EXPECT_TRUE(stopped);
    EXPECT_EQ(bench.handler.cancelled, 1);
  });
}

TEST_P(ServerTest, TheClientBoundsAnswersAndTime) {
  run(
      [](Bench& bench) -> Task<void> {
        Client small(bench.env, bench.endpoint, 10);
        const ClientRequest echo{.method = Method::kPost,
                                 .target = "/echo",
                                 .headers = {},
                                 .content_type = "text/plain",
                                 .body = std::string(11, 'a')};
        const auto large = co_await small.send(echo, bench.env.clock.monotonic() + 5s);
        EXPECT_TRUE(!large && large.error().reason() == "response_too_large");
        bench.handler.wait = 1h;
        Client client(bench.env, bench.endpoint);
        const auto late =
            co_await client.send({.target = "/wait"}, bench.env.clock.monotonic() + 50ms);
        EXPECT_TRUE(!late && late.error().code() == Code::kDeadlineExceeded);
        const auto injected = co_await client.send({.target = "/ HTTP/1.1\r\nX: y"},
                                                   bench.env.clock.monotonic() + 5s);
        EXPECT_TRUE(!injected && injected.error().reason() == "request_invalid");
      },
      {.half_close_grace = 10ms});
}

TEST_P(ServerTest, QueriesAreDecoded) {
  run([](Bench& bench) -> Task<void> {
    const auto answer = co_await bench.raw(
        "GET /query?b=1%202&a=x+y&c HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    EXPECT_EQ(body_of(answer), "a=x y;b=1 2;c=;");
  });
}

TEST(RareServerTest, TurnsAwayAndLosesAnswers) {
  sim::World world(7);
  auto& machine = world.add_machine("a");
  bool done = false;
  const Body body = [&world](Bench& bench) -> Task<void> {
    {
      const sim::OnlyRare rare(world, env::RareSite::kHttpTurnsAway);
      EXPECT_EQ(status_of(co_await bench.raw(kGet)), 503);
      EXPECT_EQ(rare.taken(), 1u);
      EXPECT_EQ(bench.handler.handled, 0);
    }
    {
      const sim::OnlyRare rare(world, env::RareSite::kHttpClosesBeforeAnswer);
      EXPECT_EQ((co_await bench.raw(post("x"))).value_or("?"), "");
      EXPECT_EQ(rare.taken(), 1u);
      EXPECT_EQ(bench.handler.handled, 1) << "it took effect";
    }
    EXPECT_EQ(status_of(co_await bench.raw(kGet)), 200);
  };
  EXPECT_TRUE(world.run(bench_main(machine.env(), {}, body, done)));
  EXPECT_TRUE(done);
}

}  // namespace
}  // namespace blixard::http

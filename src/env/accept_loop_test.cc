#include "env/accept_loop.h"

#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/limits.h"
#include "env/scope.h"
#include "sim/world.h"

namespace blixard::env {
namespace {

// Counts how often it is asked, and may fail in ways of its own.
class AskedListener final : public Listener {
 public:
  explicit AskedListener(std::unique_ptr<Listener> inner) : inner_(std::move(inner)) {}

  Task<Result<std::unique_ptr<Stream>>> accept() override {
    ++asked;
    if (failure) co_return std::unexpected(*failure);
    co_return co_await inner_->accept();
  }
  [[nodiscard]] Endpoint local() const override { return inner_->local(); }
  void close() override {
    closed = true;
    inner_->close();
  }

  std::size_t asked = 0;
  bool closed = false;
  std::optional<Error> failure;

 private:
  std::unique_ptr<Listener> inner_;
};

class AcceptLoopTest : public testing::Test {
 protected:
  void run(Task<void> body) { EXPECT_TRUE(world.run(std::move(body))) << world.log_lines().back(); }

  Task<void> listen() {
    auto made = co_await server.env().network.listen(Endpoint::tcp("0.0.0.0", 7100));
    EXPECT_TRUE(made);
    if (made) listener = std::make_unique<AskedListener>(std::move(*made));
  }
  Task<void> serve() {
    end = co_await loop.run(
        *listener, [this](std::unique_ptr<Stream> stream) { taken.push_back(std::move(stream)); });
    ended = true;
  }
  Task<bool> dial() {
    const Env env = client.env();
    auto stream = co_await env.network.dial(Endpoint::tcp(server.address(), 7100),
                                            env.clock.monotonic() + 5s);
    if (stream) dialled.push_back(std::move(*stream));
    co_return stream.has_value();
  }
  Task<void> pause(Duration duration) { EXPECT_TRUE(co_await client.env().clock.sleep(duration)); }
  [[nodiscard]] std::size_t warnings() const {
    return static_cast<std::size_t>(std::ranges::count_if(world.log_lines(), [](const auto& line) {
      return line.contains("cannot accept on 0.0.0.0:7100: too_many_open_files");
    }));
  }

  // Connections come while nothing can be accepted, for longer than a line may be silent.
  Task<void> shortage() {
    co_await listen();
    Scope scope(server.env().executor, nullptr);
    scope.spawn(serve());
    EXPECT_TRUE(co_await dial());
    co_await pause(10ms);
    EXPECT_EQ(taken.size(), 1u);
    server.exhaust_sockets(true);
    EXPECT_TRUE(co_await dial());
    EXPECT_TRUE(co_await dial());
    const std::size_t before = listener->asked;
    co_await pause(limits::kAcceptLogInterval + 1s);
    EXPECT_EQ(taken.size(), 1u);
    EXPECT_FALSE(ended);
    const auto most =
        static_cast<std::size_t>((limits::kAcceptLogInterval + 1s) / limits::kAcceptPause);
    EXPECT_LE(listener->asked - before, most + 2) << "it pauses between two tries";
    EXPECT_GE(listener->asked - before, most - 2) << "it goes on trying";
    EXPECT_EQ(warnings(), 2u);

    server.exhaust_sockets(false);
    co_await pause(limits::kAcceptPause);
    EXPECT_EQ(taken.size(), 3u) << "those that waited are served";
    loop.stop();
    co_await scope.join();
    EXPECT_TRUE(end);
    EXPECT_FALSE(co_await dial());
  }

  Task<void> shortage_while_it_ends() {
    co_await listen();
    listener->failure = Error(Code::kInternal, "accept_failed");
    Scope scope(server.env().executor, nullptr);
    scope.spawn(serve());
    co_await pause(1s);
    EXPECT_FALSE(ended) << "whatever the error is, the socket is still there";
    scope.cancel();
    co_await scope.join();
    EXPECT_TRUE(!end && end.error().code() == Code::kCancelled);
    EXPECT_TRUE(listener->closed);
  }

  Task<void> closed_from_below() {
    co_await listen();
    Scope scope(server.env().executor, nullptr);
    scope.spawn(serve());
    co_await pause(10ms);
    listener->close();
    co_await scope.join();
    EXPECT_TRUE(!end && end.error().code() == Code::kUnavailable);

    // One that was stopped takes nothing more.
    loop.stop();
    co_await listen();
    co_await serve();
    EXPECT_TRUE(end);
    EXPECT_EQ(listener->asked, 0u);
    EXPECT_TRUE(listener->closed);
  }

  sim::World world{1};
  sim::Machine& server = world.add_machine("server");
  sim::Machine& client = world.add_machine("client");
  std::unique_ptr<AskedListener> listener;
  std::vector<std::unique_ptr<Stream>> taken;
  std::vector<std::unique_ptr<Stream>> dialled;
  AcceptLoop loop{server.env().clock, server.env().log};
  Result<void> end;
  bool ended = false;
};

TEST_F(AcceptLoopTest, AShortageIsWaitedOutWithoutSpinning) { run(shortage()); }

TEST_F(AcceptLoopTest, AnErrorDoesNotEndItButCancellationDoes) { run(shortage_while_it_ends()); }

TEST_F(AcceptLoopTest, TheEndOfTheListenerIsItsEnd) { run(closed_from_below()); }

}  // namespace
}  // namespace blixard::env

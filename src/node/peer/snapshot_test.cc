// Snapshots on their way: window, checksum, result, and every place where one can be cut off.

#include "base/limits.h"
#include "node/peer/peers.h"
#include "node/peer/test_node.h"
#include "sim/test_rare.h"

namespace blixard::peer {
namespace {

using env::Task;

constexpr std::size_t kChunk = limits::kSnapshotChunkBytes;

// Gives `content` in chunks; may fail, hang or lie on the way.
class Source final : public SnapshotSource {
 public:
  struct Behaviour {
    std::optional<std::size_t> fails_at;  // the read of that chunk
    std::uint64_t promised = 0;           // 0: the truth
    std::size_t chunk = kChunk;
    std::function<void(std::size_t)> before_read;
  };

  Source(std::string content, Behaviour behaviour, std::uint64_t& read)
      : content_(std::move(content)), behaviour_(std::move(behaviour)), read_(read) {}

  [[nodiscard]] std::uint64_t bytes() const override {
    return behaviour_.promised != 0 ? behaviour_.promised : content_.size();
  }
  Task<Result<Payload>> read() override {
    if (behaviour_.before_read) behaviour_.before_read(reads_);
    if (behaviour_.fails_at == reads_++) co_return fail(Code::kDataLoss, "snapshot_invalid");
    std::string chunk = content_.substr(read_, behaviour_.chunk);
    read_ += chunk.size();
    co_return Payload(std::move(chunk));
  }

 private:
  std::string content_;
  Behaviour behaviour_;
  std::uint64_t& read_;
  std::size_t reads_ = 0;
};

class SnapshotTest : public TwoNodes {
 protected:
  raft::Message snapshot_message() {
    return {.type = raft::MessageType::kSnapshot,
            .from = NodeId(77),
            .to = b->id,
            .term = Term(3),
            .snapshot = raft::SnapshotMeta{
                .index = LogIndex(100),
                .term = Term(2),
                .configuration = {.voters = {NodeId(1)}, .learners = {NodeId(2)}}}};
  }
  static std::string content(std::size_t bytes) {
    std::string text(bytes, '\0');
    for (std::size_t i = 0; i < bytes; ++i)
      text[i] = static_cast<char>(i * 31 >> 3);
    return text;
  }
  Task<Result<void>> send(std::string bytes, Source::Behaviour behaviour = {}) {
    read = 0;
    co_return co_await a->peers->send_snapshot(
        snapshot_message(), std::make_unique<Source>(std::move(bytes), std::move(behaviour), read));
  }
  Task<void> send_into(std::optional<Result<void>>& into, std::string bytes,
                       Source::Behaviour behaviour = {}) {
    into = co_await send(std::move(bytes), std::move(behaviour));
  }
  // A transfer works, whatever happened before.
  Task<void> works() {
    b->handler.on_chunk = nullptr;
    b->handler.finish_error.reset();
    co_await connected(*a, *b);
    const std::string sent = content(3 * kChunk + 17);
    const auto result = co_await send(sent);
    EXPECT_TRUE(result) << text(result);
    const Arrived& arrived = *b->handler.snapshots.back();
    EXPECT_TRUE(arrived.finished);
    EXPECT_TRUE(arrived.bytes == sent);
  }
  [[nodiscard]] std::size_t finished() const {
    return static_cast<std::size_t>(std::ranges::count_if(
        b->handler.snapshots, [](const auto& arrived) { return arrived->finished; }));
  }
  [[nodiscard]] bool all_thrown_away() const {
    return std::ranges::all_of(b->handler.snapshots, [](const auto& arrived) {
      return arrived->finished || arrived->thrown_away;
    });
  }

  std::uint64_t read = 0;

  Task<void> arrives(std::size_t bytes) {
    co_await connected(*a, *b);
    const std::string sent = content(bytes);
    const auto result = co_await send(sent);
    EXPECT_TRUE(result) << text(result);
    EXPECT_EQ(finished(), 1u);
    const Arrived& arrived = *b->handler.snapshots.front();
    EXPECT_TRUE(arrived.bytes == sent);
    EXPECT_EQ(arrived.promised, bytes);
    raft::Message expected = snapshot_message();
    expected.from = a->id;
    EXPECT_EQ(arrived.message, expected);
  }

  // The sink takes nothing for a while: the sender stops a window ahead.
  Task<void> window() {
    co_await connected(*a, *b);
    bool blocked = true;
    b->handler.on_chunk = [&](Arrived&) -> Task<Result<void>> {
      while (blocked)
        BLX_CO_TRY(co_await b->machine.env().clock.sleep(10ms));
      co_return Result<void>();
    };
    std::optional<Result<void>> result;
    env::Scope scope(watcher().executor, nullptr);
    scope.spawn(send_into(result, content(20 * kChunk)));
    ignore(co_await clock().sleep(5s), "as much as may be sent is sent");
    // One chunk was read and waits for room.
    EXPECT_EQ(read, limits::kSnapshotWindowBytes + kChunk);
    // The rest of the node's messages do not wait for it.
    a->peers->send(one(heartbeat(*a, *b, 1)));
    EXPECT_TRUE(co_await soon([&] { return b->handler.came.size() == 1; }, 100ms));
    const auto second = co_await send("x");
    EXPECT_EQ(text(second), "snapshot_in_progress");
    read = limits::kSnapshotWindowBytes + kChunk;
    blocked = false;
    co_await scope.join();
    EXPECT_TRUE(result && *result) << text(*result);
    EXPECT_EQ(finished(), 1u);
    co_await works();
  }

  // A sink that takes nothing any more.
  Task<void> stalled() {
    co_await connected(*a, *b);
    b->handler.on_chunk = [&](Arrived&) -> Task<Result<void>> {
      co_return co_await b->machine.env().clock.sleep(2min);
    };
    const Duration before = world->elapsed();
    const auto result = co_await send(content(3 * kChunk));
    EXPECT_EQ(text(result), "snapshot_stalled");
    EXPECT_LE(world->elapsed() - before, limits::kSnapshotStallTimeout + 1s);
    ignore(co_await clock().sleep(2min), "the sink comes back and finds that it was given up");
    EXPECT_EQ(finished(), 0u);
    EXPECT_TRUE(all_thrown_away());
    co_await works();
  }

  Task<void> receiver_fails(std::size_t chunk) {
    co_await connected(*a, *b);
    std::size_t chunks = 0;
    b->handler.on_chunk = [&](Arrived&) -> Task<Result<void>> {
      if (chunks++ == chunk) co_return fail(Code::kResourceExhausted, "disk_full", "no room");
      co_return Result<void>();
    };
    if (chunk == 8)
      b->handler.finish_error = Error(Code::kResourceExhausted, "disk_full", "no room");
    const auto result = co_await send(content(8 * kChunk));
    EXPECT_EQ(text(result), "disk_full: no room");
    EXPECT_EQ(finished(), 0u);
    EXPECT_TRUE(all_thrown_away());
    EXPECT_EQ(a->status_of(*b).traffic.connections, 1u) << "the connection lives on";
    co_await works();
  }

  Task<void> sender_fails(std::size_t chunk) {
    co_await connected(*a, *b);
    const auto result = co_await send(content(8 * kChunk), {.fails_at = chunk});
    EXPECT_EQ(text(result), "snapshot_invalid");
    EXPECT_TRUE(co_await soon([&] { return all_thrown_away(); }, 1s));
    EXPECT_EQ(finished(), 0u);
    EXPECT_EQ(a->status_of(*b).traffic.connections, 1u) << "the connection lives on";
    co_await works();
  }

  Task<void> sender_is_cancelled(std::size_t chunk) {
    co_await connected(*a, *b);
    env::Scope scope(watcher().executor, nullptr);
    std::optional<Result<void>> result;
    scope.spawn(send_into(result, content(8 * kChunk), {.before_read = [&](std::size_t at) {
                            if (at == chunk) scope.cancel();
                          }}));
    co_await scope.join();
    EXPECT_EQ(code(*result), Code::kCancelled);
    EXPECT_TRUE(co_await soon([&] { return all_thrown_away(); }, 1s));
    // At the last read all of it is on its way, and may be taken.
    if (chunk < 8) EXPECT_EQ(finished(), 0u);
    co_await works();
  }

  Task<void> connection_breaks(std::size_t chunk) {
    co_await connected(*a, *b);
    std::size_t chunks = 0;
    b->handler.on_chunk = [&](Arrived&) -> Task<Result<void>> {
      if (chunks++ == chunk) world->partition(a->machine, b->machine);
      co_return Result<void>();
    };
    const auto result = co_await send(content(8 * kChunk));
    EXPECT_EQ(text(result), "peer_unreachable");
    EXPECT_TRUE(co_await soon([&] { return all_thrown_away(); }, 15s));
    // With the last window the end may be there already; only the answer is lost then.
    if (chunk < 4) EXPECT_EQ(finished(), 0u);
    world->heal_all();
    co_await works();
  }

  Task<void> receiver_loses_power() {
    co_await connected(*a, *b);
    std::size_t chunks = 0;
    b->handler.on_chunk = [&](Arrived&) -> Task<Result<void>> {
      if (chunks++ == 3) b->machine.lose_power();
      co_return Result<void>();
    };
    const auto result = co_await send(content(20 * kChunk));
    EXPECT_EQ(text(result), "peer_unreachable");
    EXPECT_EQ(finished(), 0u);
    EXPECT_TRUE(all_thrown_away());
    b = &again(*b);
    b->knows(*a);
    co_await works();
  }

  Task<void> source_lies(std::uint64_t promised) {
    co_await connected(*a, *b);
    const auto result = co_await send(content(3 * kChunk), {.promised = promised});
    EXPECT_EQ(text(result), "snapshot_source_invalid");
    EXPECT_TRUE(co_await soon([&] { return all_thrown_away(); }, 1s));
    EXPECT_EQ(finished(), 0u);
    co_await works();
  }

  Task<void> is_cut() {
    co_await connected(*a, *b);
    {
      const sim::OnlyRare rare(*world, env::RareSite::kSnapshotTransferCut, 40);
      while (rare.taken() == 0) {
        const auto result = co_await send(content(5 * kChunk));
        EXPECT_EQ(result.has_value(), rare.taken() == 0) << text(result);
        if (!result) EXPECT_EQ(text(result), "peer_queue_full");
      }
    }
    EXPECT_TRUE(co_await soon([&] { return all_thrown_away(); }, 1s));
    co_await works();
  }
};

TEST_F(SnapshotTest, ArrivesWhateverItsSize) {
  for (const std::size_t bytes : {std::size_t{0}, std::size_t{1}, kChunk, 23 * kChunk + 5}) {
    build(3);
    run(arrives(bytes));
  }
}

TEST_F(SnapshotTest, TheSenderIsAtMostAWindowAhead) { run(window()); }

TEST_F(SnapshotTest, OneThatMakesNoProgressIsGivenUp) { run(stalled()); }

TEST_F(SnapshotTest, ASinkMayFailAtAnyChunk) {
  for (std::size_t chunk = 0; chunk <= 8; ++chunk) {
    build(chunk + 1);
    run(receiver_fails(chunk));
  }
}

TEST_F(SnapshotTest, ASourceMayFailAtAnyChunk) {
  for (std::size_t chunk = 0; chunk <= 8; ++chunk) {
    build(chunk + 1);
    run(sender_fails(chunk));
  }
}

TEST_F(SnapshotTest, TheSenderMayBeCancelledAtAnyChunk) {
  for (std::size_t chunk = 0; chunk <= 8; ++chunk) {
    build(chunk + 1);
    run(sender_is_cancelled(chunk));
  }
}

TEST_F(SnapshotTest, TheConnectionMayBreakAtAnyChunk) {
  for (std::size_t chunk = 0; chunk <= 7; ++chunk) {
    build(chunk + 1);
    run(connection_breaks(chunk));
  }
}

TEST_F(SnapshotTest, TheReceiverMayLosePower) { run(receiver_loses_power()); }

TEST_F(SnapshotTest, ASourceThatGivesLessOrMoreThanItSaidIsRefused) {
  for (const std::uint64_t promised : {3 * kChunk + 1, 3 * kChunk - 1, kChunk}) {
    build(1);
    run(source_lies(promised));
  }
}

TEST_F(SnapshotTest, MayBeCutByItsSenderAtAnyChunk) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    build(seed);
    run(is_cut());
  }
}

}  // namespace
}  // namespace blixard::peer

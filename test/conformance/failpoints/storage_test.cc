// Stories of the log and of the disk.

#include "node/log/log.h"
#include "test/conformance/failpoints/stories.h"

namespace blixard {
namespace {

using env::Task;
using observe::ScopedFailpoint;
using rest::Reply;

constexpr const char* kTriedAgain = "the log cannot be written, tried again soon";

// What the log refuses for want of room is written once there is room again.
Task<void> log_without_room(Cluster& c, std::string_view name, std::string_view actions,
                            std::uint64_t times) {
  co_await c.begin();
  const ScopedFailpoint site(name, actions);
  co_await expect_at_work(c, c.site(1));
  EXPECT_EQ(site.fired(), times);
  EXPECT_TRUE(was_logged(c, kTriedAgain));
}
Task<void> append_entries(Cluster& c) {
  co_await log_without_room(c, "storage::append_entries", "3*error->off", 3);
}
Task<void> write_entry(Cluster& c) {
  co_await log_without_room(c, "storage::write_entry", "3*error->off", 3);
}
Task<void> disk_full(Cluster& c) {
  co_await log_without_room(c, "system::disk_full", "3*trigger->off", 3);
}

// Nobody can say what is on the disk: the node ends, and begins anew with what is there.
Task<void> log_that_failed(Cluster& c, std::string_view name) {
  co_await c.begin();
  {
    const ScopedFailpoint site(name, "1*error->off");
    const Reply lost = co_await make_token(c, c.site(1));
    EXPECT_NE(lost.status, 201) << text_of(lost);
    EXPECT_EQ(co_await c.end_of(c.site(1)), "log_failed");
    EXPECT_EQ(site.fired(), 1u);
  }
  c.start(c.site(1));
  co_await c.ready(c.site(1));
  co_await expect_at_work(c, c.site(1));
}
Task<void> commit_transaction(Cluster& c) {
  co_await log_that_failed(c, "storage::commit_transaction");
}
Task<void> sync_to_disk(Cluster& c) { co_await log_that_failed(c, "storage::sync_to_disk"); }

Task<void> write_own_files(Cluster& c) {
  c.site(1).bootstrap = true;
  {
    const ScopedFailpoint site("storage::write", "error");
    c.start(c.site(1));
    EXPECT_EQ(co_await c.end_of(c.site(1)), "disk_full");
    EXPECT_GE(site.fired(), 1u);
  }
  c.start(c.site(1));
  co_await c.ready(c.site(1));
}

Task<void> read_state(Cluster& c) {
  co_await c.begin();
  Cluster::crash(c.site(1));
  {
    const ScopedFailpoint site("storage::read_state", "error");
    c.start(c.site(1));
    EXPECT_EQ(co_await c.end_of(c.site(1)), "io_error");
    EXPECT_EQ(site.fired(), 1u);
  }
  c.start(c.site(1));
  co_await c.ready(c.site(1));
  co_await expect_at_work(c, c.site(1));
}

// The next snapshot is taken as if nothing had been.
Task<void> snapshot_that_fails(Cluster& c, std::string_view name) {
  co_await c.begin();
  const ScopedFailpoint site(name, "1*error->off");
  const auto snapshot = [&]() -> Task<std::int64_t> {
    const Reply reply = co_await c.ask(c.site(1), http::Method::kGet, "/v1/status");
    co_return reply.number("log_snapshot");
  };
  const std::int64_t before = co_await snapshot();
  for (int i = 0; i < 150; ++i)
    co_await expect_at_work(c, c.site(1));
  EXPECT_EQ(site.fired(), 1u);
  EXPECT_TRUE(was_logged(c, "replica: no snapshot at")) << "nobody was told";
  EXPECT_GT(co_await snapshot(), before);
}
Task<void> create_snapshot(Cluster& c) {
  co_await snapshot_that_fails(c, "storage::create_snapshot");
}
Task<void> write_snapshot(Cluster& c) {
  co_await snapshot_that_fails(c, "storage::write_snapshot");
}

// A log that remembers nothing, so that it must read.
Task<Result<std::unique_ptr<log::Log>>> forgetful_log(Cluster& c) {
  BLX_CO_TRY(auto log, co_await log::Log::open(c.env(), "/log", {.cache_bytes = 0}));
  std::vector<log::Entry> entries;
  for (std::uint64_t i = 1; i <= 3; ++i) {
    entries.push_back(
        {.term = Term(1), .index = LogIndex(i), .payload = Payload(std::string("entry"))});
  }
  BLX_CO_TRY(co_await log->append(std::move(entries), log::HardState{.term = Term(1)}));
  co_return std::move(log);
}
Task<void> corrupt_entries(Cluster& c) {
  const auto log = co_await forgetful_log(c);
  CO_ASSERT(log, << log.error().message());
  {
    const ScopedFailpoint site("raft::corrupt_entries", "trigger");
    const auto read = co_await (*log)->read(LogIndex(1), LogIndex(3), 1 << 20);
    EXPECT_TRUE(!read && read.error().reason() == "entry_damaged");
    EXPECT_EQ(site.fired(), 1u);
  }
  const auto again = co_await (*log)->read(LogIndex(1), LogIndex(3), 1 << 20);
  EXPECT_TRUE(again && again->size() == 3);
  co_await (*log)->close();
}

// A start whose disk cannot be read for a while: it is asked once a tick, not over and over, and
// then the node has all of its log.
Task<void> read_at_a_start(Cluster& c) {
  co_await c.begin();
  Cluster::crash(c.site(1));
  const ScopedFailpoint site("storage::read", "10*error->off");
  const Instant begun = c.env().clock.monotonic();
  c.start(c.site(1));
  co_await until_fired(c, site, 10);
  EXPECT_GE(c.env().clock.monotonic() - begun, 9 * replica::Options{}.tick);
  EXPECT_TRUE(was_logged(c, "the log cannot be read, tried again soon"));
  co_await c.ready(c.site(1));
  co_await expect_at_work(c, c.site(1));
}

}  // namespace

std::vector<Story> storage_stories() {
  return {
      {"storage::append_entries", 1, append_entries},
      {"storage::write_entry", 1, write_entry},
      {"system::disk_full", 1, disk_full},
      {"storage::commit_transaction", 1, commit_transaction},
      {"storage::sync_to_disk", 1, sync_to_disk},
      {"storage::write", 1, write_own_files},
      {"storage::read_state", 1, read_state},
      {"storage::create_snapshot", 1, create_snapshot},
      {"storage::write_snapshot", 1, write_snapshot},
      {"storage::read", 1, read_at_a_start},
      {"raft::corrupt_entries", 1, corrupt_entries},
  };
}

}  // namespace blixard

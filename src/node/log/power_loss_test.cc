// Random work on a log whose machine crashes or loses power at random moments, against a model.
//
// What must hold after every restart: the log is what the first so many calls of the life before
// made of it, all that were answered among them. So nothing acknowledged is missing, nothing
// appears behind a gap, and no call took effect in part.

#include <algorithm>
#include <cstdio>
#include <map>
#include <optional>
#include <vector>

#include "env/scope.h"
#include "node/log/log.h"
#include "sim/world.h"

namespace blixard::log {
namespace {

constexpr const char* kDirectory = "/var/lib/blixard/log";
constexpr int kLives = 5;

// What the log should hold.
struct Model {
  struct Value {
    Term term;
    std::string payload;
    friend bool operator==(const Value&, const Value&) = default;
  };
  std::map<LogIndex, Value> entries;
  LogIndex base;  // of the last snapshot that took the entries' place
  HardState hard_state;

  [[nodiscard]] LogIndex last() const {
    return entries.empty() ? base : std::max(base, entries.rbegin()->first);
  }
};

struct Call {
  std::vector<Entry> entries;
  std::optional<HardState> hard_state;
  bool answered = false;

  void act_on(Model& model) const {
    for (const Entry& entry : entries) {
      model.entries.erase(model.entries.lower_bound(entry.index), model.entries.end());
      model.entries[entry.index] = {entry.term, std::string(entry.payload.view())};
    }
    if (hard_state) model.hard_state = *hard_state;
  }
};

struct Snapshot {
  SnapshotMeta meta;
  std::string content;
};

// One run: the same machine through several lives.
class Trial {
 public:
  explicit Trial(std::uint64_t seed) : world_(seed), machine_(world_.add_machine("a")) {
    world_.set_log_level(observe::Level::kError);
  }

  void live_and_die() {
    for (int life = 0; life < kLives && !testing::Test::HasFailure(); ++life) {
      const bool working = life + 1 < kLives;
      machine_.start(work(machine_.env(), working));
      ASSERT_TRUE(world_.run(let_time_pass()));
      if (random().below(3) == 0) {
        machine_.crash_daemon();
      } else {
        machine_.lose_power();
      }
      if (!working) break;
      machine_.restart();
    }
  }

  [[nodiscard]] std::uint64_t lives_checked() const { return lives_checked_; }
  [[nodiscard]] std::uint64_t calls_answered() const { return calls_answered_; }
  [[nodiscard]] std::uint64_t tails_cut() const { return tails_cut_; }
  [[nodiscard]] std::uint64_t snapshots_taken() const { return snapshots_taken_; }

 private:
  env::Random& random() { return *random_; }

  // What an operation of a daemon that crashed answers.
  static bool is_end(const Error& error) {
    return error.code() == Code::kCancelled || error.reason() == "crashed";
  }

  env::Task<void> let_time_pass() {
    // Mostly in the middle of something, sometimes in the middle of opening.
    const std::uint64_t most = random().below(4) == 0 ? 3'000 : 60'000;
    const auto until = std::chrono::microseconds(1 + random().below(most));
    EXPECT_TRUE(co_await machine_.env().clock.sleep(until));
  }

  env::Task<void> work(env::Env env, bool working) {
    // Small segments and payloads of some sectors, so that everything happens.
    const Options options{.segment_bytes = 16384, .entry_bytes_max = 4096, .cache_bytes = 2000};
    auto log = co_await Log::open(env, kDirectory, options);
    if (!log) {
      EXPECT_TRUE(is_end(log.error())) << log.error().message();
      co_return;
    }
    const bool checked = co_await check(**log);
    while (checked && working && !(*log)->failed() && !testing::Test::HasFailure())
      co_await one_round(env, **log);
    co_await (*log)->close();
  }

  env::Task<void> one_round(env::Env env, Log& log) {
    env::Scope scope(env.executor, co_await env::this_cancellation());
    const std::uint64_t count = 1 + random().below(8);
    for (std::uint64_t i = 0; i < count; ++i)
      scope.spawn(one_call(log, make_call()));
    if (random().below(6) == 0) scope.spawn(one_snapshot(log));
    if (random().below(2) == 0) {
      const auto pause = std::chrono::microseconds(random().below(500));
      ignore(co_await env.clock.sleep(pause), "a crash ends the round as well");
    }
    co_await scope.join();
  }

  // Appends, sometimes over the tail, sometimes a new term.
  std::size_t make_call() {
    Call call;
    LogIndex next = accepted_.last().next();
    const LogIndex lowest = std::max(saved_.meta.index, saving_.meta.index).next();
    if (random().below(10) == 0 && lowest < next) {
      next = LogIndex(lowest.value + random().below(next.value - lowest.value));
      ++term_;
    }
    for (std::uint64_t i = random().below(4); i > 0; --i) {
      call.entries.push_back(
          {.term = Term(term_),
           .index = next,
           .payload = Payload(random().hex(random().below(random().below(700) + 1)))});
      next = next.next();
    }
    if (call.entries.empty() || random().below(8) == 0) {
      call.hard_state = HardState{.term = Term(term_),
                                  .vote = NodeId(1 + random().below(3)),
                                  .commit = LogIndex(random().below(1000))};
    }
    call.act_on(accepted_);
    calls_.push_back(std::move(call));
    return calls_.size() - 1;
  }

  env::Task<void> one_call(Log& log, std::size_t number) {
    auto entries = calls_[number].entries;
    const auto appended = co_await log.append(std::move(entries), calls_[number].hard_state);
    if (appended) {
      calls_[number].answered = true;
      ++calls_answered_;
    } else if (!log.failed()) {
      ADD_FAILURE() << appended.error().message();
    }
  }

  // Of what is durable, as the replica does it; the entries above go on meanwhile.
  env::Task<void> one_snapshot(Log& log) {
    const LogIndex last = log.last();
    const LogIndex first = std::max(log.first(), saved_.meta.index.next());
    if (saving_.meta.index > saved_.meta.index || last < first) co_return;
    const LogIndex index(first.value + random().below(last.value - first.value + 1));
    const auto read = co_await log.read(index, index, 1);
    // What waits may still overwrite it: only entries that stay are snapshotted.
    const auto kept = accepted_.entries.find(index);
    if (!read || kept == accepted_.entries.end() || kept->second.term != read->front().term ||
        kept->second.payload != read->front().payload.view() || index <= saved_.meta.index ||
        saving_.meta.index > saved_.meta.index) {
      co_return;
    }
    saving_ = {.meta = {.index = index, .term = read->front().term},
               .content = "state at " + std::to_string(index.value) + random().hex(900)};
    const auto saved = co_await log.save_snapshot(saving_.meta, saving_.content, index.next());
    if (saved) {
      saved_ = saving_;
      ++snapshots_taken_;
    }
  }

  // False: the end came meanwhile.
  env::Task<bool> check(Log& log) {
    auto found = co_await read_back(log);
    if (!found) co_return false;
    if (log.recovered().torn_bytes_cut > 0) ++tails_cut_;
    // The prefixes of the last life's calls, shortest first, that hold all it answered.
    std::size_t least = 0;
    for (std::size_t i = 0; i < calls_.size(); ++i)
      if (calls_[i].answered) least = i + 1;
    Model model = durable_;
    bool matched = false;
    for (std::size_t done = 0; done <= calls_.size() && !matched; ++done) {
      if (done > 0) calls_[done - 1].act_on(model);
      matched = done >= least && matches(model, *found);
    }
    EXPECT_TRUE(matched) << "no prefix of " << calls_.size() << " calls (" << least
                         << " at least) gives a log up to " << log.last().value;
    durable_ = matched ? model : *found;
    accepted_ = durable_;
    saving_ = saved_;
    calls_.clear();
    ++lives_checked_;
    co_return true;
  }

  bool matches(const Model& model, const Model& found) const {
    if (model.hard_state != found.hard_state || model.last() != found.last()) return false;
    return std::ranges::all_of(found.entries, [&](const auto& entry) {
      const auto expected = model.entries.find(entry.first);
      return expected != model.entries.end() && expected->second == entry.second;
    });
  }

  env::Task<std::optional<Model>> read_back(Log& log) {
    Model found;
    found.hard_state = log.recovered().hard_state;
    if (const auto meta = log.snapshot()) {
      const auto content = co_await log.load_snapshot();
      if (!content) co_return std::nullopt;  // crashed meanwhile
      const bool is_new = meta->index == saving_.meta.index && *content == saving_.content;
      const bool is_old = meta->index == saved_.meta.index && *content == saved_.content;
      EXPECT_TRUE(is_new || is_old) << "snapshot " << meta->index.value;
      saved_ = {.meta = *meta, .content = *content};
      found.base = meta->index;
      EXPECT_LE(log.first(), meta->index.next());
    } else {
      EXPECT_EQ(saved_.meta.index, LogIndex());
      EXPECT_EQ(log.first(), LogIndex(1));
    }
    for (LogIndex at = log.first(); at <= log.last();) {
      auto read = co_await log.read(at, log.last(), 3000);
      if (!read) {
        EXPECT_TRUE(is_end(read.error())) << read.error().message();
        co_return std::nullopt;
      }
      for (const Entry& entry : *read) {
        EXPECT_EQ(entry.index, at);
        found.entries[at] = {entry.term, std::string(entry.payload.view())};
        at = at.next();
      }
    }
    co_return found;
  }

  sim::World world_;
  sim::Machine& machine_;
  std::unique_ptr<env::Random> random_ = machine_.env().random.fork("test");

  Model durable_;   // at the last check
  Model accepted_;  // with every call since
  std::vector<Call> calls_;
  Snapshot saved_;
  Snapshot saving_;
  std::uint64_t term_ = 1;
  std::uint64_t lives_checked_ = 0;
  std::uint64_t calls_answered_ = 0;
  std::uint64_t tails_cut_ = 0;
  std::uint64_t snapshots_taken_ = 0;
};

TEST(PowerLoss, LeavesAllThatWasAnsweredAndNothingBehindAGap) {
  std::uint64_t lives = 0;
  std::uint64_t answered = 0;
  std::uint64_t cut = 0;
  std::uint64_t snapshots = 0;
  for (std::uint64_t seed = 1; seed <= 400; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Trial trial(seed);
    trial.live_and_die();
    lives += trial.lives_checked();
    answered += trial.calls_answered();
    cut += trial.tails_cut();
    snapshots += trial.snapshots_taken();
    if (HasFailure()) break;
  }
  // The test is of use only when all of this happens.
  EXPECT_GT(lives, 1000u);
  EXPECT_GT(answered, 10'000u);
  EXPECT_GT(cut, 50u);
  EXPECT_GT(snapshots, 200u);
  std::printf("%llu lives, %llu calls answered, %llu torn tails cut, %llu snapshots\n",
              static_cast<unsigned long long>(lives), static_cast<unsigned long long>(answered),
              static_cast<unsigned long long>(cut), static_cast<unsigned long long>(snapshots));
}

}  // namespace
}  // namespace blixard::log

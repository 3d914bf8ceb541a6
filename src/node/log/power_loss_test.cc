// Random work on a log whose machine crashes or loses power at random moments, against a model.
//
// What must hold after every restart: the log is what the first so many calls of the life before
// made of it, all that were answered among them. So nothing acknowledged is missing, nothing
// appears behind a gap, and no call took effect in part; the installation of a snapshot from
// elsewhere is one of the calls, and what is larger than a segment counts as a call for each of its
// entries. The log always opens, so no crash leaves a vote file that is taken for the trace of a
// lost batch; and when a batch with a vote is lost, it never does.

#include <algorithm>
#include <cstdio>
#include <map>
#include <optional>
#include <vector>

#include "env/scope.h"
#include "node/log/log.h"
#include "node/log/segment.h"
#include "sim/world.h"

namespace blixard::log {
namespace {

constexpr const char* kDirectory = "/var/lib/blixard/log";
constexpr int kLives = 5;
// Small segments and payloads of some sectors, so that everything happens.
constexpr Options kOptions{.segment_bytes = 16384, .entry_bytes_max = 4096, .cache_bytes = 2000};

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
  // Of what was read back: the entry before the first one, which is known by its term alone.
  LogIndex before_first;
  Term term_before_first;

  [[nodiscard]] LogIndex last() const {
    return entries.empty() ? base : std::max(base, entries.rbegin()->first);
  }
};

struct Call {
  std::vector<Entry> entries;
  std::optional<HardState> hard_state;
  std::optional<SnapshotMeta> install;
  bool answered = false;

  void act_on(Model& model) const {
    if (install) {
      // Never of an entry that the log holds: its term is a new one.
      model.entries.clear();
      model.base = install->index;
    }
    for (const Entry& entry : entries) {
      model.entries.erase(model.entries.lower_bound(entry.index), model.entries.end());
      model.entries[entry.index] = {entry.term, std::string(entry.payload.view())};
    }
    if (hard_state) model.hard_state = *hard_state;
  }
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

  // The last batch has a vote, and is lost. The log without it would look sound.
  void lose_a_vote() {
    machine_.restart();
    ASSERT_TRUE(world_.run(vote()));
    std::string last_segment;
    ASSERT_TRUE(world_.run(find_last_segment(last_segment)));
    const std::string content = machine_.durable_content(last_segment).value_or("");
    const std::size_t batch = content.rfind("BLXBATCH");
    ASSERT_NE(batch, std::string::npos);
    const std::size_t end = content.find_last_not_of('\0') + 1;
    ASSERT_TRUE(world_.run(wipe(last_segment, batch, end - batch)));
    ASSERT_TRUE(world_.run(expect_lost_vote()));
  }

  [[nodiscard]] std::uint64_t lives_checked() const { return lives_checked_; }
  [[nodiscard]] std::uint64_t calls_answered() const { return calls_answered_; }
  [[nodiscard]] std::uint64_t large_calls() const { return large_calls_; }
  [[nodiscard]] std::uint64_t tails_cut() const { return tails_cut_; }
  [[nodiscard]] std::uint64_t snapshots_taken() const { return snapshots_taken_; }
  [[nodiscard]] std::uint64_t snapshots_installed() const { return snapshots_installed_; }
  [[nodiscard]] std::uint64_t entries_kept() const { return entries_kept_; }

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
    auto log = co_await Log::open(env, kDirectory, kOptions);
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
      scope.spawn(one_call(log));
    if (random().below(6) == 0) scope.spawn(one_snapshot(log));
    if (random().below(12) == 0) scope.spawn(one_install(log));
    if (random().below(2) == 0) {
      const auto pause = std::chrono::microseconds(random().below(500));
      ignore(co_await env.clock.sleep(pause), "a crash ends the round as well");
    }
    co_await scope.join();
  }

  // Appends, sometimes over the tail, sometimes a new term.
  Call make_call() {
    Call call;
    LogIndex next = accepted_.last().next();
    const LogIndex lowest = std::max(saved_, begun_).next();
    if (random().below(10) == 0 && lowest < next) {
      next = LogIndex(lowest.value + random().below(next.value - lowest.value));
      ++term_;
    }
    const bool large = random().below(50) == 0;
    for (std::uint64_t i = large ? 60 : random().below(4); i > 0; --i) {
      call.entries.push_back(
          {.term = Term(term_),
           .index = next,
           .payload = Payload(random().hex(random().below(random().below(700) + 1)))});
      next = next.next();
    }
    if (call.entries.empty() || random().below(8) == 0) {
      call.hard_state = HardState{.term = Term(term_),
                                  .vote = NodeId(1 + random().below(3)),
                                  .commit = LogIndex(random().below(next.value))};
    }
    return call;
  }

  void take(Call call) {
    call.act_on(accepted_);
    calls_.push_back(std::move(call));
  }
  void take_parts(const Call& call) {
    std::size_t bytes = 0;
    for (const Entry& entry : call.entries)
      bytes += entry.payload.size() + 32;
    if (bytes < kOptions.segment_bytes - 1024) return take(call);
    ++large_calls_;
    for (const Entry& entry : call.entries) {
      Call part{.entries = {entry}, .hard_state = call.hard_state, .install = std::nullopt};
      if (part.hard_state) part.hard_state->commit = std::min(call.hard_state->commit, entry.index);
      take(std::move(part));
    }
  }

  env::Task<void> one_call(Log& log) {
    // Nothing comes between the two, so the calls are in the order of appends.
    const Call call = make_call();
    const std::size_t first = calls_.size();
    take_parts(call);
    const std::size_t end = calls_.size();
    auto appending = log.append(call.entries, call.hard_state);
    co_await answer(log, first, end, std::move(appending));
  }

  env::Task<void> answer(Log& log, std::size_t first, std::size_t end,
                         env::Task<Result<void>> operation) {
    const auto done = co_await std::move(operation);
    if (done) {
      for (std::size_t i = first; i < end; ++i)
        calls_[i].answered = true;
      ++calls_answered_;
    } else if (!log.failed()) {
      ADD_FAILURE() << done.error().message();
    }
  }

  // What a snapshot holds is known from its index and term.
  static std::string content_of(const SnapshotMeta& meta) {
    std::string content = "state at " + std::to_string(meta.index.value) + " of " +
                          std::to_string(meta.term.value) + " ";
    while (content.size() < 300 * (meta.index.value % 7))
      content += std::to_string(content.size());
    return content;
  }

  // Of what is durable, as the replica does it; the entries above go on meanwhile.
  env::Task<void> one_snapshot(Log& log) {
    const LogIndex last = log.last();
    const LogIndex first = std::max(log.first(), saved_.next());
    if (begun_ > saved_ || last < first) co_return;
    const LogIndex index(first.value + random().below(last.value - first.value + 1));
    const auto read = co_await log.read(index, index, 1);
    // What waits may still overwrite it: only entries that stay are snapshotted.
    const auto kept = accepted_.entries.find(index);
    if (!read || kept == accepted_.entries.end() || kept->second.term != read->front().term ||
        kept->second.payload != read->front().payload.view() || index <= saved_ ||
        begun_ > saved_) {
      co_return;
    }
    begun_ = index;
    const SnapshotMeta meta{.index = index, .term = read->front().term};
    const LogIndex keep_from(1 + random().below(index.value + 5));
    const auto saved = co_await log.save_snapshot(meta, content_of(meta), keep_from);
    if (saved) {
      saved_ = std::max(saved_, index);
      ++snapshots_taken_;
      if (log.first() <= index) ++entries_kept_;
    }
  }

  // From elsewhere: ahead of the log or in conflict with it. Appends go on while it comes.
  env::Task<void> one_install(Log& log) {
    const LogIndex index(std::max(accepted_.last(), begun_).value + random().below(20));
    const SnapshotMeta meta{.index = index.next(), .term = Term(++term_)};
    auto writer = co_await log.begin_snapshot(meta, content_of(meta).size());
    if (!writer) co_return;
    const std::string content = content_of(meta);
    for (std::size_t at = 0; at < content.size(); at += 700)
      if (!co_await (*writer)->write(Payload(content.substr(at, 700)))) co_return;
    if (!co_await (*writer)->finish(std::nullopt)) co_return;
    // One of our own that began meanwhile is not ended by it here; the replica would know better.
    if (meta.index <= std::max(saved_, begun_) || begun_ > saved_ || random().below(4) == 0) {
      co_return;
    }
    begun_ = meta.index;
    Call call;
    call.install = meta;
    const std::size_t number = calls_.size();
    take(std::move(call));
    co_await answer(log, number, number + 1, (*writer)->install());
    if (calls_[number].answered) {
      saved_ = std::max(saved_, meta.index);
      ++snapshots_installed_;
    }
  }

  env::Task<void> vote() {
    auto log = co_await Log::open(machine_.env(), kDirectory, kOptions);
    EXPECT_TRUE(log);
    if (!log) co_return;
    HardState state = (*log)->recovered().hard_state;
    state.term = Term(++term_);
    state.vote = NodeId(random().below(3));
    state.commit = std::min(state.commit, (*log)->last());  // the model overwrites at random
    EXPECT_TRUE(co_await (*log)->append({}, state));
    co_await (*log)->close();
  }

  env::Task<void> find_last_segment(std::string& path) {
    const auto files = co_await machine_.env().disk.list(kDirectory);
    EXPECT_TRUE(files);
    for (const auto& file : *files)
      if (parse_segment_name(file.name)) path = env::join_path(kDirectory, file.name);
  }

  env::Task<void> wipe(std::string path, std::uint64_t offset, std::size_t bytes) {
    auto file = co_await machine_.env().disk.open(path, env::OpenMode::kReadWrite);
    const std::string zeros(bytes, '\0');
    const std::array<std::string_view, 1> parts{zeros};
    EXPECT_TRUE(co_await (*file)->write_at(offset, parts));
  }

  env::Task<void> expect_lost_vote() {
    const auto log = co_await Log::open(machine_.env(), kDirectory, kOptions);
    EXPECT_FALSE(log) << "opened";
    if (log) {
      co_await (*log)->close();
      co_return;
    }
    EXPECT_EQ(log.error().reason(), "log_corrupt");
    EXPECT_THAT(std::string(log.error().detail()), testing::HasSubstr("its end was lost"));
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
    begun_ = saved_;
    calls_.clear();
    ++lives_checked_;
    co_return true;
  }

  bool matches(const Model& model, const Model& found) const {
    if (model.hard_state != found.hard_state || model.last() != found.last()) return false;
    const auto before = model.entries.find(found.before_first);
    if (before != model.entries.end() && before->second.term != found.term_before_first) {
      return false;
    }
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
      EXPECT_EQ(*content, content_of(*meta));
      EXPECT_GE(meta->index, saved_);
      saved_ = meta->index;
      found.base = meta->index;
      EXPECT_LE(log.first(), meta->index.next());
    } else {
      EXPECT_EQ(saved_, LogIndex());
      EXPECT_EQ(log.first(), LogIndex(1));
    }
    found.before_first = LogIndex(log.first().value - 1);
    const auto term_before = log.term(found.before_first);
    EXPECT_TRUE(term_before) << found.before_first.value;
    found.term_before_first = term_before.value_or(Term());
    for (LogIndex at = log.first(); at <= log.last();) {
      auto read = co_await log.read(at, log.last(), 3000);
      if (!read) {
        EXPECT_TRUE(is_end(read.error())) << read.error().message();
        co_return std::nullopt;
      }
      for (const Entry& entry : *read) {
        EXPECT_EQ(entry.index, at);
        EXPECT_EQ(log.term(at), entry.term);
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
  LogIndex saved_;  // of the newest snapshot that is known to be there
  LogIndex begun_;  // of the newest one that may be
  std::uint64_t term_ = 1;
  std::uint64_t lives_checked_ = 0;
  std::uint64_t calls_answered_ = 0;
  std::uint64_t large_calls_ = 0;
  std::uint64_t tails_cut_ = 0;
  std::uint64_t snapshots_taken_ = 0;
  std::uint64_t snapshots_installed_ = 0;
  std::uint64_t entries_kept_ = 0;
};

TEST(PowerLoss, LeavesAllThatWasAnsweredAndNothingBehindAGap) {
  std::uint64_t lives = 0;
  std::uint64_t answered = 0;
  std::uint64_t large = 0;
  std::uint64_t cut = 0;
  std::uint64_t snapshots = 0;
  std::uint64_t installed = 0;
  std::uint64_t kept = 0;
  for (std::uint64_t seed = 1; seed <= 400; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Trial trial(seed);
    trial.live_and_die();
    lives += trial.lives_checked();
    answered += trial.calls_answered();
    large += trial.large_calls();
    cut += trial.tails_cut();
    snapshots += trial.snapshots_taken();
    installed += trial.snapshots_installed();
    kept += trial.entries_kept();
    if (HasFailure()) break;
    trial.lose_a_vote();
  }
  // The test is of use only when all of this happens.
  EXPECT_GT(lives, 1000u);
  EXPECT_GT(answered, 10'000u);
  EXPECT_GT(large, 100u);
  EXPECT_GT(cut, 50u);
  EXPECT_GT(snapshots, 200u);
  EXPECT_GT(installed, 200u);
  EXPECT_GT(kept, 100u);
  std::printf(
      "%llu lives, %llu calls answered, %llu torn tails cut, %llu snapshots (%llu kept "
      "entries behind them), %llu installed\n",
      static_cast<unsigned long long>(lives), static_cast<unsigned long long>(answered),
      static_cast<unsigned long long>(cut), static_cast<unsigned long long>(snapshots),
      static_cast<unsigned long long>(kept), static_cast<unsigned long long>(installed));
}

}  // namespace
}  // namespace blixard::log

#include <fmt/format.h>

#include "test/perf/report/latencies.h"
#include "test/perf/shared_state_access/cases.h"
#include "test/perf/shared_state_access/racing.h"
#include "test/perf/shared_state_access/stores.h"

namespace blixard::perf {
namespace {

using replica::ClusterReader;
using Timer = std::chrono::steady_clock;

struct Stores {
  explicit Stores(std::size_t members) : count(members), view(members), locked(members) {}
  std::size_t count;
  ViewStore view;
  LockedStore locked;
};

// What readers found out, each on its own thread, once their threads have ended.
class Sum {
 public:
  void add(const Latencies& mine) {
    const std::lock_guard lock(guard_);
    all_.add(mine);
  }
  [[nodiscard]] const Latencies& all() const { return all_; }

 private:
  std::mutex guard_;
  Latencies all_;
};

class Reporter {
 public:
  explicit Reporter(Sum& sum) : sum_(sum) {}
  Reporter(const Reporter&) = delete;
  Reporter& operator=(const Reporter&) = delete;
  ~Reporter() { sum_.add(mine); }

  Latencies mine;

 private:
  Sum& sum_;
};

// Readers rest a little: those of std::shared_mutex that follow each other closely never let the
// writer in.
constexpr std::chrono::microseconds kBetweenReads{2};

void rest(Timer::time_point since) {
  while (Timer::now() - since < kBetweenReads)
    keep(since);
}

double percent(std::uint64_t part, std::uint64_t all) {
  return 100.0 * static_cast<double>(part) / static_cast<double>(std::max<std::uint64_t>(1, all));
}

// S4, S55: how long two readers hold the lock, and how often the writer finds it taken.
struct Holding {
  Latencies held;
  double contended = 0;  // percent of the changes
};

Holding hold(Stores& stores, bool copies) {
  Sum sum;
  const auto make_reader = [&](std::size_t) {
    return [&stores, copies, reporter = std::make_unique<Reporter>(sum)] {
      std::shared_mutex& mutex = stores.locked.mutex();
      mutex.lock_shared();
      const auto begin = Timer::now();
      if (copies) {
        const MemberMap copy = stores.locked.unlocked();
        keep(copy.size());
      } else {
        keep(stores.locked.unlocked().find(1)->second.address.size());
      }
      const auto end = Timer::now();
      mutex.unlock_shared();
      reporter->mine.add(end - begin);
      rest(end);
    };
  };
  std::uint64_t taken = 0;
  const RaceResult result = race({.readers = 2}, make_reader, [&] {
    if (stores.locked.mutex().try_lock()) {
      stores.locked.mutex().unlock();
    } else {
      ++taken;
    }
    stores.locked.change();
  });
  return {.held = sum.all(), .contended = percent(taken, result.writes)};
}

void add_holding(Report& report, std::shared_ptr<Stores> stores) {
  const auto nothing = [] { return 0.0; };  // a view has no lock
  for (const double part : {0.5, 0.99}) {
    const auto held = [=](bool copies) {
      return [=] { return hold(*stores, copies).held.ns_at(part); };
    };
    report.add({.name = fmt::format("a reader holds the lock, p{:g}: {} members", part * 100,
                                    stores->count),
                .unit = "ns",
                .items = {"S3", "S4", "S55"},
                .measure = nothing,
                .baselines = {{kCopy, held(true)}, {kVisit, held(false)}},
                .allocations = nullptr,
                .targets = {}});
  }
  const auto contended = [=](bool copies) {
    return [=] { return hold(*stores, copies).contended; };
  };
  report.add({.name = fmt::format("changes that found the lock taken: {} members", stores->count),
              .unit = "%",
              .items = {"S4", "X5"},
              .measure = nothing,
              .baselines = {{kCopy, contended(true)}, {kVisit, contended(false)}},
              .allocations = nullptr,
              .targets = {}});
}

// X1: how long a reader may be kept from going on by a writer that never rests.
Latencies stalls(const Race& how, auto make_reader, auto write) {
  Sum sum;
  race(
      how,
      [&](std::size_t i) {
        return [reporter = std::make_unique<Reporter>(sum), read = make_reader(i)]() mutable {
          const auto begin = Timer::now();
          read();
          const auto end = Timer::now();
          reporter->mine.add(end - begin);
          rest(end);
        };
      },
      write);
  return sum.all();
}

// One reader beside the writer, so that nobody waits for a processor.
constexpr Race kBusyWriter{.readers = 1, .lasts = std::chrono::milliseconds(100), .pause = {}};

Latencies stalls_of_view(Stores& stores) {
  return stalls(
      kBusyWriter,
      [&](std::size_t) {
        return [reader = std::make_unique<ClusterReader>(stores.view.view())] {
          keep(reader->cluster_member_count());
        };
      },
      [&] { stores.view.change(); });
}

// The writer holds the lock for as long as the view's needs for its change.
Latencies stalls_of_lock(Stores& stores, bool tries, std::uint64_t* misses) {
  return stalls(
      kBusyWriter,
      [&](std::size_t) {
        return [&, tries, misses, last = stores.locked.clone()] {
          const auto look = [](const MemberMap& members) { keep(members.size()); };
          if (!tries) {
            stores.locked.visit(look);
          } else if (!stores.locked.try_visit(look)) {
            look(last);
            ++*misses;
          }
        };
      },
      [&] {
        const std::unique_lock lock(stores.locked.mutex());
        stores.view.change();
      });
}

// Percent of the reads that were answered by what the reader had kept.
double old_answers(Stores& stores) {
  std::uint64_t misses = 0;
  const Latencies all = stalls_of_lock(stores, true, &misses);
  return percent(misses, all.count());
}

void add_stalls(Report& report, std::shared_ptr<Stores> stores) {
  constexpr const char* kTry = "try the lock, else the last copy";
  for (const double part : {0.5, 0.99, 0.999}) {
    const auto locked = [=](bool tries) {
      return [=] {
        std::uint64_t misses = 0;
        return stalls_of_lock(*stores, tries, &misses).ns_at(part);
      };
    };
    report.add({.name = fmt::format("a read beside a busy writer, p{:g}: {} members", part * 100,
                                    stores->count),
                .unit = "ns",
                .items = {"X1"},
                .measure = [=] { return stalls_of_view(*stores).ns_at(part); },
                .baselines = {{kVisit, locked(false)}, {kTry, locked(true)}},
                .allocations = nullptr,
                .targets = {},
                .varies = true});
  }
  report.add({.name = fmt::format("reads beside a busy writer that got an old copy: {} members",
                                  stores->count),
              .unit = "%",
              .items = {"X1"},
              .measure = [] { return 0.0; },  // a view is the newest or becomes it
              .baselines = {{kTry, [=] { return old_answers(*stores); }}},
              .allocations = nullptr,
              .targets = {}});
}

// X2: a cache of copies that are good for a while, beside the view: how often a read is answered
// from what the reader has, and how far that may lie behind. A thousand changes a second.
constexpr Race kChanges{.readers = 1, .pause = std::chrono::microseconds(1000)};

struct Freshness {
  double hits = 0;         // percent of the reads
  double behind_most = 0;  // changes that a read did not show although they were made before it
};

Freshness freshness_of_view() {
  std::atomic<std::uint64_t> made{1};
  std::atomic<std::uint64_t> refreshes{0};
  std::atomic<std::uint64_t> behind{0};
  observe::View<std::uint64_t> view(1);
  using Reader = observe::View<std::uint64_t>::Reader;
  const RaceResult result = race(
      kChanges,
      [&](std::size_t) {
        const auto count = [&](Reader* reader) {
          refreshes += reader->refreshes();
          delete reader;
        };
        return [&, reader = std::unique_ptr<Reader, decltype(count)>(new Reader(view), count)] {
          const std::uint64_t before = made.load(std::memory_order_acquire);
          const std::uint64_t seen = reader->read();
          if (seen < before) behind = std::max(behind.load(), before - seen);
        };
      },
      [&] {
        view.publish(made.load() + 1);
        made.fetch_add(1, std::memory_order_release);
      });
  return {.hits = 100.0 - percent(refreshes, result.reads),
          .behind_most = static_cast<double>(behind)};
}

Freshness freshness_of_cache() {
  constexpr std::chrono::milliseconds kLives{10};
  std::shared_mutex mutex;
  std::uint64_t value = 1;
  std::atomic<std::uint64_t> made{1};
  std::atomic<std::uint64_t> fills{0};
  std::atomic<std::uint64_t> behind{0};
  const RaceResult result = race(
      kChanges,
      [&](std::size_t) {
        return [&, cached = std::uint64_t{0}, until = Timer::time_point{}]() mutable {
          const std::uint64_t before = made.load(std::memory_order_acquire);
          const auto now = Timer::now();
          if (now >= until) {
            const std::shared_lock lock(mutex);
            cached = value;
            until = now + kLives;
            fills.fetch_add(1, std::memory_order_relaxed);
          }
          if (cached < before) behind = std::max(behind.load(), before - cached);
        };
      },
      [&] {
        const std::unique_lock lock(mutex);
        ++value;
        made.store(value, std::memory_order_release);
      });
  return {.hits = 100.0 - percent(fills, result.reads), .behind_most = static_cast<double>(behind)};
}

void add_freshness(Report& report) {
  constexpr const char* kCache = "cache of 10 ms";
  report.add({.name = "reads answered from what the reader has",
              .unit = "%",
              .better = Better::kHigher,
              .items = {"X2"},
              .measure = [] { return freshness_of_view().hits; },
              .baselines = {{kCache, [] { return freshness_of_cache().hits; }}},
              .allocations = nullptr,
              .targets = {at_least(99)}});
  report.add({.name = "changes that a read lies behind at most",
              .unit = "changes",
              .items = {"X2"},
              .measure = [] { return freshness_of_view().behind_most; },
              .baselines = {{kCache, [] { return freshness_of_cache().behind_most; }}},
              .allocations = nullptr,
              .targets = {at_most(0)}});
}

}  // namespace

void add_waiting_cases(Report& report) {
  for (const std::size_t members : {std::size_t{100}, std::size_t{1000}}) {
    const auto stores = std::make_shared<Stores>(members);
    add_holding(report, stores);
    add_stalls(report, stores);
  }
  add_freshness(report);
}

}  // namespace blixard::perf

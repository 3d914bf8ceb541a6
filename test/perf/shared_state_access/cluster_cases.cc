#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "observe/allocations.h"
#include "test/perf/shared_state_access/cases.h"
#include "test/perf/shared_state_access/racing.h"
#include "test/perf/shared_state_access/stores.h"

namespace blixard::perf {
namespace {

using cluster::Members;
using replica::ClusterReader;

constexpr std::array<std::size_t, 3> kMembers{3, 100, 1000};
constexpr std::array<std::size_t, 5> kThreads{1, 2, 4, 8, 64};

// Processor time of a read with one reader, reads a second with more.
Measure measured(std::size_t threads, std::function<RaceResult(const Race&)> run) {
  return [threads, run = std::move(run)] {
    const RaceResult result = run({.readers = threads});
    return threads == 1 ? result.ns_per_read : result.reads_per_second;
  };
}

// A different member each time, without a division.
struct Walk {
  std::size_t members;
  std::size_t next = 0;
  std::uint64_t id() {
    if (++next > members) next = 1;
    return next;
  }
};

template <class Call>
double allocations_of(Call call) {
  call();  // what is made once
  const observe::AllocationMeter meter;
  constexpr int kCalls = 1000;
  for (int i = 0; i < kCalls; ++i)
    call();
  return static_cast<double>(meter.spent().allocations) / kCalls;
}

// One read by each way, of `members` of them.
struct Stores {
  explicit Stores(std::size_t members)
      : count(members), view(members), locked(members), tbb(members) {}
  std::size_t count;
  ViewStore view;
  LockedStore locked;
  TbbStore tbb;

  RaceResult race_view(const Race& how, auto read) {
    return race(
        how,
        [&](std::size_t) {
          return [reader = std::make_unique<ClusterReader>(view.view()), walk = Walk{count},
                  read]() mutable { read(*reader, walk); };
        },
        [&] { view.change(); });
  }
  RaceResult race_clone(const Race& how, auto read) {
    return race(
        how,
        [&](std::size_t) {
          return [this, walk = Walk{count}, read]() mutable {
            const MemberMap copy = locked.clone();
            read(copy, walk);
          };
        },
        [&] { locked.change(); });
  }
  RaceResult race_visitor(const Race& how, auto read) {
    return race(
        how,
        [&](std::size_t) {
          return [this, walk = Walk{count}, read]() mutable {
            locked.visit([&](const MemberMap& members) { read(members, walk); });
          };
        },
        [&] { locked.change(); });
  }
  RaceResult race_tbb(const Race& how, auto read) {
    return race(
        how,
        [&](std::size_t) {
          return [this, walk = Walk{count}, read]() mutable { read(tbb, walk); };
        },
        [&] { tbb.change(); });
  }
};

std::string case_name(std::string_view what, std::size_t members, std::size_t threads) {
  return fmt::format("{}, {} members, {} threads", what, members, threads);
}

// S1, S2, S29: the read itself. A count is the least one can want, so this is its whole price.
void add_count(Report& report, std::shared_ptr<Stores> stores, std::size_t threads) {
  const auto map_size = [](const MemberMap& members, Walk&) { keep(members.size()); };
  Case each{.name = case_name("count", stores->count, threads),
            .unit = threads == 1 ? "ns" : "/s",
            .better = threads == 1 ? Better::kLower : Better::kHigher,
            .items = {"S1", "S2", "S29"},
            .measure = measured(threads,
                                [=](const Race& how) {
                                  return stores->race_view(how, [](ClusterReader& reader, Walk&) {
                                    keep(reader.cluster_member_count());
                                  });
                                }),
            .baselines = {{"clone", measured(threads,
                                             [=](const Race& how) {
                                               return stores->race_clone(how, map_size);
                                             })},
                          {"visitor", measured(threads,
                                               [=](const Race& how) {
                                                 return stores->race_visitor(how, map_size);
                                               })},
                          {"tbb", measured(threads,
                                           [=](const Race& how) {
                                             return stores->race_tbb(
                                                 how, [](const TbbStore& members, Walk&) {
                                                   keep(members.size());
                                                 });
                                           })}},
            .allocations =
                [=] {
                  ClusterReader reader(stores->view.view());
                  return allocations_of([&] { keep(reader.cluster_member_count()); });
                },
            .targets = {allocations_at_most(0)}};
  if (threads == 1) each.targets.push_back(at_most(2));
  if (stores->count >= 100) each.targets.push_back(better_than("clone", 20));
  report.add(std::move(each));
}

// S1, S29: one member looked up.
void add_find(Report& report, std::shared_ptr<Stores> stores, std::size_t threads) {
  const auto find_in_view = [](ClusterReader& reader, Walk& walk) {
    reader.with_cluster_members([&](const Members& members) {
      keep(members.find(NodeId(walk.id()))->peer->address.size());
    });
  };
  const auto find_in_map = [](const MemberMap& members, Walk& walk) {
    keep(members.find(walk.id())->second.address.size());
  };
  report.add(
      {.name = case_name("find a member", stores->count, threads),
       .unit = threads == 1 ? "ns" : "/s",
       .better = threads == 1 ? Better::kLower : Better::kHigher,
       .items = {"S1", "S29"},
       .measure =
           measured(threads, [=](const Race& how) { return stores->race_view(how, find_in_view); }),
       .baselines = {{"clone", measured(threads,
                                        [=](const Race& how) {
                                          return stores->race_clone(how, find_in_map);
                                        })},
                     {"visitor", measured(threads,
                                          [=](const Race& how) {
                                            return stores->race_visitor(how, find_in_map);
                                          })},
                     {"tbb", measured(threads,
                                      [=](const Race& how) {
                                        return stores->race_tbb(
                                            how, [](const TbbStore& members, Walk& walk) {
                                              members.visit(walk.id(), [](const OwnMember& member) {
                                                keep(member.address.size());
                                              });
                                            });
                                      })}},
       .allocations =
           [=] {
             ClusterReader reader(stores->view.view());
             Walk walk{stores->count};
             return allocations_of([&] { find_in_view(reader, walk); });
           },
       .targets = {allocations_at_most(0)}});
}

// S3, S24: all peers into a buffer, records or strings.
void add_peers(Report& report, std::shared_ptr<Stores> stores) {
  using Copies = std::vector<std::pair<std::uint64_t, std::string>>;
  report.add(
      {.name = fmt::format("get_peers, {} members", stores->count),
       .unit = "ns",
       .items = {"S3", "S24"},
       .measure = measured(1,
                           [=](const Race& how) {
                             std::vector<cluster::PeerRecord> peers;
                             return stores->race_view(how, [&](ClusterReader& reader, Walk&) {
                               reader.get_peers(peers);
                               keep(peers.data());
                             });
                           }),
       .baselines = {{"clone the map, then the peers",
                      measured(1,
                               [=](const Race& how) {
                                 return stores->race_clone(how, [](const MemberMap& map, Walk&) {
                                   Copies peers;
                                   for (const auto& [id, member] : map)
                                     peers.emplace_back(id, member.address);
                                   keep(peers.data());
                                 });
                               })},
                     {"copy the peers under the lock",
                      measured(1,
                               [=](const Race& how) {
                                 return stores->race_visitor(how, [](const MemberMap& map, Walk&) {
                                   Copies peers;
                                   for (const auto& [id, member] : map)
                                     peers.emplace_back(id, member.address);
                                   keep(peers.data());
                                 });
                               })}},
       .allocations =
           [=] {
             ClusterReader reader(stores->view.view());
             std::vector<cluster::PeerRecord> peers;
             return allocations_of([&] { reader.get_peers(peers); });
           },
       .targets = {allocations_at_most(0), better_than("clone the map, then the peers", 5)}});
}

// S4, S55: how long one reader keeps the writer out, and how often a reader found the lock taken.
struct Holding {
  std::vector<double> held_ns;
  std::uint64_t contended = 0;
  std::uint64_t all = 0;
};

Holding hold(Stores& stores, bool clones) {
  Holding all;
  std::mutex sum;
  const auto make_reader = [&](std::size_t) {
    struct Meter {
      Meter(Holding& total, std::mutex& guard) : total_(total), guard_(guard) {}
      Meter(Meter&&) = delete;
      ~Meter() {
        const std::lock_guard lock(guard_);
        total_.held_ns.insert(total_.held_ns.end(), mine.held_ns.begin(), mine.held_ns.end());
        total_.contended += mine.contended;
        total_.all += mine.all;
      }
      Holding mine;

     private:
      Holding& total_;
      std::mutex& guard_;
    };
    return [&stores, clones, meter = std::make_unique<Meter>(all, sum)]() mutable {
      std::shared_mutex& mutex = stores.locked.mutex();
      ++meter->mine.all;
      if (!mutex.try_lock_shared()) {
        ++meter->mine.contended;
        mutex.lock_shared();
      }
      const auto begin = std::chrono::steady_clock::now();
      if (clones) {
        const MemberMap copy = stores.locked.unlocked();
        keep(copy.size());
      } else {
        keep(stores.locked.unlocked().find(1)->second.address.size());
      }
      const std::chrono::duration<double, std::nano> held =
          std::chrono::steady_clock::now() - begin;
      mutex.unlock_shared();
      if (meter->mine.held_ns.size() < 100'000) meter->mine.held_ns.push_back(held.count());
    };
  };
  // A writer that waits for its turn among two readers.
  race({.readers = 2}, make_reader, [&] { stores.locked.change(); });
  return all;
}

void add_holding(Report& report, std::shared_ptr<Stores> stores) {
  const auto nothing = [] { return 0.0; };  // readers of a view hold no lock
  for (const double part : {0.5, 0.99}) {
    const auto held = [=](bool clones) {
      return [=] {
        Holding holding = hold(*stores, clones);
        return quantile(holding.held_ns, part);
      };
    };
    report.add({.name = fmt::format("lock held by a reader, p{:.0f}, {} members", part * 100,
                                    stores->count),
                .unit = "ns",
                .items = {"S3", "S4"},
                .measure = nothing,
                .baselines = {{"clone", held(true)}, {"visitor", held(false)}},
                .allocations = nullptr,
                .targets = {at_most(0)}});
  }
  const auto contended = [=](bool clones) {
    return [=] {
      const Holding holding = hold(*stores, clones);
      return 100.0 * static_cast<double>(holding.contended) /
             static_cast<double>(std::max<std::uint64_t>(1, holding.all));
    };
  };
  report.add({.name = fmt::format("readers that found the lock taken, {} members", stores->count),
              .unit = "%",
              .items = {"S4"},
              .measure = nothing,
              .baselines = {{"clone", contended(true)}, {"visitor", contended(false)}},
              .allocations = nullptr,
              .targets = {at_most(0)}});
}

// X1: how long a reader may be kept from going on by a writer that never rests.
std::vector<double> stalls(const Race& how, auto make_reader, auto write) {
  std::vector<double> all;
  std::mutex guard;
  race(
      how,
      [&](std::size_t i) {
        struct Kept {
          Kept(std::vector<double>& sum, std::mutex& mutex) : sum_(sum), mutex_(mutex) {
            mine.reserve(1 << 20);
          }
          Kept(Kept&&) = delete;
          ~Kept() {
            const std::lock_guard lock(mutex_);
            sum_.insert(sum_.end(), mine.begin(), mine.end());
          }
          std::vector<double> mine;

         private:
          std::vector<double>& sum_;
          std::mutex& mutex_;
        };
        return [kept = std::make_unique<Kept>(all, guard), read = make_reader(i)]() mutable {
          const auto begin = std::chrono::steady_clock::now();
          read();
          const std::chrono::duration<double, std::nano> took =
              std::chrono::steady_clock::now() - begin;
          if (kept->mine.size() < kept->mine.capacity()) kept->mine.push_back(took.count());
        };
      },
      write);
  return all;
}

void add_stalls(Report& report, std::shared_ptr<Stores> stores) {
  // Beside the writer, so that nobody waits for a processor.
  const Race how{.readers = 1, .lasts = std::chrono::milliseconds(100), .pause = {}};
  const auto view = [=] {
    return stalls(
        how,
        [&](std::size_t) {
          return [reader = std::make_unique<ClusterReader>(stores->view.view())] {
            keep(reader->cluster_member_count());
          };
        },
        [&] { stores->view.change(); });
  };
  // As long as the view's writer needs for its change, of which it holds the lock all the time.
  const auto locked = [=](bool tries) {
    return stalls(
        how,
        [&](std::size_t) {
          return [&, tries, last = stores->locked.clone()]() mutable {
            const auto look = [](const MemberMap& members) { keep(members.size()); };
            if (!tries) {
              stores->locked.visit(look);
            } else if (!stores->locked.try_visit(look)) {
              look(last);
            }
          };
        },
        [&] {
          const std::unique_lock lock(stores->locked.mutex());
          stores->view.change();
        });
  };
  for (const double part : {0.5, 0.999, 1.0}) {
    const auto at = [part](auto run) {
      return [part, run] {
        std::vector<double> all = run();
        return quantile(all, part);
      };
    };
    report.add({.name = fmt::format("reader beside a busy writer, {}, {} members",
                                    part == 1.0 ? "the longest" : fmt::format("p{}", part * 100),
                                    stores->count),
                .unit = "ns",
                .items = {"X1"},
                .measure = at(view),
                .baselines = {{"shared_mutex", at([=] { return locked(false); })},
                              {"try_lock, else the last clone", at([=] { return locked(true); })}},
                .allocations = nullptr,
                .targets = {}});
  }
}

// X2: a cache of clones that are good for a while, beside the view: how often a read is answered
// from what the reader has, and how far that may lie behind.
struct Freshness {
  double hits = 0;         // percent of the reads
  double behind_most = 0;  // changes that a read did not show although they were made before it
};

Freshness freshness_of_view(Stores& stores) {
  const auto first = stores.view.view().number();
  std::atomic<std::uint64_t> made{first};
  std::atomic<std::uint64_t> refreshes{0};
  std::atomic<std::uint64_t> behind{0};
  observe::View<std::uint64_t> view(first);
  using Reader = observe::View<std::uint64_t>::Reader;
  const RaceResult result = race(
      {.readers = 1, .pause = std::chrono::microseconds(1000)},
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
  return {
      .hits = 100.0 * (1.0 - static_cast<double>(refreshes) / static_cast<double>(result.reads)),
      .behind_most = static_cast<double>(behind)};
}

Freshness freshness_of_cache(std::chrono::milliseconds lives) {
  std::shared_mutex mutex;
  std::uint64_t value = 1;
  std::atomic<std::uint64_t> made{1};
  std::atomic<std::uint64_t> fills{0};
  std::atomic<std::uint64_t> behind{0};
  const RaceResult result = race(
      {.readers = 1, .pause = std::chrono::microseconds(1000)},
      [&](std::size_t) {
        return [&, cached = std::uint64_t{0},
                until = std::chrono::steady_clock::time_point{}]() mutable {
          const std::uint64_t before = made.load(std::memory_order_acquire);
          const auto now = std::chrono::steady_clock::now();
          if (now >= until) {
            const std::shared_lock lock(mutex);
            cached = value;
            until = now + lives;
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
  return {.hits = 100.0 * (1.0 - static_cast<double>(fills) / static_cast<double>(result.reads)),
          .behind_most = static_cast<double>(behind)};
}

void add_freshness(Report& report, std::shared_ptr<Stores> stores) {
  constexpr std::chrono::milliseconds kLives{10};
  report.add({.name = "reads answered from what the reader has",
              .unit = "%",
              .better = Better::kHigher,
              .items = {"X2"},
              .measure = [=] { return freshness_of_view(*stores).hits; },
              .baselines = {{"cache of 10 ms", [=] { return freshness_of_cache(kLives).hits; }}},
              .allocations = nullptr,
              .targets = {at_least(99)}});
  report.add(
      {.name = "changes that a read lies behind, the most",
       .unit = "changes",
       .items = {"X2"},
       .measure = [=] { return freshness_of_view(*stores).behind_most; },
       .baselines = {{"cache of 10 ms", [=] { return freshness_of_cache(kLives).behind_most; }}},
       .allocations = nullptr,
       .targets = {at_most(0)}});
}

// S18: what the owner pays for a change of the members, once for all that is applied together.
void add_publish(Report& report, std::shared_ptr<Stores> stores) {
  report.add({.name = fmt::format("publish a change, {} members", stores->count),
              .unit = "ns",
              .items = {"S18", "S29"},
              .measure = [=] { return ns_per_call(2000, [&] { stores->view.change(); }); },
              .baselines = {{"one by one under the lock",
                             [=] { return ns_per_call(2000, [&] { stores->locked.change(); }); }}},
              .allocations = [=] { return allocations_of([&] { stores->view.change(); }); },
              .targets = {}});
}

}  // namespace

void add_cluster_cases(Report& report) {
  for (const std::size_t members : kMembers) {
    const auto stores = std::make_shared<Stores>(members);
    for (const std::size_t threads : kThreads) {
      add_count(report, stores, threads);
      add_find(report, stores, threads);
    }
    add_peers(report, stores);
    add_publish(report, stores);
    if (members == 3) continue;
    add_holding(report, stores);
    add_stalls(report, stores);
    if (members == 100) add_freshness(report, stores);
  }
}

}  // namespace blixard::perf

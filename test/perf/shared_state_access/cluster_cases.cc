#include <fmt/format.h>

#include "test/perf/report/counting.h"
#include "test/perf/shared_state_access/cases.h"
#include "test/perf/shared_state_access/racing.h"
#include "test/perf/shared_state_access/stores.h"

namespace blixard::perf {
namespace {

using cluster::Members;
using replica::ClusterReader;

constexpr const char* kCopyPeers = "copied out of a copy of the map";

constexpr std::array<std::size_t, 3> kMembers{3, 100, 1000};
constexpr std::array<std::size_t, 4> kThreads{1, 2, 8, 64};

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
  return fmt::format("{}: {} members, {} reader{}", what, members, threads,
                     threads == 1 ? "" : "s");
}

// S1, S2, S29: the read itself. A count is the least one can want, so this is its whole price.
void add_count(Report& report, std::shared_ptr<Stores> stores, std::size_t threads) {
  const auto map_size = [](const MemberMap& members, Walk&) { keep(members.size()); };
  Case each{
      .name = case_name("how many there are", stores->count, threads),
      .unit = threads == 1 ? "ns" : "/s",
      .better = threads == 1 ? Better::kLower : Better::kHigher,
      .items = {"S1", "S2", "S29"},
      .measure = measured(threads,
                          [=](const Race& how) {
                            return stores->race_view(how, [](ClusterReader& reader, Walk&) {
                              keep(reader.cluster_member_count());
                            });
                          }),
      .baselines =
          {{kCopy,
            measured(threads, [=](const Race& how) { return stores->race_clone(how, map_size); })},
           {kVisit, measured(threads,
                             [=](const Race& how) { return stores->race_visitor(how, map_size); })},
           {kTbb, measured(threads,
                           [=](const Race& how) {
                             return stores->race_tbb(
                                 how, [](const TbbStore& members, Walk&) { keep(members.size()); });
                           })}},
      .allocations =
          [=] {
            ClusterReader reader(stores->view.view());
            return allocations_of([&] { keep(reader.cluster_member_count()); });
          },
      .targets = {allocations_at_most(0)},
      .varies = threads > 1};
  if (threads == 1) each.targets.push_back(at_most(2));
  if (stores->count >= 100) each.targets.push_back(better_than(kCopy, 20));
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
      {.name = case_name("look one up", stores->count, threads),
       .unit = threads == 1 ? "ns" : "/s",
       .better = threads == 1 ? Better::kLower : Better::kHigher,
       .items = {"S1", "S29"},
       .measure =
           measured(threads, [=](const Race& how) { return stores->race_view(how, find_in_view); }),
       .baselines = {{kCopy, measured(threads,
                                      [=](const Race& how) {
                                        return stores->race_clone(how, find_in_map);
                                      })},
                     {kVisit, measured(threads,
                                       [=](const Race& how) {
                                         return stores->race_visitor(how, find_in_map);
                                       })},
                     {kTbb, measured(threads,
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
       .targets = {allocations_at_most(0)},
       .varies = threads > 1});
}

// S3, S24: all peers into a buffer, records or strings.
void add_peers(Report& report, std::shared_ptr<Stores> stores) {
  using Copies = std::vector<std::pair<std::uint64_t, std::string>>;
  report.add(
      {.name = fmt::format("all peers into a kept buffer: {} members", stores->count),
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
       .baselines = {{kCopyPeers, measured(1,
                                           [=](const Race& how) {
                                             return stores->race_clone(
                                                 how, [](const MemberMap& map, Walk&) {
                                                   Copies peers;
                                                   for (const auto& [id, member] : map)
                                                     peers.emplace_back(id, member.address);
                                                   keep(peers.data());
                                                 });
                                           })},
                     {"copied under a lock", measured(1,
                                                      [=](const Race& how) {
                                                        return stores->race_visitor(
                                                            how, [](const MemberMap& map, Walk&) {
                                                              Copies peers;
                                                              for (const auto& [id, member] : map)
                                                                peers.emplace_back(id,
                                                                                   member.address);
                                                              keep(peers.data());
                                                            });
                                                      })}},
       .allocations =
           [=] {
             ClusterReader reader(stores->view.view());
             std::vector<cluster::PeerRecord> peers;
             return allocations_of([&] { reader.get_peers(peers); });
           },
       .targets = {allocations_at_most(0), better_than(kCopyPeers, 5)}});
}

// S18: what the owner pays for a change of the members, once for all that is applied together.
void add_publish(Report& report, std::shared_ptr<Stores> stores) {
  report.add(
      {.name = fmt::format("the owner publishes a change: {} members", stores->count),
       .unit = "ns",
       .items = {"S18", "S29"},
       .measure = [=] { return cpu_ns_per_call(2000, [&] { stores->view.change(); }); },
       .baselines = {{"change under a lock",
                      [=] { return cpu_ns_per_call(2000, [&] { stores->locked.change(); }); }}},
       .allocations = [=] { return allocations_of([&] { stores->view.change(); }); },
       .targets = {}});
}

}  // namespace

void add_cluster_cases(Report& report) {
  for (const std::size_t members : kMembers) {
    const auto stores = std::make_shared<Stores>(members);
    for (const std::size_t threads : kThreads)
      add_count(report, stores, threads);
    for (const std::size_t threads : kThreads)
      add_find(report, stores, threads);
    add_peers(report, stores);
    add_publish(report, stores);
  }
}

}  // namespace blixard::perf

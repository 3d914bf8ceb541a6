#include <malloc.h>

#include <deque>
#include <map>
#include <mutex>
#include <shared_mutex>
#include <thread>
#include <unordered_map>

#include <fmt/format.h>
#include <tbb/concurrent_hash_map.h>

#include "core/cluster/model.h"
#include "env/executor.h"
#include "node/replica/proposals.h"
#include "observe/view.h"
#include "test/perf/report/counting.h"
#include "test/perf/shared_state_access/cases.h"
#include "test/perf/shared_state_access/racing.h"
#include "test/perf/shared_state_access/stores.h"

namespace blixard::perf {
namespace {

using cluster::Vm;

constexpr std::uint64_t kVms = 100'000;
constexpr std::size_t kShards = 64;
constexpr const char* kShardsName = "64 locked shards";
constexpr std::uint64_t kLooks = 200'000;

Vm vm_of(std::uint64_t id) {
  Vm vm;
  vm.id = VmId(id);
  vm.name = Name(fmt::format("vm-{:06}", id));
  vm.spec.image = Name("guest");
  vm.node = NodeId(1 + id % 16);
  vm.state = cluster::VmState::kRunning;
  return vm;
}

// Ids as requests have them: all over the registry, the same for all.
class Draw {
 public:
  std::uint64_t id() {
    state_ = state_ * 6364136223846793005U + 1442695040888963407U;
    return 1 + (state_ >> 33U) % kVms;
  }

 private:
  std::uint64_t state_ = 7;
};

// The product's: one map, which the owner's thread reads and changes.
struct Owned {
  Owned() {
    for (std::uint64_t id = 1; id <= kVms; ++id)
      vms.emplace(VmId(id), vm_of(id));
  }
  std::map<VmId, Vm> vms;
};

struct Sharded {
  struct Shard {
    mutable std::shared_mutex mutex;
    std::unordered_map<std::uint64_t, Vm> vms;
  };
  Sharded() {
    for (std::uint64_t id = 1; id <= kVms; ++id)
      shards[id % kShards].vms.emplace(id, vm_of(id));
  }
  void look(std::uint64_t id) const {
    const Shard& shard = shards[id % kShards];
    const std::shared_lock lock(shard.mutex);
    keep(shard.vms.find(id)->second.node);
  }
  void change(std::uint64_t id) {
    Shard& shard = shards[id % kShards];
    const std::unique_lock lock(shard.mutex);
    shard.vms.find(id)->second.restarts++;
  }
  std::array<Shard, kShards> shards;
};

struct Concurrent {
  using Map = tbb::concurrent_hash_map<std::uint64_t, Vm>;
  Concurrent() {
    for (std::uint64_t id = 1; id <= kVms; ++id)
      vms.emplace(id, vm_of(id));
  }
  void look(std::uint64_t id) const {
    Map::const_accessor place;
    vms.find(place, id);
    keep(place->second.node);
  }
  void change(std::uint64_t id) {
    Map::accessor place;
    vms.find(place, id);
    place->second.restarts++;
  }
  Map vms;
};

// A registry that other threads could look at: chunks of VMs, of which a publish copies the
// pointers and the chunks that changed.
class Published {
 public:
  static constexpr std::uint64_t kChunk = 256;
  using Chunk = std::vector<Vm>;
  using Chunks = std::vector<std::shared_ptr<const Chunk>>;

  Published() {
    Chunks chunks;
    for (std::uint64_t id = 0; id < kVms; ++id) {
      if (id % kChunk == 0) filling_.clear();
      filling_.push_back(vm_of(id + 1));
      if (id % kChunk == kChunk - 1 || id + 1 == kVms) {
        chunks.push_back(std::make_shared<const Chunk>(filling_));
      }
    }
    view_.publish(std::move(chunks));
  }
  void change(std::uint64_t id) {
    Chunks next = view_.latest();
    Chunk changed = *next[(id - 1) / kChunk];
    changed[(id - 1) % kChunk].restarts++;
    next[(id - 1) / kChunk] = std::make_shared<const Chunk>(std::move(changed));
    view_.publish(std::move(next));
  }
  using View = observe::View<Chunks>;
  View& view() { return view_; }
  static const Vm& look(View::Reader& reader, std::uint64_t id) {
    return (*reader.read()[(id - 1) / kChunk])[(id - 1) % kChunk];
  }

 private:
  Chunk filling_;
  View view_;
};

struct Registries {
  Owned owned;
  Sharded sharded;
  Concurrent concurrent;
  Published published;
};

// One change for a hundred looks, as between two batches.
template <class Look, class Change>
double look_ns(Look look, Change change) {
  Draw draw;
  std::uint64_t count = 0;
  return cpu_ns_per_call(kLooks, [&] {
    look(draw.id());
    if (++count % 100 == 0) change(draw.id());
  });
}

void add_lookup(Report& report, const std::shared_ptr<Registries>& all) {
  report.add(
      {.name = "the owner looks up a VM of 100,000",
       .unit = "ns",
       .items = {"S31"},
       .measure =
           [=] {
             auto& vms = all->owned.vms;
             return look_ns([&](std::uint64_t id) { keep(vms.find(VmId(id))->second.node); },
                            [&](std::uint64_t id) { vms.find(VmId(id))->second.restarts++; });
           },
       .baselines = {{kShardsName,
                      [=] {
                        return look_ns([&](std::uint64_t id) { all->sharded.look(id); },
                                       [&](std::uint64_t id) { all->sharded.change(id); });
                      }},
                     {kTbb,
                      [=] {
                        return look_ns([&](std::uint64_t id) { all->concurrent.look(id); },
                                       [&](std::uint64_t id) { all->concurrent.change(id); });
                      }},
                     {"view of chunks of 256",
                      [=] {
                        Published::View::Reader reader(all->published.view());
                        return look_ns(
                            [&](std::uint64_t id) { keep(Published::look(reader, id).node); },
                            [&](std::uint64_t id) { all->published.change(id); });
                      }}},
       .allocations = nullptr,
       .targets = {}});
}

// If there were readers on other threads: what each way gives them beside a writer.
void add_readers(Report& report, const std::shared_ptr<Registries>& all) {
  for (const std::size_t threads : {std::size_t{1}, std::size_t{8}}) {
    const Race how{.readers = threads};
    const auto writer = std::make_shared<Draw>();
    const auto with = [=](auto look, auto change) {
      return [=] {
        return race(
                   how,
                   [&](std::size_t) {
                     return [=, draw = Draw()]() mutable { look(*all, draw.id()); };
                   },
                   [&] { change(*all, writer->id()); })
            .reads_per_second;
      };
    };
    const auto view = [=] {
      return race(
                 how,
                 [&](std::size_t) {
                   return
                       [reader = std::make_unique<Published::View::Reader>(all->published.view()),
                        draw = Draw()]() mutable {
                         keep(Published::look(*reader, draw.id()).node);
                       };
                 },
                 [&] { all->published.change(writer->id()); })
          .reads_per_second;
    };
    using R = Registries;
    report.add(
        {.name = fmt::format("other threads look up VMs in a view of chunks: {} reader{}", threads,
                             threads == 1 ? "" : "s"),
         .unit = "/s",
         .better = Better::kHigher,
         .items = {"S31"},
         .measure = view,
         .baselines = {{kShardsName, with([](R& r, std::uint64_t id) { r.sharded.look(id); },
                                          [](R& r, std::uint64_t id) { r.sharded.change(id); })},
                       {kTbb, with([](R& r, std::uint64_t id) { r.concurrent.look(id); },
                                   [](R& r, std::uint64_t id) { r.concurrent.change(id); })}},
         .allocations = nullptr,
         .targets = {},
         .varies = true});
  }
}

// What the owner would pay for each batch so that others may look.
void add_change(Report& report, const std::shared_ptr<Registries>& all) {
  const auto draw = std::make_shared<Draw>();
  report.add(
      {.name = "the owner changes a VM of 100,000",
       .unit = "ns",
       .items = {"S31"},
       .measure =
           [=] {
             auto& vms = all->owned.vms;
             return cpu_ns_per_call(10'000, [&] { vms.find(VmId(draw->id()))->second.restarts++; });
           },
       .baselines =
           {{kShardsName,
             [=] { return cpu_ns_per_call(10'000, [&] { all->sharded.change(draw->id()); }); }},
            {kTbb,
             [=] { return cpu_ns_per_call(10'000, [&] { all->concurrent.change(draw->id()); }); }},
            {"view, by chunks of 256",
             [=] { return cpu_ns_per_call(200, [&] { all->published.change(draw->id()); }); }},
            {"view, by a copy of all",
             [=] {
               return cpu_ns_per_call(1, [&] {
                 const auto copy = std::make_unique<const std::map<VmId, Vm>>(all->owned.vms);
                 keep(copy->size());
               });
             }}},
       .allocations = nullptr,
       .targets = {}});
}

class NoExecutor final : public env::Executor {
 public:
  void post(std::coroutine_handle<> /*ready*/) override {}
};

// S30: a proposal gets its place and is taken from it when it is applied; 256 are under way.
void add_proposals(Report& report) {
  constexpr std::uint64_t kUnderWay = 256;
  struct State {
    NoExecutor executor;
    std::deque<replica::Proposal> all;
    replica::Proposals proposals;
    std::uint64_t next = 0;
  };
  const auto state = std::make_shared<State>();
  for (std::uint64_t i = 0; i < kUnderWay; ++i)
    state->all.emplace_back(state->executor);
  const auto position = [](std::uint64_t index) {
    return replica::Position{Term(1), LogIndex(index + 1)};
  };
  const auto ours = [=] {
    for (; state->next < kUnderWay; ++state->next) {
      state->all[state->next].position = position(state->next);
      state->proposals.track(state->all[state->next]);
    }
    return cpu_ns_per_call(kLooks, [&] {
      replica::Proposal* done = state->proposals.take(position(state->next - kUnderWay));
      done->position = position(state->next++);
      state->proposals.track(*done);
    });
  };
  const auto with_tbb = [=] {
    tbb::concurrent_hash_map<std::uint64_t, replica::Proposal*> map;
    std::uint64_t next = 0;
    for (; next < kUnderWay; ++next)
      map.emplace(next, &state->all[next]);
    return cpu_ns_per_call(kLooks, [&] {
      decltype(map)::accessor place;
      map.find(place, next - kUnderWay);
      replica::Proposal* done = place->second;
      map.erase(place);
      map.emplace(next++, done);
    });
  };
  const auto with_lock = [=] {
    std::mutex mutex;
    std::unordered_map<std::uint64_t, replica::Proposal*> map;
    std::uint64_t next = 0;
    for (; next < kUnderWay; ++next)
      map.emplace(next, &state->all[next]);
    return cpu_ns_per_call(kLooks, [&] {
      replica::Proposal* done = nullptr;
      {
        const std::lock_guard lock(mutex);
        const auto place = map.find(next - kUnderWay);
        done = place->second;
        map.erase(place);
      }
      const std::lock_guard lock(mutex);
      map.emplace(next++, done);
    });
  };
  report.add({.name = "a proposal into its place and out of it",
              .unit = "ns",
              .items = {"S30"},
              .measure = ours,
              .baselines = {{kTbb, with_tbb}, {"map under a lock", with_lock}},
              .allocations = nullptr,
              .targets = {better_than(kTbb, 2)}});
}

// S23: a VM's own name, in the VM and in the index by name, and that of its image, which is one of
// four.
std::string own_name(std::uint64_t id) { return fmt::format("web-frontend-{:06}", id); }
std::string image_name(std::uint64_t id) { return fmt::format("debian-12-server-{}", id % 4); }

// What it takes of the heap, the table of names with it: on a thread of its own, whose table is
// new.
template <class Text>
double bytes_of_names() {
  const auto heap_in_use = [] {
    const auto info = ::mallinfo2();
    return static_cast<double>(info.uordblks + info.hblkhd);
  };
  double bytes = 0;
  std::thread([&] {
    const double before = heap_in_use();
    std::vector<std::array<Text, 3>> names(kVms);
    for (std::uint64_t id = 0; id < kVms; ++id)
      names[id] = {Text(own_name(id)), Text(own_name(id)), Text(image_name(id))};
    bytes = (heap_in_use() - before) / kVms;
  }).join();
  return bytes;
}

void add_names(Report& report) {
  report.add({.name = "the names of a VM: memory, of 100,000",
              .unit = "bytes",
              .items = {"S23"},
              .measure = bytes_of_names<Name>,
              .baselines = {{"std::string", bytes_of_names<std::string>}},
              .allocations = nullptr,
              .targets = {}});
  const auto vm = std::make_shared<const Vm>(vm_of(1));
  using Strings = std::array<std::string, 2>;
  const auto strings = std::make_shared<const Strings>(Strings{own_name(1), image_name(1)});
  const auto copied = [](const auto& each) {
    return [each] {
      return cpu_ns_per_call(kLooks, [&] {
        const auto copy = *each;  // NOLINT(performance-unnecessary-copy-initialization): measured
        keep(copy);
      });
    };
  };
  report.add({.name = "the names of a VM: a copy",
              .unit = "ns",
              .items = {"S23"},
              .measure = copied(std::make_shared<const std::array<Name, 2>>(
                  std::array<Name, 2>{vm->name, vm->spec.image})),
              .baselines = {{"std::string", copied(strings)}},
              .allocations =
                  [=] {
                    return allocations_of([&] {
                      const Name name = vm->name;
                      const Name image = vm->spec.image;
                      keep(name);
                      keep(image);
                    });
                  },
              .targets = {allocations_at_most(0)}});
}

}  // namespace

void add_registry_cases(Report& report) {
  add_names(report);
  const auto all = std::make_shared<Registries>();
  add_lookup(report, all);
  add_readers(report, all);
  add_change(report, all);
  add_proposals(report);
}

}  // namespace blixard::perf

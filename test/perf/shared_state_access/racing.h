#pragma once

// Readers on threads of their own while one thread writes, for a while: what a read cost.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "test/perf/report/report.h"

namespace blixard::perf {

struct Race {
  std::size_t readers = 1;
  std::chrono::milliseconds lasts{20};
  // Between two changes; 0: without a pause.
  std::chrono::microseconds pause{100};
};

struct RaceResult {
  double ns_per_read = 0;       // of processor time
  double reads_per_second = 0;  // of all readers together
  std::uint64_t reads = 0;
  std::uint64_t writes = 0;
};

// `make_reader(i)` is called on the thread of reader i and gives what reads once; `write` changes
// once, on the calling thread. Readers look at the time only now and then.
template <class MakeReader, class Write>
RaceResult race(const Race& race, MakeReader make_reader, Write write) {
  constexpr int kReadsAtOnce = 64;
  std::atomic<std::size_t> ready{0};
  std::atomic<bool> go{false};
  std::atomic<bool> done{false};
  struct alignas(64) Count {
    std::uint64_t reads = 0;
    double cpu_ns = 0;
  };
  std::vector<Count> counts(race.readers);
  std::vector<std::thread> threads;
  threads.reserve(race.readers);
  for (std::size_t i = 0; i < race.readers; ++i) {
    threads.emplace_back([&, i] {
      auto read = make_reader(i);
      ready.fetch_add(1);
      while (!go.load(std::memory_order_acquire))
        std::this_thread::yield();
      const double begin = thread_cpu_ns();
      std::uint64_t reads = 0;
      while (!done.load(std::memory_order_relaxed)) {
        for (int k = 0; k < kReadsAtOnce; ++k)
          read();
        reads += kReadsAtOnce;
      }
      counts[i].cpu_ns = thread_cpu_ns() - begin;
      counts[i].reads = reads;
    });
  }
  while (ready.load() < race.readers)
    std::this_thread::yield();
  RaceResult result;
  const auto begin = std::chrono::steady_clock::now();
  go.store(true, std::memory_order_release);
  // A writer may wait for as long as there are readers: std::shared_mutex lets them pass.
  threads.emplace_back([&] {
    std::this_thread::sleep_for(race.lasts);
    done.store(true);
  });
  while (!done.load(std::memory_order_relaxed)) {
    write();
    ++result.writes;
    if (race.pause.count() > 0) std::this_thread::sleep_for(race.pause);
  }
  for (std::thread& thread : threads)
    thread.join();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  double cpu_ns = 0;
  for (const Count& count : counts) {
    result.reads += count.reads;
    cpu_ns += count.cpu_ns;
  }
  result.ns_per_read = cpu_ns / static_cast<double>(std::max<std::uint64_t>(1, result.reads));
  result.reads_per_second = static_cast<double>(result.reads) / took.count();
  return result;
}

}  // namespace blixard::perf

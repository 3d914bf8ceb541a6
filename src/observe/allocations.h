#pragma once

// What the program asks of the allocator: how often, how much, and on whose behalf.
//
//   const AllocationMeter meter;
//   replica.propose(command);
//   EXPECT_EQ(meter.spent().allocations, 4);
//
// The numbers come from a global operator new that counts (observe/hook/), which only programs
// that ask for it are linked with: the daemon, benchmarks, the tests of budgets. This header works
// everywhere; without the hook, and under the sanitizers that bring an allocator of their own,
// is_hooked() is false and every number is zero. The hook asks malloc, whichever library gives it.
//
// A thread counts in cells of its own, by plain additions; who reads sums the cells of all
// threads. A thread that ends leaves its counts. What C libraries take by malloc is not seen.
//
// On whose behalf says the tag of the running thread. A tag belongs to a task as much as to a
// function: a task that waits takes its tag along and gets it back when it goes on (Parked and
// Turn see to it), what it spawns begins with it, and the loop runs without one between tasks. So
// a tag in a coroutine never counts for another. Memory is counted where it is asked for: what
// one part frees for another counts as freed by it.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace blixard::observe {

enum class Subsystem : std::uint8_t {
  kOther,  // without a tag
  kLog,
  kReplica,
  kRaft,
  kPeer,
  kWire,
  kHttp,
  kApi,
  kPlacement,
  kAgent,
  kVm,
  kImage,
  kModel,  // the replicated state
  kTelemetry,
  kSimulator,  // of what plays the world; none in a daemon
};
inline constexpr std::size_t kSubsystems = std::size_t(Subsystem::kSimulator) + 1;

std::string_view subsystem_name(Subsystem subsystem);

struct AllocationCounts {
  std::uint64_t allocations = 0;
  std::uint64_t bytes = 0;  // as asked for
  std::uint64_t frees = 0;

  friend bool operator==(const AllocationCounts&, const AllocationCounts&) = default;
  friend AllocationCounts operator-(const AllocationCounts& a, const AllocationCounts& b) {
    return {a.allocations - b.allocations, a.bytes - b.bytes, a.frees - b.frees};
  }
  AllocationCounts& operator+=(const AllocationCounts& more) {
    allocations += more.allocations;
    bytes += more.bytes;
    frees += more.frees;
    return *this;
  }
};

using AllocationsBySubsystem = std::array<AllocationCounts, kSubsystems>;

[[nodiscard]] bool is_hooked();

// Counting is on from the start. Off, an allocation costs one branch more than without the hook.
void count_allocations(bool on);

// Of this thread since some moment before it began: only differences mean something.
[[nodiscard]] AllocationCounts thread_allocations();
[[nodiscard]] AllocationsBySubsystem thread_allocations_by_subsystem();
[[nodiscard]] AllocationsBySubsystem all_allocations();  // of all threads that ever were
[[nodiscard]] AllocationCounts sum_of(const AllocationsBySubsystem& counts);

namespace internal {

struct AllocationCell {
  std::atomic<std::uint64_t> allocations{0};
  std::atomic<std::uint64_t> bytes{0};
  std::atomic<std::uint64_t> frees{0};
};
// One thread's cells. No two threads write the same cache line.
struct alignas(64) AllocationBlock {
  std::array<AllocationCell, kSubsystems> cells;
};

extern constinit thread_local AllocationBlock* allocation_block;  // null: not taken yet, or none
extern constinit thread_local Subsystem allocation_tag;
extern constinit std::atomic<bool> counting_allocations;

// For threads without a block: takes one, or counts in what they share.
void count_allocation_slowly(std::size_t bytes);
void count_free_slowly();

// Only its own thread writes a cell, so it needs no exchange with the others.
inline void bump(std::atomic<std::uint64_t>& cell, std::uint64_t count) {
  cell.store(cell.load(std::memory_order_relaxed) + count, std::memory_order_relaxed);
}

inline void count_allocation(std::size_t bytes) {
  if (!counting_allocations.load(std::memory_order_relaxed)) return;
  AllocationBlock* const block = allocation_block;
  if (block == nullptr) [[unlikely]] {
    count_allocation_slowly(bytes);
    return;
  }
  AllocationCell& cell = block->cells[std::size_t(allocation_tag)];
  bump(cell.allocations, 1);
  bump(cell.bytes, bytes);
}

inline void count_free() {
  if (!counting_allocations.load(std::memory_order_relaxed)) return;
  AllocationBlock* const block = allocation_block;
  if (block == nullptr) [[unlikely]] {
    count_free_slowly();
    return;
  }
  bump(block->cells[std::size_t(allocation_tag)].frees, 1);
}

}  // namespace internal

[[nodiscard]] inline Subsystem allocation_tag() { return internal::allocation_tag; }
// For what resumes tasks; others use AllocationTag.
inline void set_allocation_tag(Subsystem subsystem) { internal::allocation_tag = subsystem; }

// What is asked for until its end counts for `subsystem`; in a task also across waits.
class [[nodiscard]] AllocationTag {
 public:
  explicit AllocationTag(Subsystem subsystem) : before_(internal::allocation_tag) {
    internal::allocation_tag = subsystem;
  }
  ~AllocationTag() { internal::allocation_tag = before_; }
  AllocationTag(const AllocationTag&) = delete;
  AllocationTag& operator=(const AllocationTag&) = delete;

 private:
  Subsystem before_;
};

// What this thread asked for since the meter was made.
class AllocationMeter {
 public:
  AllocationMeter() : before_(thread_allocations()) {}
  [[nodiscard]] AllocationCounts spent() const { return thread_allocations() - before_; }

 private:
  AllocationCounts before_;
};

}  // namespace blixard::observe

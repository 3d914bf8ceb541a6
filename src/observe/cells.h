#pragma once

// Where the numbers of counters, gauges and histograms are kept.
//
// Every number has a slot, an index that is the same in all threads. What is added up (counters,
// histograms) is added to the cell of that slot in the block of the thread that counts: each cell
// has one writer, so a load, an addition and a store suffice, without a locked instruction, and no
// two threads write to one cache line. Whoever reads sums the cell over all blocks. What is set
// (gauges) has one cell for all threads.
//
// A block is taken when a thread counts for the first time and is handed on to a later thread when
// that one ends, so nothing that was counted is lost and there are never more blocks than there
// were threads at once. A block is as large as the slot space but is memory that the kernel gives
// page by page when it is first written.
//
// Slots are given out in ranges and taken back when their registry ends, because a simulation
// begins thousands of nodes in one process; a range that is given out is zero in all blocks. Slots
// below kSinkSlots belong to nobody: an instrument that was never registered counts into them.

#include <atomic>
#include <cstdint>

#include "base/limits.h"

namespace blixard::observe::cells {

using Slot = std::uint32_t;

inline constexpr Slot kSinkSlots = 1024;
inline constexpr Slot kSlots = limits::kMetricCells;

// Cells of gauges, and the block of this thread: null until it counts.
extern std::uint64_t shared[kSlots];
[[gnu::tls_model("initial-exec")]] extern constinit thread_local std::uint64_t* own;

// Takes a block for this thread. What a thread counts while its thread-local objects end, after
// its block was handed on, is dropped.
std::uint64_t* attach();

inline void add(Slot slot, std::uint64_t count) {
  std::uint64_t* block = own;
  if (block == nullptr) [[unlikely]]
    block = attach();
  const std::atomic_ref cell(block[slot]);
  cell.store(cell.load(std::memory_order_relaxed) + count, std::memory_order_relaxed);
}

// Over all threads, those that ended among them.
[[nodiscard]] std::uint64_t sum(Slot slot);

// Slots that follow each other, zero; 0 when there are not so many any more.
[[nodiscard]] Slot take(std::uint32_t count);
void give_back(Slot first, std::uint32_t count);
void clear(Slot first, std::uint32_t count);

}  // namespace blixard::observe::cells

#include "observe/cells.h"

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "base/assert.h"

namespace blixard::observe::cells {

std::uint64_t shared[kSlots];
constinit thread_local std::uint64_t* own = nullptr;

namespace {

struct Block {
  std::uint64_t* cells;
  Block* next;
};

struct Range {
  Slot first;
  std::uint32_t count;
};

// Held for as long as a registration or the beginning or end of a thread takes; never to count.
class Held {
 public:
  Held() {
    while (flag_.test_and_set(std::memory_order_acquire)) {
    }
  }
  ~Held() { flag_.clear(std::memory_order_release); }
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;

 private:
  static constinit std::atomic_flag flag_;
};
constinit std::atomic_flag Held::flag_{};

// Never freed: threads may count until the very end of the process.
struct Space {
  std::vector<Range> free{{kSinkSlots, kSlots - kSinkSlots}};  // by slot, none adjoining another
  std::vector<std::uint64_t*> idle;                            // blocks whose threads ended
  std::uint64_t* dropped = nullptr;                            // what nobody reads
};

Space& space() {
  static auto* const kSpace = new Space;
  return *kSpace;
}

// Readers walk it without the flag: blocks are only added, at the front.
constinit std::atomic<Block*> blocks{nullptr};

std::uint64_t* zeroed() {
  auto* const cells = static_cast<std::uint64_t*>(std::calloc(kSlots, sizeof(std::uint64_t)));
  BLX_ASSERT(cells != nullptr);
  return cells;
}

// Hands the thread's block on when the thread ends.
struct Lease {
  std::uint64_t* block = nullptr;

  Lease() = default;
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;
  ~Lease() {
    if (block == nullptr) return;
    const Held held;
    Space& all = space();
    if (all.dropped == nullptr) all.dropped = zeroed();
    all.idle.push_back(block);
    own = all.dropped;
  }
};

void clear_cells(std::uint64_t* block, Slot first, std::uint32_t count) {
  for (Slot slot = first; slot < first + count; ++slot) {
    const std::atomic_ref cell(block[slot]);
    // Not written where nothing was: a page that is only read takes no memory.
    if (cell.load(std::memory_order_relaxed) != 0) cell.store(0, std::memory_order_relaxed);
  }
}

}  // namespace

std::uint64_t* attach() {
  thread_local Lease lease;
  const Held held;
  Space& all = space();
  if (!all.idle.empty()) {
    lease.block = all.idle.back();
    all.idle.pop_back();
  } else {
    lease.block = zeroed();
    auto* const block = new Block{lease.block, blocks.load(std::memory_order_relaxed)};
    blocks.store(block, std::memory_order_release);
  }
  own = lease.block;
  return own;
}

std::uint64_t sum(Slot slot) {
  std::uint64_t total = 0;
  for (const Block* b = blocks.load(std::memory_order_acquire); b != nullptr; b = b->next)
    total += std::atomic_ref(b->cells[slot]).load(std::memory_order_relaxed);
  return total;
}

Slot take(std::uint32_t count) {
  const Held held;
  auto& free = space().free;
  const auto fits = [count](const Range& range) { return range.count >= count; };
  const auto found = std::ranges::find_if(free, fits);
  if (found == free.end()) return 0;
  const Slot first = found->first;
  found->first += count;
  found->count -= count;
  if (found->count == 0) free.erase(found);
  return first;
}

void clear(Slot first, std::uint32_t count) {
  for (const Block* b = blocks.load(std::memory_order_acquire); b != nullptr; b = b->next)
    clear_cells(b->cells, first, count);
  clear_cells(shared, first, count);
}

void give_back(Slot first, std::uint32_t count) {
  clear(first, count);
  const Held held;
  auto& free = space().free;
  auto next = std::ranges::upper_bound(free, first, {}, &Range::first);
  if (next != free.begin()) {
    const auto before = std::prev(next);
    if (before->first + before->count == first) {
      before->count += count;
      if (next != free.end() && before->first + before->count == next->first) {
        before->count += next->count;
        free.erase(next);
      }
      return;
    }
  }
  if (next != free.end() && first + count == next->first) {
    next->first = first;
    next->count += count;
    return;
  }
  free.insert(next, {first, count});
}

}  // namespace blixard::observe::cells

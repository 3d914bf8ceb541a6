#include "observe/allocations.h"

// Defined by the hook where the program is linked with it.
extern "C" [[gnu::weak]] bool blixard_allocation_hook();

namespace blixard::observe {
namespace {

// More than a daemon has threads; beyond it, threads share one block and pay for it.
constexpr std::size_t kBlocks = 64;

constinit std::array<internal::AllocationBlock, kBlocks> blocks;
constinit internal::AllocationBlock shared_block;

// A block is one thread's while it is taken; the next owner goes on counting in it.
constinit std::array<std::atomic<bool>, kBlocks> taken;

// The thread is ending and has given its block back.
constinit thread_local bool is_over = false;

// Gives the block back when its thread ends. What is allocated later than that is counted shared.
class BlockReturn {
 public:
  BlockReturn() = default;
  BlockReturn(const BlockReturn&) = delete;
  BlockReturn& operator=(const BlockReturn&) = delete;
  ~BlockReturn() {
    if (block_ == nullptr) return;
    internal::allocation_block = nullptr;
    is_over = true;
    taken[static_cast<std::size_t>(block_ - blocks.data())].store(false, std::memory_order_release);
  }
  void at_end(internal::AllocationBlock* block) { block_ = block; }

 private:
  internal::AllocationBlock* block_ = nullptr;
};

// This thread's block, or null when there is none left.
internal::AllocationBlock* take_block() {
  if (is_over) return nullptr;
  for (std::size_t i = 0; i < kBlocks; ++i) {
    if (taken[i].load(std::memory_order_relaxed)) continue;
    if (taken[i].exchange(true, std::memory_order_acquire)) continue;
    internal::allocation_block = &blocks[i];
    thread_local BlockReturn block_return;
    block_return.at_end(&blocks[i]);
    return &blocks[i];
  }
  return nullptr;
}

void add(AllocationsBySubsystem& sum, const internal::AllocationBlock& block) {
  for (std::size_t i = 0; i < kSubsystems; ++i) {
    const internal::AllocationCell& cell = block.cells[i];
    sum[i] +=
        {cell.allocations.load(std::memory_order_relaxed),
         cell.bytes.load(std::memory_order_relaxed), cell.frees.load(std::memory_order_relaxed)};
  }
}

}  // namespace

namespace internal {

constinit thread_local AllocationBlock* allocation_block = nullptr;
constinit thread_local Subsystem allocation_tag = Subsystem::kOther;
constinit std::atomic<bool> counting_allocations = true;

void count_allocation_slowly(std::size_t bytes) {
  if (take_block() != nullptr) {
    count_allocation(bytes);
    return;
  }
  AllocationCell& cell = shared_block.cells[std::size_t(allocation_tag)];
  cell.allocations.fetch_add(1, std::memory_order_relaxed);
  cell.bytes.fetch_add(bytes, std::memory_order_relaxed);
}

void count_free_slowly() {
  if (take_block() != nullptr) {
    count_free();
    return;
  }
  shared_block.cells[std::size_t(allocation_tag)].frees.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace internal

std::string_view subsystem_name(Subsystem subsystem) {
  static constexpr std::array<std::string_view, kSubsystems> kNames{
      "other",     "log",   "replica", "raft",  "peer",  "wire",      "http",     "api",
      "placement", "agent", "vm",      "image", "model", "telemetry", "simulator"};
  return kNames[std::size_t(subsystem)];
}

bool is_hooked() { return blixard_allocation_hook != nullptr && blixard_allocation_hook(); }

void count_allocations(bool on) {
  internal::counting_allocations.store(on, std::memory_order_relaxed);
}

AllocationsBySubsystem thread_allocations_by_subsystem() {
  AllocationsBySubsystem sum{};
  // A block that another thread had before begins with what that one counted.
  if (internal::allocation_block == nullptr) take_block();
  if (internal::allocation_block != nullptr) add(sum, *internal::allocation_block);
  return sum;
}

AllocationCounts thread_allocations() { return sum_of(thread_allocations_by_subsystem()); }

AllocationsBySubsystem all_allocations() {
  AllocationsBySubsystem sum{};
  for (const internal::AllocationBlock& block : blocks)
    add(sum, block);
  add(sum, shared_block);
  return sum;
}

AllocationCounts sum_of(const AllocationsBySubsystem& counts) {
  AllocationCounts sum;
  for (const AllocationCounts& count : counts)
    sum += count;
  return sum;
}

}  // namespace blixard::observe

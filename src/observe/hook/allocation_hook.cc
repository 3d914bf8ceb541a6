// Replaces the global operator new and delete by ones that count (observe/allocations.h). All
// other forms, of arrays and without exceptions, end in these by the standard's own definition.

#include <malloc.h>

#include <cstddef>
#include <cstdlib>
#include <new>

#include "observe/allocations.h"

#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(memory_sanitizer)

// Their own operators know of each block whether it came from new or malloc.
extern "C" bool blixard_allocation_hook() { return false; }

#else

extern "C" bool blixard_allocation_hook() { return true; }

namespace {

// As the standard wants it: asks the new-handler for memory until there is none.
template <class Allocate>
void* allocate(std::size_t size, Allocate allocate_once) {
  while (true) {
    if (void* memory = allocate_once()) [[likely]] {
      blixard::observe::internal::count_allocation(size);
      return memory;
    }
    const std::new_handler handler = std::get_new_handler();
    if (handler == nullptr) throw std::bad_alloc();
    handler();
  }
}

void release(void* memory) {
  if (memory == nullptr) return;
  blixard::observe::internal::count_free();
  std::free(memory);
}

}  // namespace

void* operator new(std::size_t size) {
  return allocate(size, [size] { return std::malloc(size == 0 ? 1 : size); });
}
void* operator new(std::size_t size, std::align_val_t alignment) {
  return allocate(size, [size, alignment] {
    return ::memalign(static_cast<std::size_t>(alignment), size == 0 ? 1 : size);
  });
}
void operator delete(void* memory) noexcept { release(memory); }
void operator delete(void* memory, std::size_t) noexcept { release(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { release(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { release(memory); }

#endif

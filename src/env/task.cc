#include "env/task.h"

#include <array>
#include <cstdio>
#include <cstdlib>
#include <new>

namespace blixard::env::internal {
namespace {

constexpr std::size_t kClassBytes = 64;
constexpr std::size_t kClasses = 32;  // frames up to 2 KiB are kept
#if __has_feature(address_sanitizer)
constexpr std::size_t kKeptPerClass = 0;  // a kept frame would hide its use after the end
#else
constexpr std::size_t kKeptPerClass = 256;
#endif

struct FreeFrame {
  FreeFrame* next;
};

class FramePool {
 public:
  FramePool() = default;
  FramePool(const FramePool&) = delete;
  FramePool& operator=(const FramePool&) = delete;
  ~FramePool() {
    for (auto& list : lists_) {
      while (list.head != nullptr)
        ::operator delete(pop(list));
    }
  }

  void* take(std::size_t size_class) {
    List& list = lists_[size_class];
    if (list.head != nullptr) return pop(list);
    return ::operator new((size_class + 1) * kClassBytes);
  }

  void give(void* frame, std::size_t size_class) noexcept {
    List& list = lists_[size_class];
    if (list.count == kKeptPerClass) {
      ::operator delete(frame);
      return;
    }
    list.head = new (frame) FreeFrame{list.head};
    ++list.count;
  }

 private:
  struct List {
    FreeFrame* head = nullptr;
    std::size_t count = 0;
  };

  static void* pop(List& list) {
    FreeFrame* frame = list.head;
    list.head = frame->next;
    --list.count;
    return frame;
  }

  std::array<List, kClasses> lists_;
};

thread_local FramePool pool;

std::size_t class_of(std::size_t size) { return (size - 1) / kClassBytes; }

}  // namespace

void* allocate_frame(std::size_t size) {
  const std::size_t size_class = class_of(size);
  return size_class < kClasses ? pool.take(size_class) : ::operator new(size);
}

void free_frame(void* frame, std::size_t size) noexcept {
  const std::size_t size_class = class_of(size);
  if (size_class < kClasses) {
    pool.give(frame, size_class);
  } else {
    ::operator delete(frame);
  }
}

void exception_escaped() {
  std::fputs("an exception escaped into a task; libraries that throw must be wrapped\n", stderr);
  std::abort();
}

}  // namespace blixard::env::internal

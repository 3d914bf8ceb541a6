#include "observe/locks.h"

namespace blixard::observe {
namespace {

constinit LocksByName figures;

void raise_to(std::atomic<std::uint64_t>& most, std::uint64_t value) {
  std::uint64_t known = most.load(std::memory_order_relaxed);
  while (known < value && !most.compare_exchange_weak(known, value, std::memory_order_relaxed)) {
  }
}

}  // namespace

std::string_view lock_name(LockName lock) {
  switch (lock) {
    case LockName::kPool:
      return "pool";
  }
  return "unknown";
}

void LockFigures::waited(std::uint64_t ns) {
  contended.fetch_add(1, std::memory_order_relaxed);
  wait_ns.fetch_add(ns, std::memory_order_relaxed);
  raise_to(wait_max_ns, ns);
}

void LockFigures::held(std::uint64_t ns) {
  holds_measured.fetch_add(1, std::memory_order_relaxed);
  hold_ns.fetch_add(ns, std::memory_order_relaxed);
  raise_to(hold_max_ns, ns);
}

LocksByName& lock_figures() { return figures; }

}  // namespace blixard::observe

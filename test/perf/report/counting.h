#pragma once

// What is counted exactly, for programs that link blx_allocation_hook.

#include <cstdint>

#include "observe/allocations.h"

namespace blixard::perf {

// Of one call, once it has made what it makes once.
template <class Call>
double allocations_of(Call&& call, std::uint64_t calls = 1000) {
  call();
  const observe::AllocationMeter meter;
  for (std::uint64_t i = 0; i < calls; ++i)
    call();
  return static_cast<double>(meter.spent().allocations) / static_cast<double>(calls);
}

}  // namespace blixard::perf

#pragma once

// For the fuzzers of the formats: whatever bytes a file has, reading it answers with an error or
// with a history that can be judged, described and drawn.

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string_view>

#include "base/assert.h"
#include "linearizability/formats.h"
#include "linearizability/judgement.h"
#include "linearizability/picture.h"

namespace blixard::linearizability {

inline void read_and_judge(Format format, std::initializer_list<ModelName> models,
                           const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto recorded = read_history(format, text);
  if (!recorded) return;
  Budget budget;
  budget.steps_max = 10'000;
  for (const auto model : models) {
    const auto judgement = judge(model, *recorded, budget);
    if (!judgement) continue;
    BLX_ASSERT(!picture(violation_text(*judgement), *judgement).empty());
  }
}

}  // namespace blixard::linearizability

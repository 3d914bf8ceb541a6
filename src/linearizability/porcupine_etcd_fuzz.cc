// Whatever bytes a file of this form has, reading it answers with an error or with a history that
// can be judged, described and drawn.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "linearizability/formats.h"
#include "linearizability/judgement.h"
#include "linearizability/picture.h"

using namespace blixard;                   // NOLINT(google-build-using-namespace): a fuzzer is one
using namespace blixard::linearizability;  // NOLINT(google-build-using-namespace): function

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto recorded = read_history(Format::kPorcupineEtcd, text);
  if (!recorded) return 0;
  Budget budget;
  budget.steps_max = 10'000;
  for (const auto model : {ModelName::kCasRegister, ModelName::kRegister}) {
    const auto judgement = judge(model, *recorded, budget);
    if (!judgement) continue;
    const std::string page = picture(violation_text(*judgement), *judgement);
    if (page.empty()) __builtin_trap();
  }
  return 0;
}

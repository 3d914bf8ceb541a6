// Whatever a user writes, it is refused with a place or read; what is read and written out is read
// the same again, and its passages end.

#include <cstddef>
#include <cstdint>

#include "base/assert.h"
#include "observe/failpoint.h"

using namespace blixard;  // NOLINT(google-build-using-namespace): a fuzzer is one function

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  ignore(observe::arm_failpoints(text), "there is no site, but the list is taken apart");
  auto actions = observe::FailpointActions::parse(text);
  if (!actions) {
    BLX_ASSERT(!actions.error().detail().empty());
    return 0;
  }
  BLX_ASSERT(actions->steps().size() <= observe::kFailpointStepsMax);
  auto again = observe::FailpointActions::parse(actions->text());
  // A reason that was already known stays known.
  BLX_ASSERT(again && again->text() == actions->text());
  for (int i = 0; i < 8; ++i)
    BLX_ASSERT(actions->next().delay <= observe::kFailpointDelayMax);
  return 0;
}

// Whatever text it is given, parse_scenario() takes it or says what is wrong; what it takes can be
// drawn, and the plan can be written and read again.

#include "vopr/scenario.h"

#include <cstddef>
#include <cstdint>

#include "base/assert.h"

using namespace blixard;  // NOLINT(google-build-using-namespace): a fuzzer is one function

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto scenario = vopr::parse_scenario(text);
  if (!scenario) {
    BLX_ASSERT(scenario.error().reason() == "scenario_invalid");
    BLX_ASSERT(scenario.error().detail().starts_with("line "));
    return 0;
  }
  // Longer ones take too long to draw for a fuzzer.
  if (scenario->until > 2s) return 0;
  const vopr::Plan plan = vopr::draw(*scenario, size);
  const auto again = vopr::parse_scenario(vopr::scenario_text(plan));
  BLX_ASSERT(again.has_value());
  BLX_ASSERT(vopr::draw(*again, 0) == plan);
  return 0;
}

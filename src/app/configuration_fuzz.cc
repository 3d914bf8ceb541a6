// A configuration file of any bytes is taken or refused with what is wrong with it.

#include "app/configuration.h"

#include <cstdint>

#include "base/assert.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace blixard;
  app::ConfigurationFile file{.path = "a.toml",
                              .text = std::string(reinterpret_cast<const char*>(data), size)};
  const auto effective = app::configure(file, {});
  if (!effective) {
    BLX_ASSERT(effective.error().reason() == "configuration_invalid");
    BLX_ASSERT(effective.error().detail().starts_with("a.toml:"));
    return 0;
  }
  // What was taken is taken again as it is written.
  auto values = effective->values;
  for (const app::Key& key : app::keys()) {
    std::string text = app::value_text(key, values);
    if (text.starts_with('"')) continue;
    BLX_ASSERT(app::set_from_text(key, text, values).has_value());
  }
  BLX_ASSERT(app::differing(values, effective->values).empty());
  return 0;
}

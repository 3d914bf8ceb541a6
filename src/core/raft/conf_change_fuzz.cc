// A change as bytes: whatever they are, decoding returns; what it accepts has one form of bytes,
// and applying it leads to a valid configuration or nowhere.

#include "core/raft/conf_change.h"

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/assert.h"
#include "core/raft/configuration.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace blixard;
  using namespace blixard::raft;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto change = decode_conf_change(bytes);
  if (!change) return 0;
  BLX_ASSERT(bytes.empty() || encode_conf_change(*change).view() == bytes);
  Tracker tracker(2, 0);
  const ConfState start{{NodeId(1), NodeId(2)}, {NodeId(3)}, {}, {}, false};
  auto changed = restore_conf_state(tracker, start, LogIndex(1));
  BLX_ASSERT(changed.has_value());
  tracker.install(changed->configuration, changed->progress);
  for (int i = 0; i < 2; ++i) {
    changed = apply_conf_change(tracker, *change, LogIndex(9));
    if (!changed) return 0;
    BLX_ASSERT(check_conf_state(changed->configuration).has_value());
    BLX_ASSERT(members(changed->configuration).size() == changed->progress.size());
    tracker.install(changed->configuration, changed->progress);
  }
  return 0;
}

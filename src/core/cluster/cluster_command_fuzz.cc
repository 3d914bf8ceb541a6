// Commands as bytes: many after each other, each behind its length in two bytes. Whatever they are,
// apply returns, a refused one changes nothing that can be seen, and the state can be kept.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include <google/protobuf/stubs/logging.h>

#include "base/assert.h"
#include "blixard/v1/cluster.pb.h"
#include "core/cluster/state.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using blixard::LogIndex;
  using blixard::cluster::State;
  static const google::protobuf::LogSilencer quiet;
  std::string_view input(reinterpret_cast<const char*>(data), size);
  State state;
  for (std::uint64_t index = 1; input.size() >= 2; ++index) {
    const auto length = static_cast<std::size_t>(static_cast<std::uint8_t>(input[0]) << 8 |
                                                 static_cast<std::uint8_t>(input[1]));
    input.remove_prefix(2);
    const std::string_view bytes = input.substr(0, length);
    input.remove_prefix(bytes.size());
    blixard::v1::Command command;
    if (!command.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) continue;
    const std::uint64_t before = state.revision();
    const bool formed = blixard::cluster::check_command(command).has_value();
    const auto outcome = state.apply(LogIndex(index), command, nullptr);
    BLX_ASSERT(formed || !outcome);
    BLX_ASSERT(outcome || state.revision() == before);
  }
  const auto restored = State::decode(state.encode());
  BLX_ASSERT(restored.has_value());
  BLX_ASSERT(*restored == state);
  return 0;
}

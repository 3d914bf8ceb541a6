#include "sim/qemu/saved_state.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "base/assert.h"
#include "sim/qemu/number.h"
#include "sim/qemu/soul.h"
#include "sim/random.h"

namespace blixard::sim {
namespace {

constexpr std::size_t kChecksumDigits = 16;
constexpr std::size_t kDeviceBytes = 6144;
constexpr std::size_t kMoreMemoryBytes = 12288;  // beside the page that matters
constexpr std::size_t kDescriptionBytes = 512;

constexpr std::array<std::pair<QemuState, std::string_view>, 8> kStates = {{
    {QemuState::kPrelaunch, "prelaunch"},
    {QemuState::kRunning, "running"},
    {QemuState::kPaused, "paused"},
    {QemuState::kShutdown, "shutdown"},
    {QemuState::kPanicked, "guest-panicked"},
    {QemuState::kInMigrate, "inmigrate"},
    {QemuState::kFinishMigrate, "finish-migrate"},
    {QemuState::kPostMigrate, "postmigrate"},
}};

// That a guest can be in after it was loaded.
bool is_loadable(QemuState state) {
  return state == QemuState::kRunning || state == QemuState::kPaused ||
         state == QemuState::kShutdown || state == QemuState::kPanicked;
}

std::string filling(std::uint64_t seed, std::size_t bytes) {
  return SeededRandom(seed).hex(bytes / 2);
}

std::string_view cut_word(std::string_view& line) {
  const std::size_t end = std::min(line.find(' '), line.size());
  const std::string_view word = line.substr(0, end);
  line.remove_prefix(std::min(end + 1, line.size()));
  return word;
}

std::optional<std::uint64_t> cut_number(std::string_view& line, int base) {
  return parse_number<std::uint64_t>(cut_word(line), base);
}

}  // namespace

std::string_view qemu_state_name(QemuState state) {
  const auto* const entry =
      std::ranges::find(kStates, state, &std::pair<QemuState, std::string_view>::first);
  return entry != kStates.end() ? entry->second : std::string_view();
}

std::optional<QemuState> parse_qemu_state(std::string_view name) {
  const auto* const entry =
      std::ranges::find(kStates, name, &std::pair<QemuState, std::string_view>::second);
  if (entry == kStates.end()) return std::nullopt;
  return entry->first;
}

std::string encode_state(const SavedState& state) {
  const std::string devices = filling(state.page_checksum, kDeviceBytes);
  std::string bytes =
      fmt::format("{} {} {} {} {} {:x} {:x} ", kStateMagic, state.ignores_shared ? 1 : 0,
                  state.has_memory ? 1 : 0, state.memory_size.value, qemu_state_name(state.state),
                  state.page_checksum, checksum(devices));
  bytes.resize(kStateHeaderBytes - kChecksumDigits, ' ');
  bytes += fmt::format("{:016x}", checksum(bytes));
  bytes += devices;
  if (state.has_memory) {
    BLX_ASSERT(state.page.size() == kSoulBytes);
    bytes += state.page;
    bytes += filling(state.page_checksum + 1, kMoreMemoryBytes);
  }
  bytes.append(kDescriptionBytes, '}');
  return bytes;
}

std::size_t StateHeader::needed() const {
  return kStateHeaderBytes + kDeviceBytes + (state.has_memory ? kSoulBytes + kMoreMemoryBytes : 0);
}

std::size_t StateHeader::total() const { return needed() + kDescriptionBytes; }

std::optional<StateHeader> decode_state_header(std::string_view bytes) {
  if (bytes.size() < kStateHeaderBytes) return std::nullopt;
  std::string_view line = bytes.substr(0, kStateHeaderBytes - kChecksumDigits);
  const std::string_view sum = bytes.substr(line.size(), kChecksumDigits);
  if (sum != fmt::format("{:016x}", checksum(line)) || cut_word(line) != kStateMagic) {
    return std::nullopt;
  }
  const auto ignores_shared = cut_number(line, 10);
  const auto has_memory = cut_number(line, 10);
  const auto memory_size = cut_number(line, 10);
  const auto state = parse_qemu_state(cut_word(line));
  const auto page = cut_number(line, 16);
  const auto devices = cut_number(line, 16);
  if (!ignores_shared || !has_memory || !memory_size || !state || !page || !devices ||
      !is_loadable(*state)) {
    return std::nullopt;
  }
  return StateHeader{.state = {.ignores_shared = *ignores_shared != 0,
                               .has_memory = *has_memory != 0,
                               .memory_size = Bytes(*memory_size),
                               .state = *state,
                               .page_checksum = *page},
                     .devices_checksum = *devices};
}

SavedState decode_state(const StateHeader& header, std::string_view bytes) {
  BLX_ASSERT(bytes.size() >= header.needed());
  SavedState state = header.state;
  bytes.remove_prefix(kStateHeaderBytes);
  state.devices_are_right = checksum(bytes.substr(0, kDeviceBytes)) == header.devices_checksum;
  if (state.has_memory) state.page = bytes.substr(kDeviceBytes, kSoulBytes);
  return state;
}

}  // namespace blixard::sim

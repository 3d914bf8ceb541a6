#pragma once

// What QEMU writes when it saves a guest, as far as a load could tell: a header that is checked,
// the state of the devices, the memory unless it stays in a file, and a description that nobody
// needs.
//
// As little is checked as by the real one: the header, and that there is enough of the rest.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/units.h"

namespace blixard::sim {

enum class QemuState : std::uint8_t {
  kPrelaunch,
  kRunning,
  kPaused,
  kShutdown,
  kPanicked,
  kInMigrate,      // waits for a state to load
  kFinishMigrate,  // is being saved
  kPostMigrate,    // has been
};
std::string_view qemu_state_name(QemuState state);  // as query-status tells it: "guest-panicked"
std::optional<QemuState> parse_qemu_state(std::string_view name);

struct SavedState {
  bool ignores_shared = false;  // the capability
  bool has_memory = false;      // it is in here
  Bytes memory_size;
  QemuState state = QemuState::kPaused;  // to be in after the load
  std::string page;                      // of the memory, kSoulBytes; empty: it is not in here
  std::uint64_t page_checksum = 0;       // as it was when the guest was saved
  bool devices_are_right = true;         // as they were saved; a load does not look at it
};

inline constexpr std::string_view kStateMagic = "QEVM0003";  // the first of all bytes
inline constexpr std::size_t kStateHeaderBytes = 256;
std::string encode_state(const SavedState& state);

// What its first kStateHeaderBytes say. None: they are no header of a state.
struct StateHeader {
  SavedState state;
  std::uint64_t devices_checksum = 0;
  [[nodiscard]] std::size_t needed() const;  // bytes that a load cannot do without
  [[nodiscard]] std::size_t total() const;
};
std::optional<StateHeader> decode_state_header(std::string_view bytes);
// Precondition: at least `needed()` bytes, with that header.
SavedState decode_state(const StateHeader& header, std::string_view bytes);

}  // namespace blixard::sim

#pragma once

// What a simulated guest is, seen from inside, and the form in which a template or a saved guest
// keeps it. A clone comes up with its template's and has to be told who it is: one that was not is
// found out by its name, its MAC, its clock or the random bytes it gives.

#include <cstdint>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/result.h"
#include "base/units.h"
#include "core/image/digest.h"

namespace blixard::vm_sim {

inline constexpr std::size_t kSoulBytes = 1024;  // of its text, at most
inline constexpr std::size_t kSavedBytes = 4096;

struct Soul {
  std::string name;        // of the host
  std::string machine_id;  // 32 hex digits
  std::string mac;
  std::string boot_id;       // 32 hex digits; a clone has its template's
  image::Digest seed{};      // of its random generator
  std::uint64_t drawn = 0;   // from there
  std::int64_t late_ms = 0;  // its wall clock, behind the host's

  // Of a guest with this uuid that booted; `secret` is nobody else's.
  static Soul born(std::string name, const Uuid& uuid, std::string_view secret);

  // 32 bytes of its random generator, in hex.
  std::string draw();
  // From here on it gives what no other one does that was not given the same.
  void add_entropy(std::string_view entropy);

  // As saved at this time of the host.
  [[nodiscard]] std::string encode(WallTime now) const;
  // As it is when it is run again. Errors: kDataLoss "soul_invalid".
  static Result<Soul> decode(std::string_view text, WallTime now);

  // The same among other bytes: all that is saved of a guest, kSavedBytes.
  [[nodiscard]] std::string encode_saved(WallTime now) const;
  // Errors: kDataLoss "soul_invalid", also when there are fewer or more bytes. What stands where
  // the soul does not is not looked at.
  static Result<Soul> decode_saved(std::string_view bytes, WallTime now);
};

// What the guest of a VM with this uuid has.
std::string mac_address(const Uuid& uuid);
std::string machine_id(const Uuid& uuid);

}  // namespace blixard::vm_sim

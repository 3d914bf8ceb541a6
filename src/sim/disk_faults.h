#pragma once

// How a simulated disk misbehaves and how long it takes. Set by tests and fault plans at any time.
// What a loss of power takes is in file_system.h.

#include <cstdint>
#include <string>

#include "base/units.h"

namespace blixard::sim {

struct DiskFaults {
  // Each operation takes a seeded time of this range, times `slowdown`.
  Duration access_min = 10us;
  Duration access_max = 100us;
  Duration sync_min = 200us;
  Duration sync_max = 2ms;
  std::uint32_t slowdown = 1;

  // The next sync() of a file whose path starts with this fails, once. As on Linux the unsynced
  // data is then lost by chance while reads still show it, and a later sync() succeeds.
  std::string fail_next_sync_below;
  // While set, reads and writes below this path fail with "io_error".
  std::string io_error_below;

  // The next write of a file below this is refused, once, as where overwriting needs room too: some
  // sectors of it are there, but not the last byte.
  std::string refuse_next_write_below;

  // The next write of a file below this lands on other sectors of the file, once, and is reported
  // as done: where it should be is what was there before (or nothing, where the file has grown),
  // and where it lands something else is lost. The right place is never hit by chance; reads show
  // what is on the disk.
  std::string misdirect_next_write_below;
  std::uint64_t misdirect_where = 0;
};

}  // namespace blixard::sim

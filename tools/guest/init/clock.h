// Time of the guest: milliseconds since it booted. One clock for every deadline and for the uptime
// that is told to others; it goes on while the guest is suspended, and never jumps backwards.

#pragma once

#include <stdint.h>
#include <time.h>

static inline int64_t clock_ms(void) {
  struct timespec now = {0};
  (void)clock_gettime(CLOCK_BOOTTIME, &now);  // cannot fail: the clock exists since Linux 2.6.39
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

// The power button: the host presses it, the kernel's button driver turns it into a key of an input
// device, and whoever reads that device has to act, because without a reader nothing happens at
// all. The device appears asynchronously and not under a known name, so it is looked for again and
// again; keyboards may own the same key, so more than one device is read.

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "watch.h"

enum { kPowerDeviceMax = 4 };

struct Power {
  int fds[kPowerDeviceMax];
  unsigned numbers[kPowerDeviceMax];  // N of /dev/input/eventN
  size_t count;
  int64_t scan_ms;  // when to look again; INT64_MAX: no more
};

void power_start(struct Power* power);
void power_watch(const struct Power* power, struct Watch* watch);

// true: the button was pressed.
bool power_serve(struct Power* power, const struct Watch* watch);

// The one waiting place of the program. Each part adds the descriptors it cares about and the time
// it wants to be called at the latest; the main loop polls once for all of them and calls each part
// again. A part finds its descriptor's events by the descriptor itself, so parts know nothing of
// each other's order.

#pragma once

#include <poll.h>
#include <stddef.h>
#include <stdint.h>

enum { kWatchMax = 64 };

struct Watch {
  struct pollfd fds[kWatchMax];
  size_t count;
  int64_t wake_ms;  // clock_ms() at which to stop waiting; INT64_MAX: no limit
};

void watch_clear(struct Watch* watch);
void watch_add(struct Watch* watch, int fd, short events);
void watch_wake_at(struct Watch* watch, int64_t at_ms);

// Waits until a descriptor has an event or the time has come.
void watch_wait(struct Watch* watch);

// The events of this descriptor seen by the last wait; 0 if it was not watched.
short watch_events(const struct Watch* watch, int fd);

// How long to wait before looking again for something that appears asynchronously: often in the
// first second after boot, when every millisecond counts for the readiness of the guest, then
// seldom, so that an idle guest stays idle.
int64_t watch_rescan_delay_ms(int64_t uptime_ms);

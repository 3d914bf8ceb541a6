#include "watch.h"

#include <limits.h>
#include <stdlib.h>

#include "clock.h"

void watch_clear(struct Watch* watch) {
  watch->count = 0;
  watch->wake_ms = INT64_MAX;
}

void watch_add(struct Watch* watch, int fd, short events) {
  if (watch->count == kWatchMax) abort();  // each part is bounded; their sum is below kWatchMax
  watch->fds[watch->count++] = (struct pollfd){.fd = fd, .events = events};
}

void watch_wake_at(struct Watch* watch, int64_t at_ms) {
  if (at_ms < watch->wake_ms) watch->wake_ms = at_ms;
}

void watch_wait(struct Watch* watch) {
  int timeout_ms = -1;
  if (watch->wake_ms != INT64_MAX) {
    const int64_t left_ms = watch->wake_ms - clock_ms();
    timeout_ms = left_ms < 0 ? 0 : left_ms < INT_MAX ? (int)left_ms : INT_MAX;
  }
  if (poll(watch->fds, (nfds_t)watch->count, timeout_ms) < 0) {
    for (size_t i = 0; i < watch->count; ++i)
      watch->fds[i].revents = 0;
  }
}

short watch_events(const struct Watch* watch, int fd) {
  for (size_t i = 0; i < watch->count; ++i) {
    if (watch->fds[i].fd == fd) return watch->fds[i].revents;
  }
  return 0;
}

int64_t watch_rescan_delay_ms(int64_t uptime_ms) {
  if (uptime_ms < 10000) return 10;
  return uptime_ms < 60000 ? 100 : 1000;
}

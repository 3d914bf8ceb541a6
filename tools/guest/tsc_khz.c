// Prints the frequency of this machine's time stamp counter in kHz, for the guest's tsc_early_khz=
// key: measured against CLOCK_MONOTONIC_RAW over 10 ms, because what /proc/cpuinfo tells is the
// momentary clock of a core. Each reading of the pair is taken several times and the tightest one
// kept, so that being interrupted between the two clocks does no harm.

#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <x86intrin.h>

struct Reading {
  uint64_t ticks;
  int64_t ns;
};

static int64_t raw_ns(void) {
  struct timespec now = {0};
  (void)clock_gettime(CLOCK_MONOTONIC_RAW, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static struct Reading read_both(void) {
  struct Reading best = {0};
  int64_t width_best_ns = INT64_MAX;
  for (int i = 0; i < 16; ++i) {
    const int64_t before_ns = raw_ns();
    const uint64_t ticks = __rdtsc();
    const int64_t after_ns = raw_ns();
    if (after_ns - before_ns >= width_best_ns) continue;
    width_best_ns = after_ns - before_ns;
    best = (struct Reading){.ticks = ticks, .ns = before_ns + width_best_ns / 2};
  }
  return best;
}

int main(void) {
  const struct timespec pause = {.tv_nsec = 10000000};
  const struct Reading begin = read_both();
  (void)nanosleep(&pause, NULL);
  const struct Reading end = read_both();
  const double ms = (double)(end.ns - begin.ns) / 1e6;
  printf("%.0f\n", (double)(end.ticks - begin.ticks) / ms);
  return 0;
}

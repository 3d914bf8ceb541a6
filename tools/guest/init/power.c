#include "power.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/input.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "clock.h"

enum { kSettledMs = 10000 };  // after this uptime one device found is enough

static bool known(const struct Power* power, unsigned number) {
  for (size_t i = 0; i < power->count; ++i) {
    if (power->numbers[i] == number) return true;
  }
  return false;
}

static bool has_power_key(int fd) {
  unsigned char keys[KEY_MAX / 8 + 1] = {0};
  if (ioctl(fd, EVIOCGBIT(EV_KEY, sizeof keys), keys) < 0) return false;
  return (keys[KEY_POWER / 8] >> (KEY_POWER % 8) & 1) != 0;
}

static void consider(struct Power* power, unsigned number) {
  char path[32];
  (void)snprintf(path, sizeof path, "/dev/input/event%u", number);
  const int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return;
  if (!has_power_key(fd)) {
    close(fd);
    return;
  }
  power->fds[power->count] = fd;
  power->numbers[power->count++] = number;
}

static void scan(struct Power* power) {
  DIR* folder = opendir("/dev/input");
  if (folder == NULL) return;
  for (const struct dirent* entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
    unsigned number = 0;
    if (power->count == kPowerDeviceMax) break;
    if (sscanf(entry->d_name, "event%3u", &number) != 1 || known(power, number)) continue;
    consider(power, number);
  }
  closedir(folder);
}

static void scan_if_due(struct Power* power) {
  const int64_t now_ms = clock_ms();
  if (now_ms < power->scan_ms) return;
  scan(power);
  const bool enough = power->count == kPowerDeviceMax || (power->count > 0 && now_ms > kSettledMs);
  const int64_t delay_ms = power->count > 0 ? 500 : watch_rescan_delay_ms(now_ms);
  power->scan_ms = enough ? INT64_MAX : now_ms + delay_ms;
}

void power_start(struct Power* power) {
  *power = (struct Power){0};
  scan_if_due(power);
}

void power_watch(const struct Power* power, struct Watch* watch) {
  for (size_t i = 0; i < power->count; ++i)
    watch_add(watch, power->fds[i], POLLIN);
  watch_wake_at(watch, power->scan_ms);
}

static void forget(struct Power* power, size_t index) {
  close(power->fds[index]);
  power->count -= 1;
  power->fds[index] = power->fds[power->count];
  power->numbers[index] = power->numbers[power->count];
  power->scan_ms = clock_ms();
}

bool power_serve(struct Power* power, const struct Watch* watch) {
  bool pressed = false;
  for (size_t i = power->count; i-- > 0;) {
    if (watch_events(watch, power->fds[i]) == 0) continue;
    struct input_event events[16];
    const ssize_t length = read(power->fds[i], events, sizeof events);
    if (length < 0 && errno != EAGAIN && errno != EINTR) {
      forget(power, i);
      continue;
    }
    for (ssize_t k = 0; k < length / (ssize_t)sizeof events[0]; ++k) {
      pressed |= events[k].type == EV_KEY && events[k].code == KEY_POWER && events[k].value == 1;
    }
  }
  scan_if_due(power);
  return pressed;
}

#include "boot.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "console.h"

enum { kModuleListMax = 4096 };

static void mount_one(const char* kind, const char* where) {
  (void)mkdir(where, 0755);
  if (mount(kind, where, kind, MS_NOSUID | MS_NOEXEC, NULL) != 0) {
    console_say("cannot mount %s: %s", where, strerror(errno));
  }
}

void boot_mount(void) {
  mount_one("proc", "/proc");
  mount_one("sysfs", "/sys");
  mount_one("devtmpfs", "/dev");
}

static void load_module(const char* name) {
  char path[PATH_MAX];
  if (snprintf(path, sizeof path, "/lib/modules/%s", name) >= (int)sizeof path) return;
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    console_say("cannot open %s: %s", path, strerror(errno));
    return;
  }
  if (syscall(SYS_finit_module, fd, "", 0) != 0 && errno != EEXIST) {
    console_say("cannot insert %s: %s", path, strerror(errno));
  }
  close(fd);
}

void boot_load_modules(void) {
  char list[kModuleListMax + 1] = {0};
  const int fd = open("/lib/modules/order", O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    console_say("no list of modules");
    return;
  }
  const ssize_t length = read(fd, list, kModuleListMax);
  close(fd);
  if (length <= 0) return;
  char* rest = NULL;
  for (char* name = strtok_r(list, "\n", &rest); name != NULL; name = strtok_r(NULL, "\n", &rest)) {
    load_module(name);
  }
}

_Noreturn void boot_power_off(const char* reason) {
  console_say("power off: %s", reason);
  sync();
  (void)reboot(RB_POWER_OFF);
  console_say("cannot power off: %s", strerror(errno));
  _exit(1);  // the kernel panics, which the host sees: better than a machine that seems to run
}

_Noreturn void boot_panic(void) {
  const int fd = open("/proc/sysrq-trigger", O_WRONLY | O_CLOEXEC);
  if (fd >= 0) {
    const ssize_t written = write(fd, "c", 1);
    (void)written;
  }
  _exit(1);  // a kernel without that trigger panics when its first program ends
}

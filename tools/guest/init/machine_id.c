#include "machine_id.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "console.h"
#include "entropy.h"
#include "hex.h"

static const char kFile[] = "/etc/machine-id";
static const char kNewFile[] = "/etc/.machine-id.new";

bool machine_id_valid(const char* id) {
  unsigned char bytes[kMachineIdDigits / 2];
  return hex_parse(id, bytes, sizeof bytes);
}

void machine_id_start(void) {
  unsigned char bytes[kMachineIdDigits / 2];
  char id[kMachineIdDigits + 1];
  errno = 0;
  if (entropy_draw(bytes, sizeof bytes)) {
    hex_write(bytes, sizeof bytes, id);
    if (machine_id_set(id)) return;
  }
  console_say("no machine id: %s", strerror(errno));
}

bool machine_id_set(const char* id) {
  char line[kMachineIdDigits + 2];
  const int length = snprintf(line, sizeof line, "%s\n", id);
  (void)mkdir("/etc", 0755);
  const int fd = open(kNewFile, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0444);
  if (fd < 0) return false;
  errno = ENOSPC;  // what a write says that takes only a part
  const bool done = write(fd, line, (size_t)length) == length && rename(kNewFile, kFile) == 0;
  const int reason = errno;
  close(fd);
  if (!done) (void)unlink(kNewFile);
  errno = reason;
  return done;
}

void machine_id_read(char id[kMachineIdDigits + 1]) {
  memset(id, 0, kMachineIdDigits + 1);
  const int fd = open(kFile, O_RDONLY | O_CLOEXEC);
  const ssize_t length = fd < 0 ? -1 : read(fd, id, kMachineIdDigits);
  if (fd >= 0) close(fd);
  if (length != kMachineIdDigits || !machine_id_valid(id)) {
    (void)snprintf(id, kMachineIdDigits + 1, "none");
  }
}

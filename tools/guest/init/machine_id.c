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

// Open since the start: a clone that has to walk to the file, or to make it anew, is later by
// milliseconds under software emulation.
static int file = -1;
static char current[kMachineIdDigits + 1] = "none";

bool machine_id_valid(const char* id) {
  unsigned char bytes[kMachineIdDigits / 2];
  return hex_parse(id, bytes, sizeof bytes);
}

void machine_id_start(void) {
  unsigned char bytes[kMachineIdDigits / 2];
  char id[kMachineIdDigits + 1];
  (void)mkdir("/etc", 0755);
  file = open(kFile, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0444);
  if (file >= 0 && entropy_draw(bytes, sizeof bytes)) {
    hex_write(bytes, sizeof bytes, id);
    if (machine_id_set(id)) return;
  }
  console_say("no machine id: %s", strerror(errno));
}

bool machine_id_set(const char* id) {
  char line[kMachineIdDigits + 2];
  const int length = snprintf(line, sizeof line, "%s\n", id);
  errno = ENOSPC;  // what a write says that takes only a part
  if (pwrite(file, line, (size_t)length, 0) != length) return false;
  memcpy(current, id, sizeof current);
  return true;
}

void machine_id_read(char id[kMachineIdDigits + 1]) { memcpy(id, current, sizeof current); }

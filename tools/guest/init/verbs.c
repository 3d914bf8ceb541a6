#include "verbs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "settings.h"

enum { kProtocol = 1, kNonceMax = 32, kWordMax = 8 };

struct Answer {
  char* text;
  size_t room;
  size_t length;
};

static void __attribute__((format(printf, 2, 3))) put(struct Answer* answer, const char* format,
                                                      ...) {
  va_list arguments;
  va_start(arguments, format);
  const int length = vsnprintf(answer->text, answer->room, format, arguments);
  va_end(arguments);
  if (length < 0) return;
  answer->length = (size_t)length < answer->room ? (size_t)length : answer->room - 1;
}

static bool nonce_valid(const char* nonce) {
  const size_t length = strlen(nonce);
  return length >= 1 && length <= kNonceMax && strspn(nonce, "0123456789abcdef") == length;
}

static void read_boot_id(char* boot_id, size_t room) {
  (void)snprintf(boot_id, room, "unknown");
  const int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  const ssize_t length = read(fd, boot_id, room - 1);
  close(fd);
  if (length > 0) boot_id[length] = '\0';
  boot_id[strcspn(boot_id, "\n")] = '\0';
}

static void read_name(char* name) {
  memset(name, 0, kHostNameMax + 1);
  if (gethostname(name, kHostNameMax) != 0) (void)snprintf(name, kHostNameMax, "unknown");
}

struct Wish {
  const char* name;
  struct Address address;
  struct Address gateway;
};

// NULL, or what is wrong with the argument.
static const char* take_wish(const char* word, struct Wish* wish) {
  if (strncmp(word, "name=", 5) == 0) {
    if (wish->name != NULL) return "name given twice";
    wish->name = word + 5;
    return settings_name_valid(wish->name) ? NULL : "bad name";
  }
  if (strncmp(word, "ip=", 3) == 0) {
    if (wish->address.present) return "ip given twice";
    return settings_parse_address(word + 3, &wish->address) ? NULL : "bad ip";
  }
  if (strncmp(word, "gw=", 3) == 0) {
    if (wish->gateway.present) return "gw given twice";
    return settings_parse_gateway(word + 3, &wish->gateway) ? NULL : "bad gw";
  }
  return "unknown argument";
}

// All arguments are checked before the first one acts.
static void identity(char** arguments, size_t count, const char* nonce, struct Network* network,
                     struct Answer* answer) {
  struct Wish wish = {0};
  const char* wrong = NULL;
  for (size_t i = 0; i < count && wrong == NULL; ++i)
    wrong = take_wish(arguments[i], &wish);
  if (wrong != NULL) {
    put(answer, "error %s %s\n", nonce, wrong);
    return;
  }
  if (wish.address.present || wish.gateway.present) {
    wrong = network_readdress(network, wish.address, wish.gateway);
  }
  if (wrong == NULL && wish.name != NULL && !network_set_name(wish.name)) {
    wrong = "cannot set the name";
  }
  if (wrong != NULL) {
    put(answer, "error %s %s: %s\n", nonce, wrong, strerror(errno));
    return;
  }
  char boot_id[64];
  char name[kHostNameMax + 1];
  read_boot_id(boot_id, sizeof boot_id);
  read_name(name);
  put(answer, "ok %s protocol=%d name=%s boot=%s uptime_ms=%lld\n", nonce, kProtocol, name, boot_id,
      (long long)clock_ms());
}

static bool printable(const char* line, size_t length) {
  for (size_t i = 0; i < length; ++i) {
    if (line[i] < ' ' || line[i] > '~') return false;
  }
  return true;
}

static void act(char** words, size_t count, struct Network* network, bool* shutdown,
                struct Answer* answer) {
  const char* verb = words[0];
  const char* nonce = words[1];
  if (strcmp(verb, "identity") == 0) {
    identity(words + 2, count - 2, nonce, network, answer);
  } else if (strcmp(verb, "ping") != 0 && strcmp(verb, "shutdown") != 0) {
    put(answer, "error %s unknown verb\n", nonce);
  } else if (count > 2) {
    put(answer, "error %s unknown argument\n", nonce);
  } else {
    put(answer, "ok %s\n", nonce);
    *shutdown = *shutdown || strcmp(verb, "shutdown") == 0;
  }
}

size_t verbs_answer(char* line, size_t length, struct Network* network, bool* shutdown,
                    char* answer, size_t room) {
  struct Answer out = {.text = answer, .room = room};
  if (length == 0) return 0;
  if (!printable(line, length)) {
    put(&out, "error - not a line of text\n");
    return out.length;
  }
  line[length] = '\0';
  char* words[kWordMax];
  size_t count = 0;
  char* rest = NULL;
  for (char* word = strtok_r(line, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
    if (count == kWordMax) break;
    words[count++] = word;
  }
  if (count < 2 || !nonce_valid(words[1])) {
    put(&out, "error - no nonce\n");
  } else if (count == kWordMax) {
    put(&out, "error %s too many arguments\n", words[1]);
  } else {
    act(words, count, network, shutdown, &out);
  }
  return out.length;
}

size_t verbs_ready(char* answer, size_t room) {
  struct Answer out = {.text = answer, .room = room};
  char name[kHostNameMax + 1];
  read_name(name);
  put(&out, "ready %d %s\n", kProtocol, name);
  return out.length;
}

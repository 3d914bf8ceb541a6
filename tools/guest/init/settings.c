#include "settings.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "console.h"
#include "hex.h"

enum { kCommandLineMax = 4096, kAddressTextMax = 31 };

bool settings_name_valid(const char* name) {
  const size_t length = strlen(name);
  if (length < 1 || length > kHostNameMax) return false;
  for (size_t i = 0; i < length; ++i) {
    const unsigned char c = (unsigned char)name[i];
    const bool inner = i > 0 && i + 1 < length;
    if (!isalnum(c) && !(inner && (c == '-' || c == '.'))) return false;
  }
  return true;
}

bool settings_parse_gateway(const char* text, struct Address* gateway) {
  struct in_addr parsed;
  if (inet_pton(AF_INET, text, &parsed) != 1 || parsed.s_addr == 0) return false;
  *gateway = (struct Address){.present = true, .address = parsed.s_addr};
  return true;
}

bool settings_parse_address(const char* text, struct Address* address) {
  const char* slash = strchr(text, '/');
  if (slash == NULL) return false;
  const size_t dotted = (size_t)(slash - text);
  const size_t digits = strlen(slash + 1);
  if (dotted > kAddressTextMax || digits < 1 || digits > 2) return false;
  unsigned length = 0;
  for (size_t i = 1; i <= digits; ++i) {
    if (!isdigit((unsigned char)slash[i])) return false;
    length = length * 10 + (unsigned)(slash[i] - '0');
  }
  if (length < 1 || length > 32) return false;
  char copy[kAddressTextMax + 1] = {0};
  memcpy(copy, text, dotted);
  struct Address parsed;
  if (!settings_parse_gateway(copy, &parsed)) return false;
  parsed.mask = htonl(UINT32_MAX << (32 - length));
  *address = parsed;
  return true;
}

bool settings_mac_present(struct Mac mac) {
  static const struct Mac kNone = {0};
  return memcmp(&mac, &kNone, sizeof mac) != 0;
}

bool settings_parse_mac(const char* text, struct Mac* mac) {
  struct Mac parsed = {0};
  if (strlen(text) != 3 * sizeof parsed.bytes - 1) return false;
  for (size_t i = 0; i < sizeof parsed.bytes; ++i) {
    const char pair[] = {text[3 * i], text[3 * i + 1], '\0'};
    const char after = text[3 * i + 2];
    const char wanted = i + 1 < sizeof parsed.bytes ? ':' : '\0';
    if (after != wanted || !hex_parse(pair, &parsed.bytes[i], 1)) return false;
  }
  if ((parsed.bytes[0] & 1) != 0 || !settings_mac_present(parsed)) return false;
  *mac = parsed;
  return true;
}

static bool parse_test(const char* text, enum TestMode* test) {
  static const struct {
    const char* name;
    enum TestMode test;
  } kModes[] = {
      {"panic", kTestPanic},          {"ignore-shutdown", kTestIgnoreShutdown},
      {"hang-agent", kTestHangAgent}, {"exit-init", kTestExitInit},
      {"no-agent", kTestNoAgent},
  };
  for (size_t i = 0; i < sizeof kModes / sizeof kModes[0]; ++i) {
    if (strcmp(text, kModes[i].name) == 0) {
      *test = kModes[i].test;
      return true;
    }
  }
  return false;
}

// The value of "key=value" if the word is that key, else NULL.
static const char* value_of(const char* word, const char* key) {
  const size_t length = strlen(key);
  return strncmp(word, key, length) == 0 && word[length] == '=' ? word + length + 1 : NULL;
}

static void take_word(struct Settings* settings, const char* word) {
  const char* value = NULL;
  bool good = true;
  if ((value = value_of(word, "blx.name")) != NULL) {
    good = settings_name_valid(value);
    if (good) memcpy(settings->name, value, strlen(value) + 1);
  } else if ((value = value_of(word, "blx.ip")) != NULL) {
    good = settings_parse_address(value, &settings->address);
  } else if ((value = value_of(word, "blx.gw")) != NULL) {
    good = settings_parse_gateway(value, &settings->gateway);
  } else if ((value = value_of(word, "blx.test")) != NULL) {
    good = parse_test(value, &settings->test);
  }
  if (!good) console_say("ignoring %s: not a valid value", word);
}

void settings_read(struct Settings* settings) {
  *settings = (struct Settings){.name = "guest", .test = kTestNone};
  char line[kCommandLineMax + 1] = {0};
  const int fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    console_say("cannot read the kernel command line");
    return;
  }
  const ssize_t length = read(fd, line, kCommandLineMax);
  close(fd);
  if (length <= 0) return;
  char* rest = NULL;
  for (char* word = strtok_r(line, " \t\n", &rest); word != NULL;
       word = strtok_r(NULL, " \t\n", &rest)) {
    take_word(settings, word);
  }
}

#include "verbs.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "identity.h"

enum { kProtocol = 1, kNonceMax = 32, kWordMax = 12 };

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

// All arguments are checked before the first one acts.
static const char* take_words(char** words, size_t count, struct Wish* wish) {
  for (size_t i = 0; i < count; ++i) {
    const char* wrong = identity_take(words[i], wish);
    if (wrong != NULL) return wrong;
  }
  return NULL;
}

static void put_identity(const char* nonce, struct Answer* answer) {
  struct Identity is;
  identity_read(&is);
  put(answer, "ok %s protocol=%d name=%s boot=%s uptime_ms=%lld mac=%s machine=%s\n", nonce,
      kProtocol, is.name, is.boot, (long long)clock_ms(), is.mac, is.machine);
}

static void identity(char** arguments, size_t count, const char* nonce, struct Network* network,
                     struct Answer* answer) {
  struct Wish wish = {0};
  const char* wrong = take_words(arguments, count, &wish);
  if (wrong != NULL) {
    put(answer, "error %s %s\n", nonce, wrong);
  } else if (!identity_is_meant(&wish)) {
    put(answer, "error %s another guest\n", nonce);
  } else if ((wrong = identity_become(&wish, network)) != NULL) {
    put(answer, "error %s %s: %s\n", nonce, wrong, strerror(errno));
  } else {
    put_identity(nonce, answer);
  }
  explicit_bzero(wish.seed, sizeof wish.seed);
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
  network_read_name(name);
  put(&out, "ready %d %s\n", kProtocol, name);
  return out.length;
}

#include "identity.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "hex.h"

enum { kTimeDigitsMax = 16 };

static const int64_t kTimeMaxMs = (int64_t)1 << 53;  // what a reader of JSON keeps exactly

static char boot_id[kBootIdMax + 1] = "unknown";

void identity_start(void) {
  const int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  const ssize_t length = read(fd, boot_id, sizeof boot_id - 1);
  close(fd);
  if (length > 0) boot_id[length] = '\0';
  boot_id[strcspn(boot_id, "\n")] = '\0';
}

static void write_mac(struct Mac mac, char* text, size_t room) {
  const unsigned char* b = mac.bytes;
  if (settings_mac_present(mac)) {
    (void)snprintf(text, room, "%02x:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3], b[4], b[5]);
  } else {
    (void)snprintf(text, room, "none");
  }
}

static void write_address(struct Address address, char* text, size_t room) {
  char dotted[INET_ADDRSTRLEN] = "";
  (void)inet_ntop(AF_INET, &address.address, dotted, sizeof dotted);
  if (address.present) {
    (void)snprintf(text, room, "%s/%d", dotted, __builtin_popcount(address.mask));
  } else {
    (void)snprintf(text, room, "none");
  }
}

static int64_t time_now_ms(void) {
  struct timespec now = {0};
  (void)clock_gettime(CLOCK_REALTIME, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void identity_read(struct Identity* identity) {
  struct Mac mac;
  struct Address address;
  network_read(&mac, &address);
  network_read_name(identity->name);
  write_mac(mac, identity->mac, sizeof identity->mac);
  write_address(address, identity->address, sizeof identity->address);
  machine_id_read(identity->machine);
  memcpy(identity->boot, boot_id, sizeof boot_id);
  identity->time_ms = time_now_ms();
}

static bool parse_time(const char* text, int64_t* time_ms) {
  const size_t digits = strlen(text);
  if (digits < 1 || digits > kTimeDigitsMax || strspn(text, "0123456789") != digits) return false;
  int64_t value = 0;
  for (size_t i = 0; i < digits; ++i)
    value = value * 10 + (text[i] - '0');
  if (value < 1 || value > kTimeMaxMs) return false;
  *time_ms = value;
  return true;
}

// The part after "key=" if the word has that key, else NULL.
static const char* value_of(const char* word, const char* key) {
  const size_t length = strlen(key);
  return strncmp(word, key, length) == 0 ? word + length : NULL;
}

static const char* take_card(const char* word, struct NetworkChange* change) {
  const char* value = NULL;
  if ((value = value_of(word, "mac=")) != NULL) {
    if (settings_mac_present(change->mac)) return "mac given twice";
    return settings_parse_mac(value, &change->mac) ? NULL : "bad mac";
  }
  if ((value = value_of(word, "ip=")) != NULL) {
    if (change->address.present) return "ip given twice";
    return settings_parse_address(value, &change->address) ? NULL : "bad ip";
  }
  if ((value = value_of(word, "gw=")) != NULL) {
    if (change->gateway.present) return "gw given twice";
    return settings_parse_gateway(value, &change->gateway) ? NULL : "bad gw";
  }
  return "unknown argument";
}

const char* identity_take(const char* word, struct Wish* wish) {
  const char* value = NULL;
  if ((value = value_of(word, "was=")) != NULL) {
    if (wish->was != NULL) return "was given twice";
    wish->was = value;
    return settings_name_valid(value) ? NULL : "bad was";
  }
  if ((value = value_of(word, "name=")) != NULL) {
    if (wish->name != NULL) return "name given twice";
    wish->name = value;
    return settings_name_valid(value) ? NULL : "bad name";
  }
  if ((value = value_of(word, "machine=")) != NULL) {
    if (wish->machine != NULL) return "machine given twice";
    wish->machine = value;
    return machine_id_valid(value) ? NULL : "bad machine";
  }
  if ((value = value_of(word, "time_ms=")) != NULL) {
    if (wish->time_ms != 0) return "time_ms given twice";
    return parse_time(value, &wish->time_ms) ? NULL : "bad time_ms";
  }
  if ((value = value_of(word, "seed=")) != NULL) {
    if (wish->seeded) return "seed given twice";
    wish->seeded = true;
    return hex_parse(value, wish->seed, kSeedBytes) ? NULL : "bad seed";
  }
  return take_card(word, &wish->network);
}

static bool set_time(int64_t time_ms) {
  const struct timespec time = {.tv_sec = time_ms / 1000, .tv_nsec = time_ms % 1000 * 1000000};
  return clock_settime(CLOCK_REALTIME, &time) == 0;
}

// The card is last, because it undoes itself.
static const char* rename_and_move(const struct Wish* wish, struct Network* network) {
  if (wish->name != NULL && !network_set_name(wish->name)) return "cannot set the name";
  if (wish->machine != NULL && !machine_id_set(wish->machine)) return "cannot set the machine";
  return network_change(network, &wish->network);
}

bool identity_is_meant(const struct Wish* wish) {
  if (wish->was == NULL) return true;
  char name[kHostNameMax + 1];
  network_read_name(name);
  return strcmp(name, wish->was) == 0 || (wish->name != NULL && strcmp(name, wish->name) == 0);
}

const char* identity_become(const struct Wish* wish, struct Network* network) {
  if (wish->seeded && !entropy_mix(wish->seed)) return "cannot mix the seed";
  if (wish->time_ms != 0 && !set_time(wish->time_ms)) return "cannot set the time";
  char name[kHostNameMax + 1];
  char machine[kMachineIdDigits + 1];
  network_read_name(name);
  machine_id_read(machine);
  const char* wrong = rename_and_move(wish, network);
  if (wrong == NULL) return NULL;
  const int reason = errno;
  if (wish->name != NULL) (void)network_set_name(name);
  if (wish->machine != NULL && machine_id_valid(machine)) (void)machine_id_set(machine);
  errno = reason;
  return wrong;
}

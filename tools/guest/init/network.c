#include "network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <net/route.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "console.h"

enum { kCardWaitMs = 5000 };

static const char kCard[] = "eth0";

static void put_address(struct sockaddr* into, uint32_t address) {
  const struct sockaddr_in value = {.sin_family = AF_INET, .sin_addr = {.s_addr = address}};
  memcpy(into, &value, sizeof value);
}

static bool card_set(int fd, unsigned long what, const char* card, uint32_t address) {
  struct ifreq request = {0};
  strncpy(request.ifr_name, card, IFNAMSIZ - 1);
  put_address(&request.ifr_addr, address);
  return ioctl(fd, what, &request) == 0;
}

static bool card_up(int fd, const char* card) {
  struct ifreq request = {0};
  strncpy(request.ifr_name, card, IFNAMSIZ - 1);
  if (ioctl(fd, SIOCGIFFLAGS, &request) != 0) return false;
  request.ifr_flags = (short)(request.ifr_flags | IFF_UP);
  return ioctl(fd, SIOCSIFFLAGS, &request) == 0;
}

static bool route_default(int fd, unsigned long what, uint32_t gateway) {
  struct rtentry route = {.rt_flags = RTF_UP};
  put_address(&route.rt_dst, INADDR_ANY);
  put_address(&route.rt_genmask, INADDR_ANY);
  put_address(&route.rt_gateway, gateway);
  if (gateway != 0) route.rt_flags |= RTF_GATEWAY;
  return ioctl(fd, what, &route) == 0;
}

// NULL, or what the kernel refused; errno says why.
static const char* apply(const struct Network* network) {
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return "no socket";
  const char* wrong = NULL;
  if (!card_set(fd, SIOCSIFADDR, kCard, network->address.address)) {
    wrong = "cannot set the address";
  } else if (!card_set(fd, SIOCSIFNETMASK, kCard, network->address.mask)) {
    wrong = "cannot set the mask";
  } else if (!card_up(fd, kCard)) {
    wrong = "cannot bring eth0 up";
  } else {
    while (route_default(fd, SIOCDELRT, 0))
      continue;  // ends when no default route is left
    if (network->gateway.present && !route_default(fd, SIOCADDRT, network->gateway.address)) {
      wrong = "cannot set the gateway";
    }
  }
  const int reason = errno;
  close(fd);
  errno = reason;
  return wrong;
}

static void report(const struct Network* network, const char* wrong) {
  if (wrong != NULL) {
    console_say("network: %s: %s", wrong, strerror(errno));
    return;
  }
  char address[INET_ADDRSTRLEN] = "";
  (void)inet_ntop(AF_INET, &network->address.address, address, sizeof address);
  console_say("network: %s is %s", kCard, address);
}

bool network_set_name(const char* name) { return sethostname(name, strlen(name)) == 0; }

void network_read_name(char name[kHostNameMax + 1]) {
  memset(name, 0, kHostNameMax + 1);
  if (gethostname(name, kHostNameMax) != 0) (void)snprintf(name, kHostNameMax, "unknown");
}

// Whoever knows the card's old hardware address learns the new one at once.
static void announce_changes(void) {
  const int fd = open("/proc/sys/net/ipv4/conf/all/arp_notify", O_WRONLY | O_CLOEXEC);
  if (fd < 0 || write(fd, "1", 1) != 1) console_say("network: cannot announce changes");
  if (fd >= 0) close(fd);
}

void network_start(struct Network* network, const struct Settings* settings) {
  *network = (struct Network){.address = settings->address, .gateway = settings->gateway};
  if (!network_set_name(settings->name)) console_say("cannot set the name %s", settings->name);
  announce_changes();
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || !card_up(fd, "lo")) console_say("network: cannot bring lo up");
  if (fd >= 0) close(fd);
  if (!network->address.present) {
    console_say("network: no blx.ip given, so none");
    return;
  }
  network->waiting = true;
  network->give_up_ms = clock_ms() + kCardWaitMs;
  network_serve(network);
}

void network_watch(const struct Network* network, struct Watch* watch) {
  if (network->waiting) watch_wake_at(watch, clock_ms() + watch_rescan_delay_ms(clock_ms()));
}

void network_serve(struct Network* network) {
  if (!network->waiting) return;
  if (if_nametoindex(kCard) == 0) {
    if (clock_ms() < network->give_up_ms) return;
    console_say("network: there is no %s", kCard);
    network->waiting = false;
    return;
  }
  network->waiting = false;
  report(network, apply(network));
}

static bool get_mac(int fd, struct Mac* mac) {
  struct ifreq request = {0};
  strncpy(request.ifr_name, kCard, IFNAMSIZ - 1);
  if (ioctl(fd, SIOCGIFHWADDR, &request) != 0) return false;
  memcpy(mac->bytes, request.ifr_hwaddr.sa_data, sizeof mac->bytes);
  return true;
}

// The card's IPv6 addresses are made of its hardware address, but only when IPv6 comes up on it; a
// clone would keep its template's.
static void renew_ipv6(void) {
  const int fd = open("/proc/sys/net/ipv6/conf/eth0/disable_ipv6", O_RDWR | O_CLOEXEC);
  if (fd < 0) return;  // a kernel without IPv6
  char disabled = '1';
  if (pread(fd, &disabled, 1, 0) == 1 && disabled == '0' && pwrite(fd, "1", 1, 0) == 1) {
    const ssize_t written = pwrite(fd, "0", 1, 0);
    (void)written;
  }
  close(fd);
}

// The card stays up: its driver tells the device at once, and IPv4's address and routes stay.
static bool set_mac(struct Mac mac) {
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  struct ifreq request = {.ifr_hwaddr.sa_family = ARPHRD_ETHER};
  strncpy(request.ifr_name, kCard, IFNAMSIZ - 1);
  memcpy(request.ifr_hwaddr.sa_data, mac.bytes, sizeof mac.bytes);
  const bool done = ioctl(fd, SIOCSIFHWADDR, &request) == 0;
  const int reason = errno;
  close(fd);
  if (done) renew_ipv6();
  errno = reason;
  return done;
}

static const char* readdress(struct Network* network, const struct NetworkChange* change) {
  struct Network wanted = *network;
  wanted.waiting = false;
  if (change->address.present) wanted.address = change->address;
  if (change->gateway.present) wanted.gateway = change->gateway;
  if (!wanted.address.present) {
    errno = EADDRNOTAVAIL;
    return "no address";
  }
  const char* wrong = apply(&wanted);
  report(&wanted, wrong);
  if (wrong == NULL) {
    *network = wanted;
    return NULL;
  }
  const int reason = errno;
  (void)apply(network);  // an address of 0.0.0.0, if there was none, removes the one just set
  errno = reason;
  return wrong;
}

// The hardware address is last: the kernel announces it with the address that the card has then.
const char* network_change(struct Network* network, const struct NetworkChange* change) {
  const struct Network before = *network;
  const char* wrong = NULL;
  const bool move = change->address.present || change->gateway.present;
  if (move) wrong = readdress(network, change);
  if (wrong != NULL || !settings_mac_present(change->mac) || set_mac(change->mac)) return wrong;
  const int reason = errno;
  *network = before;
  if (move) (void)apply(network);
  errno = reason;
  return "cannot set the mac";
}

static bool get_address(int fd, unsigned long what, uint32_t* address) {
  struct ifreq request = {0};
  struct sockaddr_in value;
  strncpy(request.ifr_name, kCard, IFNAMSIZ - 1);
  if (ioctl(fd, what, &request) != 0) return false;
  memcpy(&value, &request.ifr_addr, sizeof value);
  *address = value.sin_addr.s_addr;
  return true;
}

void network_read(struct Mac* mac, struct Address* address) {
  *mac = (struct Mac){0};
  *address = (struct Address){0};
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return;
  (void)get_mac(fd, mac);
  address->present = get_address(fd, SIOCGIFADDR, &address->address) &&
                     get_address(fd, SIOCGIFNETMASK, &address->mask);
  close(fd);
}

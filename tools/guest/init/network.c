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

// By which the kernel is asked of cards and told about them, since the start.
static int control = -1;

static void put_address(struct sockaddr* into, uint32_t address) {
  const struct sockaddr_in value = {.sin_family = AF_INET, .sin_addr = {.s_addr = address}};
  memcpy(into, &value, sizeof value);
}

static struct ifreq of_card(const char* card) {
  struct ifreq request = {0};
  strncpy(request.ifr_name, card, IFNAMSIZ - 1);
  return request;
}

static bool card_set(unsigned long what, uint32_t address) {
  struct ifreq request = of_card(kCard);
  put_address(&request.ifr_addr, address);
  return ioctl(control, what, &request) == 0;
}

static bool card_up(const char* card) {
  struct ifreq request = of_card(card);
  if (ioctl(control, SIOCGIFFLAGS, &request) != 0) return false;
  request.ifr_flags = (short)(request.ifr_flags | IFF_UP);
  return ioctl(control, SIOCSIFFLAGS, &request) == 0;
}

static bool route_default(unsigned long what, uint32_t gateway) {
  struct rtentry route = {.rt_flags = RTF_UP};
  put_address(&route.rt_dst, INADDR_ANY);
  put_address(&route.rt_genmask, INADDR_ANY);
  put_address(&route.rt_gateway, gateway);
  if (gateway != 0) route.rt_flags |= RTF_GATEWAY;
  return ioctl(control, what, &route) == 0;
}

// NULL, or what the kernel refused; errno says why.
static const char* apply(const struct Network* network) {
  if (!card_set(SIOCSIFADDR, network->address.address)) return "cannot set the address";
  if (!card_set(SIOCSIFNETMASK, network->address.mask)) return "cannot set the mask";
  if (!card_up(kCard)) return "cannot bring eth0 up";
  while (route_default(SIOCDELRT, 0))
    continue;  // ends when no default route is left
  if (network->gateway.present && !route_default(SIOCADDRT, network->gateway.address)) {
    return "cannot set the gateway";
  }
  return NULL;
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

static bool turn_on(const char* setting) {
  const int fd = open(setting, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool done = write(fd, "1", 1) == 1;
  close(fd);
  return done;
}

// Whoever knows the card's old hardware address learns the new one at once. Of IPv6 a host orders
// no address, and the one that the kernel makes of the hardware address would be a clone's old one.
static void choose_protocols(void) {
  if (!turn_on("/proc/sys/net/ipv4/conf/all/arp_notify")) {
    console_say("network: cannot announce changes");
  }
  const bool refused = !turn_on("/proc/sys/net/ipv6/conf/all/disable_ipv6") && errno != ENOENT;
  if (refused) console_say("network: cannot leave IPv6 out: %s", strerror(errno));
}

void network_start(struct Network* network, const struct Settings* settings) {
  *network = (struct Network){.address = settings->address, .gateway = settings->gateway};
  if (!network_set_name(settings->name)) console_say("cannot set the name %s", settings->name);
  choose_protocols();
  control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (!card_up("lo")) console_say("network: cannot bring lo up: %s", strerror(errno));
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

static bool get_mac(struct Mac* mac) {
  struct ifreq request = of_card(kCard);
  if (ioctl(control, SIOCGIFHWADDR, &request) != 0) return false;
  memcpy(mac->bytes, request.ifr_hwaddr.sa_data, sizeof mac->bytes);
  return true;
}

// The card stays up: its driver tells the device at once, and IPv4's address and routes stay.
static bool set_mac(struct Mac mac) {
  struct ifreq request = of_card(kCard);
  request.ifr_hwaddr.sa_family = ARPHRD_ETHER;
  memcpy(request.ifr_hwaddr.sa_data, mac.bytes, sizeof mac.bytes);
  return ioctl(control, SIOCSIFHWADDR, &request) == 0;
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

static bool get_address(unsigned long what, uint32_t* address) {
  struct ifreq request = of_card(kCard);
  struct sockaddr_in value;
  if (ioctl(control, what, &request) != 0) return false;
  memcpy(&value, &request.ifr_addr, sizeof value);
  *address = value.sin_addr.s_addr;
  return true;
}

void network_read(struct Mac* mac, struct Address* address) {
  *mac = (struct Mac){0};
  *address = (struct Address){0};
  (void)get_mac(mac);
  address->present =
      get_address(SIOCGIFADDR, &address->address) && get_address(SIOCGIFNETMASK, &address->mask);
}

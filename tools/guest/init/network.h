// The guest's name and its one network card, set by ioctl as the host orders: Debian's kernel has
// no "ip=" of its own, and a DHCP client would be a second thing that can fail. Setting an address
// again replaces the one before, which is how a clone becomes somebody else.

#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "settings.h"
#include "watch.h"

struct Network {
  struct Address address;
  struct Address gateway;
  bool waiting;  // an address is ordered and the card is not there yet
  int64_t give_up_ms;
};

// Sets the host name and brings lo up; eth0 too if there is an address and the card is there.
void network_start(struct Network* network, const struct Settings* settings);
void network_watch(const struct Network* network, struct Watch* watch);
void network_serve(struct Network* network);

// false: the kernel refused; errno says why.
bool network_set_name(const char* name);
void network_read_name(char name[kHostNameMax + 1]);

// What a host may change about the card.
struct NetworkChange {
  struct Mac mac;
  struct Address address;
  struct Address gateway;
};

// Changes what is present, keeps what is not. NULL, or what went wrong, errno saying why; then
// everything is as it was before.
const char* network_change(struct Network* network, const struct NetworkChange* change);

// What the kernel says of the card: its hardware address and its address, each absent if none.
void network_read(struct Mac* mac, struct Address* address);

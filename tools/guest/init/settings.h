// What the host asked of this boot: the "blx." keys of the kernel command line. A key that is
// absent leaves its default; a key with a wrong value is reported on the console and counts as
// absent, so that a bad address costs the network and not the guest. Every other word of the
// command line belongs to the kernel and is ignored.

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { kHostNameMax = 63 };

// An IPv4 address in network byte order and its mask. present == false: no address is known.
struct Address {
  bool present;
  uint32_t address;
  uint32_t mask;
};

// The hardware address of a card; all zero: none.
struct Mac {
  unsigned char bytes[6];
};

// Faults a test of the host side can order (blx.test=...).
enum TestMode {
  kTestNone,
  kTestPanic,           // kernel panic half a second after ready
  kTestIgnoreShutdown,  // says ok to shutdown, obeys neither it nor the power button
  kTestHangAgent,       // opens the agent port, then neither reads nor writes it
  kTestExitInit,        // this program exits half a second after ready: the kernel panics
  kTestNoAgent,         // never opens the agent port
};

struct Settings {
  char name[kHostNameMax + 1];
  struct Address address;
  struct Address gateway;  // mask unused
  enum TestMode test;
};

// Reads /proc/cmdline; /proc must be mounted.
void settings_read(struct Settings* settings);

// Letters, digits, '-' and '.', beginning and ending with a letter or digit; 1 to 63 characters.
bool settings_name_valid(const char* name);

// "10.0.2.15/24"; the length 1 to 32 is required.
bool settings_parse_address(const char* text, struct Address* address);

// "10.0.2.2"
bool settings_parse_gateway(const char* text, struct Address* gateway);

// "02:00:5e:00:53:01": lower case, of one card and not of a group, not all zero.
bool settings_parse_mac(const char* text, struct Mac* mac);
bool settings_mac_present(struct Mac mac);

// The only program of the guest, and therefore process 1 of its kernel: it prepares the machine,
// serves a web page and the host's agent port from one poll loop, and turns the machine off when it
// is told to. No threads, no children, no allocation after the C library has started.

#include <stdbool.h>
#include <stdint.h>
#include <unistd.h>

#include "agent.h"
#include "boot.h"
#include "clock.h"
#include "console.h"
#include "entropy.h"
#include "http.h"
#include "identity.h"
#include "machine_id.h"
#include "network.h"
#include "power.h"
#include "settings.h"
#include "watch.h"

_Static_assert((int)kHttpConnectionMax + 1 + (int)kPowerDeviceMax + 2 <= (int)kWatchMax,
               "every descriptor has its place in the poll");

enum { kFaultDelayMs = 500, kPortWaitMs = 2000 };

struct Guest {
  struct Settings settings;
  struct Network network;
  struct Http http;
  struct Agent agent;
  struct Power power;
  int64_t start_ms;
  int64_t fault_ms;  // when an ordered fault happens
  bool ready;
};

// Ready means: the network is settled, the page is served, and the host can reach the agent. A
// machine without the port is ready too, only later and without anyone to tell.
static void become_ready(struct Guest* guest) {
  if (guest->ready || guest->network.waiting) return;
  const bool port_expected = guest->settings.test != kTestNoAgent;
  if (port_expected && guest->agent.port < 0 && clock_ms() < guest->start_ms + kPortWaitMs) return;
  guest->ready = true;
  guest->fault_ms = clock_ms() + kFaultDelayMs;
  console_say("ready");
}

static bool fault_ordered(const struct Guest* guest) {
  return guest->settings.test == kTestPanic || guest->settings.test == kTestExitInit;
}

static void fault_if_due(const struct Guest* guest) {
  if (!guest->ready || !fault_ordered(guest) || clock_ms() < guest->fault_ms) return;
  console_say("fault as ordered by blx.test");
  if (guest->settings.test == kTestPanic) boot_panic();
  _exit(1);
}

static void prepare(struct Guest* guest) {
  boot_mount();
  settings_read(&guest->settings);
  boot_load_modules();
  entropy_start();
  machine_id_start();
  identity_start();
  network_start(&guest->network, &guest->settings);
  http_start(&guest->http);
  power_start(&guest->power);
  agent_start(&guest->agent, &guest->network, guest->settings.test);
  guest->start_ms = clock_ms();
}

static void wait_for_something(const struct Guest* guest, struct Watch* watch) {
  watch_clear(watch);
  network_watch(&guest->network, watch);
  http_watch(&guest->http, watch);
  power_watch(&guest->power, watch);
  if (!guest->network.waiting) {
    agent_watch(&guest->agent, watch);
    if (!guest->ready) watch_wake_at(watch, guest->start_ms + kPortWaitMs);
  }
  if (guest->ready && fault_ordered(guest)) watch_wake_at(watch, guest->fault_ms);
  watch_wait(watch);
}

int main(void) {
  static struct Guest guest;
  static struct Watch watch;
  prepare(&guest);
  const bool obey = guest.settings.test != kTestIgnoreShutdown;
  for (;;) {
    wait_for_something(&guest, &watch);
    network_serve(&guest.network);
    http_serve(&guest.http, &watch);
    const bool pressed = power_serve(&guest.power, &watch);
    if (!guest.network.waiting) agent_serve(&guest.agent, &watch);  // its word means: all is set
    become_ready(&guest);
    fault_if_due(&guest);
    if (obey && pressed) boot_power_off("power button");
    if (obey && guest.agent.shutdown_wanted) boot_power_off("the host asked");
  }
}

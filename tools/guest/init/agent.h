// The agent: answers the host's questions over the virtio-serial port "org.blixard.agent", one text
// line each way (docs/formats/guest-agent.md). It needs no network, so it works before there is
// one, in a clone that does not know its address yet, and after a move.
//
// The port has its own ways, and each of them is a bug until it is handled:
//  - its name appears some time after the driver was loaded: the ports are scanned until it is
//  found;
//  - poll reports POLLHUP all the time while no host is connected: the port is then left out of the
//    poll, and the driver's SIGIO, taken by a signalfd, says when to look again;
//  - a write without a host, or to one that does not read, must not block: the port is O_NONBLOCK,
//    and no further line is read while there is no room for its answer;
//  - a host that goes away is an end of file and nothing more: the next one is served the same way.

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "network.h"
#include "settings.h"
#include "watch.h"

enum {
  kAgentLineMax = 512,  // with its line feed
  kAgentOutputMax = 4096,
};

struct Agent {
  struct Network* network;
  enum TestMode test;
  int port;       // -1: not found yet
  int signal_fd;  // -1: not opened yet
  int64_t scan_ms;
  bool watched;  // part of the poll: a host is connected, or left something to read
  bool greeted;  // the host that is connected was sent its ready line
  bool shutdown_wanted;
  bool line_too_long;  // the rest of this line is skipped
  size_t line_length;
  char line[kAgentLineMax];
  size_t input_at, input_length;
  char input[kAgentLineMax];
  size_t output_length;
  char output[kAgentOutputMax];
};

// network stays owned by the caller and must outlive the agent.
void agent_start(struct Agent* agent, struct Network* network, enum TestMode test);
void agent_watch(const struct Agent* agent, struct Watch* watch);

// Afterwards agent->shutdown_wanted says whether the host asked for the end.
void agent_serve(struct Agent* agent, const struct Watch* watch);

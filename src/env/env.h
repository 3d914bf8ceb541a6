#pragma once

// The seam. A node is given one Env and nothing else: whatever it knows of the world comes
// through these references, so the same object file runs on Linux (linux/) and in virtual time
// (sim/). Nothing here is global.

#include "env/clock.h"
#include "env/disk.h"
#include "env/executor.h"
#include "env/machine.h"
#include "env/network.h"
#include "env/process.h"
#include "env/random.h"
#include "env/rare.h"
#include "env/security.h"
#include "observe/log.h"

namespace blixard::env {

struct Env {
  Executor& executor;
  Clock& clock;
  Random& random;
  Network& network;
  Security& security;
  Disk& disk;
  Process& process;
  Machine& machine;
  RareEvents& rare;
  observe::LogSink& log;
};

}  // namespace blixard::env

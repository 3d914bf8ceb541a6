#pragma once

// Asks the guest's agent, over the socket behind its virtio-serial port.
//
// Each question opens a connection of its own, since the port serves one host at a time and people
// may want it too. The question is repeated with a new nonce every second: a guest that boots, or
// whose agent starts again, may have lost the first one.

#include <string>

#include "base/result.h"
#include "base/units.h"
#include "env/env.h"
#include "env/task.h"

namespace blixard::qemu {

class AgentClient {
 public:
  AgentClient(env::Env env, std::string socket_path);

  // Returns when a nonce was answered. Errors: kDeadlineExceeded, kFailedPrecondition
  // "agent_version", kCancelled.
  env::Task<Result<void>> ping(Instant deadline) { return ask("ping", deadline); }
  // Returns when the agent said that it will. Errors: as ping(), and kFailedPrecondition
  // "agent_refused".
  env::Task<Result<void>> shutdown(Instant deadline) { return ask("shutdown", deadline); }

 private:
  env::Task<Result<void>> ask(std::string verb, Instant deadline);

  env::Env env_;
  std::string socket_path_;
};

}  // namespace blixard::qemu

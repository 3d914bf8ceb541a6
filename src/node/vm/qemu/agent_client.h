#pragma once

// Asks the guest's agent, over the socket behind its virtio-serial port.
//
// Each question opens a connection of its own, since the port serves one host at a time and people
// may want it too. It begins with an empty line, for a predecessor may have left half of one. The
// question is repeated with a new nonce every second: a guest that boots, or
// whose agent starts again, may have lost the first one.

#include <functional>
#include <string>

#include "base/result.h"
#include "base/units.h"
#include "env/env.h"
#include "env/task.h"
#include "node/vm/qemu/agent_protocol.h"

namespace blixard::qemu {

class AgentClient {
 public:
  AgentClient(env::Env env, std::string socket_path);

  // Returns when a nonce was answered. Errors: kDeadlineExceeded, kFailedPrecondition
  // "agent_version", kCancelled.
  env::Task<Result<void>> ping(Instant deadline);
  // Returns when the agent said that it will. Errors: as ping(), and kFailedPrecondition
  // "agent_refused".
  env::Task<Result<void>> shutdown(Instant deadline);
  // Returns when the guest is that one; its time is that of the question. Errors: as shutdown().
  env::Task<Result<void>> identify(Identity identity, Instant deadline);
  // Whether the agent knows what identify() asks; it stays who it is. Errors: as ping().
  env::Task<Result<bool>> can_identify(Instant deadline);

 private:
  using Words = std::function<std::string()>;  // behind verb and nonce, asked for each line
  env::Task<Result<void>> ask(std::string verb, Words words, Instant deadline);

  env::Env env_;
  std::string socket_path_;
};

}  // namespace blixard::qemu

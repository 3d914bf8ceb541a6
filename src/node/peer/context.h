#pragma once

// What the parts of one Peers share. It outlives each of them: who waits for an answer may be
// resumed after the Peers is gone.

#include <cstdint>
#include <functional>
#include <memory>

#include "base/ids.h"
#include "env/env.h"
#include "env/random.h"
#include "env/security.h"
#include "env/task.h"
#include "node/peer/peers.h"

namespace blixard::peer {

struct Context {
  env::Env env;
  Options options;
  env::SecureTransport& transport;
  std::unique_ptr<env::Random> random;
  Handler* handler = nullptr;
  // Never used twice, so an answer that belongs to an earlier connection has no taker.
  std::uint64_t last_id = 0;

  [[nodiscard]] std::uint64_t next_id() { return ++last_id; }
};

}  // namespace blixard::peer

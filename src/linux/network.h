#pragma once

// env::Network on TCP and unix sockets. No encryption: that is security.h's. Every stream it hands
// out is a SocketStream.

#include "env/network.h"

namespace blixard::linux_side {

class Clock;
class Loop;

class Network final : public env::Network {
 public:
  Network(Loop& loop, Clock& clock) : loop_(loop), clock_(clock) {}

  env::Task<Result<std::unique_ptr<env::Listener>>> listen(env::Endpoint endpoint) override;
  env::Task<Result<std::unique_ptr<env::Stream>>> dial(env::Endpoint endpoint,
                                                       Instant deadline) override;
  env::Task<Result<env::StreamPair>> pair() override;

 private:
  env::Task<Result<std::unique_ptr<env::Stream>>> connect(env::Endpoint endpoint);

  Loop& loop_;
  Clock& clock_;
};

}  // namespace blixard::linux_side

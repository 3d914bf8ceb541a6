#pragma once

// One connection to QEMU's monitor: commands with deadlines, events to a handler.
//
// QEMU serves one client a socket and forgets events while nobody is connected; who makes a client
// asks for the state afterwards. One command is under way at a time; the answer to one that was
// given up carries an old id and is dropped.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include "base/result.h"
#include "base/units.h"
#include "env/clock.h"
#include "env/executor.h"
#include "env/network.h"
#include "env/sync.h"
#include "env/task.h"
#include "node/vm/qemu/qmp.h"
#include "node/vm/waiting.h"

namespace blixard::qemu {

class QmpClient {
 public:
  using EventHandler = std::function<void(const Event&)>;

  QmpClient(env::Executor& executor, env::Clock& clock, std::unique_ptr<env::Stream> stream,
            EventHandler handler);

  // Reads until the connection ends; everything else needs it running beside. Spawned once, by
  // the owner, who waits for its end before the client goes away.
  env::Task<void> run();

  // Waits for the greeting and leaves negotiation mode; returns QEMU's version.
  env::Task<Result<std::string>> handshake(Instant deadline);

  // Errors: kFailedPrecondition "qmp_refused" with QEMU's words, kUnavailable "qmp_closed",
  // kDeadlineExceeded, kCancelled.
  env::Task<Result<boost::json::value>> execute(std::string command, boost::json::object arguments,
                                                Instant deadline);
  // Hands QEMU one end of a connection, which it then knows by `name` ("getfd"). Errors: those of
  // execute().
  env::Task<Result<void>> hand_over(std::string name, std::unique_ptr<env::Stream> end,
                                    Instant deadline);

  // Waits for the end of the connection. Errors: kDeadlineExceeded, kCancelled.
  env::Task<Result<void>> wait_closed(Instant deadline);

  void close();
  [[nodiscard]] bool closed() const { return closed_; }

 private:
  void take(Message message);
  // `handed` goes with it; null: nothing does.
  env::Task<Result<void>> send(std::string line, std::unique_ptr<env::Stream> handed,
                               Instant deadline);
  env::Task<Result<boost::json::value>> ask(std::string command, boost::json::object arguments,
                                            std::unique_ptr<env::Stream> handed, Instant deadline);

  env::Executor& executor_;
  env::Clock& clock_;
  std::unique_ptr<env::Stream> stream_;
  EventHandler handler_;
  QmpDecoder decoder_;
  vm::Turns turns_;
  env::Signal changed_;  // a greeting, an answer or the end
  std::optional<std::string> version_;
  std::uint64_t id_ = 0;  // of the command under way or the last one
  std::optional<Result<boost::json::value>> answer_;
  bool closed_ = false;
};

}  // namespace blixard::qemu

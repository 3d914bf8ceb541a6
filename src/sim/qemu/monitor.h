#pragma once

// A monitor socket (QMP) of a scripted QEMU: one client at a time, commands in lines, events to
// whom has negotiated. What cannot be read or is not known is answered with an error, as QEMU does.

#include <memory>
#include <string>
#include <string_view>

#include <boost/json/object.hpp>

#include "env/network.h"
#include "env/task.h"
#include "sim/qemu/outbox.h"
#include "sim/qemu/qmp_outcome.h"

namespace blixard::sim {

class QemuGuest;

class QemuMonitor {
 public:
  QemuMonitor(QemuGuest& guest, std::unique_ptr<env::Listener> listener)
      : guest_(guest), listener_(std::move(listener)) {}

  env::Task<void> serve();

  // An event. True: somebody is to hear it, by flush().
  bool tell(std::string_view line);
  env::Task<void> flush();

 private:
  env::Task<void> talk();
  // False: it does not go on.
  env::Task<bool> take(std::string_view line);
  env::Task<bool> wait_while_silent();
  void say(std::string_view command, std::string_view id, std::string_view answer);
  QmpOutcome obey(std::string_view command, const boost::json::object* arguments);
  env::Task<std::string> obey_human(const boost::json::value* arguments);
  QmpOutcome negotiate();
  QmpOutcome change(std::string_view command);
  QmpOutcome take_stream(const boost::json::object* arguments);
  QmpOutcome read_console(const boost::json::object* arguments);

  QemuGuest& guest_;
  std::unique_ptr<env::Listener> listener_;
  std::shared_ptr<Outbox> client_;  // null: nobody is connected
  QmpStreams streams_;              // that were handed over and not used yet
  bool is_negotiated_ = false;
};

}  // namespace blixard::sim

#pragma once

// The agent in a scripted guest, behind its virtio-serial port. What is asked before the guest has
// booted, or while it is paused, waits in the port and is answered when it runs; it is lost with
// the connection it came over. What the agent has read of a line stays with the guest, also in a
// save, until some host ends that line.

#include <expected>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "env/network.h"
#include "env/task.h"
#include "sim/qemu/outbox.h"

namespace blixard::sim {

class QemuGuest;

class QemuAgent {
 public:
  QemuAgent(QemuGuest& guest, std::unique_ptr<env::Listener> listener)
      : guest_(guest), listener_(std::move(listener)) {}

  env::Task<void> serve();  // one client at a time
  // The guest runs from now on: what waits is answered.
  env::Task<void> wake();

 private:
  using Words = std::span<const std::string_view>;
  using Outcome = std::expected<std::string, std::string>;  // what is said behind the nonce

  void answer_waiting();
  void answer(std::string_view line);
  Outcome obey(std::string_view verb, Words words);
  Outcome identify(Words words);
  Outcome tell_random();

  QemuGuest& guest_;
  std::unique_ptr<env::Listener> listener_;
  std::shared_ptr<Outbox> client_;  // null: nobody is connected
  bool is_greeted_ = false;
  std::string asked_;  // and not read by the guest
};

}  // namespace blixard::sim

#pragma once

// What tests of saved guests share: what they do to "web", and what they see of its guests. At no
// time may two of them run, and none goes on from what was saved before the log says so.

#include <algorithm>
#include <cstddef>
#include <set>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "core/image/digest.h"
#include "node/agent/test_agent.h"

namespace blixard::agent {

class SavesTest : public AgentTest, private vm_sim::SimHypervisor::Listener {
 public:
  SavesTest() { hypervisor.attach(*this); }
  ~SavesTest() override { hypervisor.detach(*this); }
  SavesTest(const SavesTest&) = delete;
  SavesTest& operator=(const SavesTest&) = delete;

  void TearDown() override {
    EXPECT_LE(most_at_once, 1u) << "two guests of one VM ran";
    EXPECT_TRUE(all_claimed) << "one went on before the log said so";
  }

  // What is seen.

  vm_sim::SimGuest* guest() {
    for (const env::ProcessId process : spawned)
      if (vm_sim::SimGuest* found = hypervisor.find(process)) return found;
    return nullptr;
  }
  std::string boot_id() { return guest() == nullptr ? "" : guest()->soul.boot_id; }
  bool is_frozen() { return guest() != nullptr && guest()->paused; }
  const cluster::Saves& saves() { return *find("web")->saves; }
  static std::string saved_path(const image::Digest& digest) {
    return env::join_path(kData, "saved/" + image::digest_text(digest));
  }
  bool lies_there(const image::Digest& digest) {
    return machine.content(saved_path(digest)).has_value();
  }
  env::Task<std::size_t> saved_files() {
    const auto entries = co_await machine.env().disk.list(env::join_path(kData, "saved"));
    co_return entries ? entries->size() : 0;
  }
  env::Task<bool> until_saved_files(std::size_t count) {
    const Instant deadline = env().clock.monotonic() + 1min;
    while (co_await saved_files() != count) {
      if (env().clock.monotonic() >= deadline || !co_await env().clock.sleep(10ms)) co_return false;
    }
    co_return true;
  }
  env::Task<bool> until_reason(std::string part) {
    co_return co_await until([&] { return find("web")->reason.find(part) != std::string::npos; });
  }

  // What is done.

  env::Task<void> pause() {
    co_await desire("web", v1::VM_DESIRED_PAUSED);
    EXPECT_TRUE(co_await until_state("web", cluster::VmState::kPaused));
  }
  env::Task<void> suspend() {
    co_await desire("web", v1::VM_DESIRED_SUSPENDED);
    EXPECT_TRUE(co_await until_state("web", cluster::VmState::kSuspended));
  }
  env::Task<void> wake() {
    co_await desire("web", v1::VM_DESIRED_RUNNING);
    EXPECT_TRUE(co_await until_state("web", cluster::VmState::kRunning));
  }
  // A daemon, and "web" suspended.
  env::Task<bool> up_with_suspended(v1::RestartPolicy restart = v1::RESTART_POLICY_NEVER) {
    if (!co_await up_with_web(restart)) co_return false;
    first_boot_id = boot_id();
    co_await suspend();
    co_return saves().resume_from.has_value();
  }
  env::Task<void> propose(v1::Command command) {
    const auto done = co_await daemon.replica->propose(std::move(command));
    EXPECT_TRUE(done) << done.error().message();
  }
  env::Task<void> ask_for_snapshot() {
    v1::Command command;
    command.mutable_take_snapshot()->set_name("web");
    co_await propose(std::move(command));
  }
  env::Task<void> take_snapshot() {
    co_await ask_for_snapshot();
    EXPECT_TRUE(co_await until([this] { return !saves().is_snapshot_asked(); }));
  }
  env::Task<void> delete_snapshot() {
    v1::Command command;
    command.mutable_delete_snapshot()->set_name("web");
    co_await propose(std::move(command));
  }
  env::Task<void> restore() {
    v1::Command command;
    command.mutable_restore_snapshot()->set_name("web");
    co_await propose(std::move(command));
    const Generation generation = find("web")->generation;
    EXPECT_TRUE(co_await until([&] {
      const cluster::Vm* web = find("web");
      return web->state == cluster::VmState::kRunning && web->generation >= generation;
    }));
  }

  std::set<std::int64_t> went_on;  // processes of guests that ran from what was saved
  std::size_t most_at_once = 0;
  bool all_claimed = true;
  std::string first_boot_id;

 private:
  void guest_changed(env::ProcessId /*id*/) override {
    std::size_t running = 0;
    for (const env::ProcessId process : spawned) {
      const vm_sim::SimGuest* found = hypervisor.find(process);
      if (found == nullptr || found->paused || found->never_ran()) continue;
      ++running;
      if (!found->is_resumed || !went_on.insert(process.pid).second) continue;
      const cluster::Vm* web = find("web");
      all_claimed = all_claimed && web != nullptr && web->saves->used_by == web->generation;
    }
    most_at_once = std::max(most_at_once, running);
  }
};

}  // namespace blixard::agent

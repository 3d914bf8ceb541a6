#pragma once

// A QEMU of the simulated machine, for tests: a program that understands the command line it is
// given, opens the monitor's and the agent's sockets and plays what a test wants to go wrong.

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/json.hpp>

#include "env/scope.h"
#include "env/sync.h"
#include "node/vm/qemu/arguments.h"
#include "sim/world.h"

namespace blixard::qemu {

inline constexpr const char* kFakePath = "/usr/bin/qemu-system-x86_64";

// Asked at each step, so a test may change it while processes run.
struct FakePlan {
  std::string last_words;  // printed at the start, and then it ends with exit code 1
  std::string kvm_words;   // the same, only of one that was to use KVM
  bool hangs = false;      // before it opens its sockets
  bool is_silent = false;  // a monitor that accepts and says nothing
  std::string noise;       // said by the monitor in place of its next answer
  std::optional<Uuid> uuid;
  bool kvm_boots = true;
  bool agent_is_stale = false;    // answers with another nonce
  bool ignores_shutdown = false;  // as guests without an agent do
  std::set<std::string> ignored;  // commands without any effect or answer
  std::string dies_at;            // command
};

struct FakeGuest {
  explicit FakeGuest(env::Executor& executor) : changed(executor) {}
  std::string uuid;
  std::string accelerator;
  std::string status = "running";
  std::string console = "booting\n";
  Instant booted;  // from then on its agent answers
  env::Stream* client = nullptr;
  std::vector<std::string> events;
  bool quits = false;
  env::Signal changed;
};

class FakeQemu {
 public:
  // It outlives the machine's world: its processes refer to it.
  void install(sim::Machine& machine) {
    machine_ = &machine;
    machine.install_program(kFakePath,
                            [this](sim::ProcessContext process) { return run(process); });
  }

  FakePlan plan;
  std::vector<std::string> started;  // accelerators of all guests so far, in order

  // Null: no such process runs a guest.
  FakeGuest* find(env::ProcessId id) {
    const auto found = guests_.find(id.pid);
    return found != guests_.end() && machine_->is_alive(id) ? found->second.get() : nullptr;
  }
  // The guest of this process comes into another state and QEMU tells so.
  void tell(env::ProcessId id, std::string status, std::string event) {
    FakeGuest* guest = find(id);
    ASSERT_NE(guest, nullptr);
    guest->status = std::move(status);
    guest->events.push_back(std::move(event));
    guest->changed.notify_all();
  }

 private:
  static std::string value_of(const std::vector<std::string>& arguments, std::string_view option) {
    for (std::size_t i = 0; i + 1 < arguments.size(); ++i)
      if (arguments[i] == option) return arguments[i + 1];
    return {};
  }

  env::Task<void> run(sim::ProcessContext process) {
    const std::vector<std::string> arguments = process.spec().arguments;
    if (arguments.at(0) == "--version") {
      process.print("QEMU emulator version 7.2.22 (fake)\n");
    } else if (value_of(arguments, "-accel") == "help") {
      process.print("Accelerators supported in QEMU binary:\ntcg\nkvm\n");
    } else {
      co_await run_guest(process, arguments);
    }
  }

  env::Task<void> run_guest(sim::ProcessContext process, std::vector<std::string> arguments) {
    env::Env env = process.env();
    FakeGuest& guest = *(guests_[process.id().pid] = std::make_unique<FakeGuest>(env.executor));
    guest.uuid = value_of(arguments, "-uuid");
    guest.accelerator = value_of(arguments, "-accel").substr(0, 3);
    started.push_back(guest.accelerator);
    const bool is_kvm = guest.accelerator == "kvm";
    for (const std::string* words : {&plan.last_words, &plan.kvm_words}) {
      if (words->empty() || (words == &plan.kvm_words && !is_kvm)) continue;
      process.print(*words + "\n");
      process.exit(1);
      co_return;
    }
    co_await write_command_line(env, process.id(), arguments);
    while (plan.hangs) {
      if (!co_await env.clock.sleep(1h)) co_return;
    }
    const Instant now = env.clock.monotonic();
    guest.booted = !is_kvm ? now + 1500ms : plan.kvm_boots ? now + 200ms : Instant::never();
    const auto socket = [&](std::string_view name) {
      return env::Endpoint::unix_socket(env::join_path(process.spec().working_directory, name));
    };
    auto monitor = co_await env.network.listen(socket(kMonitorSocket));
    auto agent = co_await env.network.listen(socket(kAgentSocket));
    EXPECT_TRUE(monitor && agent);
    if (!monitor || !agent) co_return;
    env::Scope scope(env.executor, co_await env::this_cancellation());
    scope.spawn(serve_monitor(process, guest, **monitor));
    scope.spawn(serve_agent(env, guest, **agent));
    scope.spawn(tell_events(guest));
    while (!guest.quits) {
      if (!co_await guest.changed.wait()) break;
    }
    scope.cancel();
    co_await scope.join();
  }

  static env::Task<void> write_command_line(env::Env env, env::ProcessId id,
                                            std::vector<std::string> arguments) {
    std::string line = std::string(kFakePath) + '\0';
    for (const std::string& argument : arguments)
      line += argument + '\0';
    const std::string directory = "/proc/" + std::to_string(id.pid);
    EXPECT_TRUE(co_await env.disk.make_directory(directory));
    EXPECT_TRUE(co_await env.disk.replace_file(directory + "/cmdline", line));
  }

  static env::Task<void> tell_events(FakeGuest& guest) {
    for (;;) {
      const std::vector<std::string> events = std::exchange(guest.events, {});
      for (const std::string& event : events) {  // lost while nobody listens
        if (guest.client == nullptr) break;
        if (!co_await guest.client->write_all(event + "\n")) break;
      }
      if (!co_await guest.changed.wait()) co_return;
    }
  }

  // One client at a time, as the real one.
  env::Task<void> serve_monitor(sim::ProcessContext process, FakeGuest& guest,
                                env::Listener& listener) {
    for (;;) {
      auto client = co_await listener.accept();
      if (!client) co_return;
      while (plan.is_silent) {
        if (!co_await process.env().clock.sleep(1h)) co_return;
      }
      if (!co_await say(**client,
                        R"({"QMP":{"version":{"qemu":{"major":7,"minor":2,"micro":22}}}})")) {
        continue;
      }
      guest.client = client->get();
      co_await serve_client(process, guest, **client);
      guest.client = nullptr;
    }
  }

  env::Task<Result<void>> say(env::Stream& stream, std::string text) {
    if (!plan.noise.empty()) text = std::exchange(plan.noise, {});
    text += '\n';
    co_return co_await stream.write_all(text);
  }

  env::Task<void> serve_client(sim::ProcessContext process, FakeGuest& guest, env::Stream& client) {
    std::array<char, 512> buffer{};
    std::string text;
    for (;;) {
      const auto count = co_await client.read_some(buffer);
      if (!count || *count == 0) co_return;
      text.append(buffer.data(), *count);
      while (text.find('\n') != std::string::npos) {
        const std::string line = text.substr(0, text.find('\n'));
        text.erase(0, line.size() + 1);
        const boost::json::object command = boost::json::parse(line).as_object();
        const std::string name(command.at("execute").as_string());
        if (name == plan.dies_at) {
          process.die(11);
          co_return;
        }
        if (plan.ignored.contains(name)) continue;
        const boost::json::object answer{{"return", obey(guest, name)}, {"id", command.at("id")}};
        if (!co_await say(client, boost::json::serialize(answer))) co_return;
        guest.changed.notify_all();
      }
    }
  }

  boost::json::value obey(FakeGuest& guest, std::string_view name) {
    if (name == "query-uuid") {
      return {{"UUID", plan.uuid ? plan.uuid->text() : guest.uuid}};
    }
    if (name == "query-status") return {{"status", guest.status}};
    if (name == "ringbuf-read") {
      return boost::json::string(guest.console.empty() ? "" : "Ym9vdGluZwo=");
    }
    if (name == "stop") guest.status = "paused";
    if (name == "cont") guest.status = "running";
    if (name == "quit") guest.quits = true;
    if (name == "system_powerdown") guest_shutdown(guest);
    return boost::json::object{};
  }

  static void guest_shutdown(FakeGuest& guest) {
    guest.status = "shutdown";
    guest.events.push_back(R"({"event":"SHUTDOWN","data":{"reason":"guest-shutdown"}})");
    guest.changed.notify_all();
  }

  env::Task<void> serve_agent(env::Env env, FakeGuest& guest, env::Listener& listener) {
    for (;;) {
      auto client = co_await listener.accept();
      if (!client) co_return;
      std::array<char, 512> buffer{};
      std::string text;
      for (;;) {
        const auto count = co_await (*client)->read_some(buffer);
        if (!count || *count == 0) break;
        text.append(buffer.data(), *count);
        while (text.find('\n') != std::string::npos) {
          const std::string line = text.substr(0, text.find('\n'));
          text.erase(0, line.size() + 1);
          const std::string answer = answer_of(env, guest, line);
          if (!answer.empty() && !co_await (*client)->write_all(answer)) break;
        }
      }
    }
  }

  // Empty: nothing is answered.
  std::string answer_of(env::Env env, FakeGuest& guest, const std::string& line) {
    if (guest.status != "running" || env.clock.monotonic() < guest.booted) return {};
    const std::size_t space = line.find(' ');
    const std::string nonce = plan.agent_is_stale ? "0123456789abcdef" : line.substr(space + 1);
    if (line.starts_with("shutdown")) {
      if (plan.ignores_shutdown) return {};
      guest_shutdown(guest);
    }
    return "ok " + nonce + "\n";
  }

  sim::Machine* machine_ = nullptr;
  std::map<std::int64_t, std::unique_ptr<FakeGuest>> guests_;
};

}  // namespace blixard::qemu

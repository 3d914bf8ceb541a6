#pragma once

// Guests for tests that speak to the monitor and the agent themselves: no driver is in between.

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/json.hpp>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "env/sync.h"
#include "sim/qemu/scripted_qemu.h"
#include "sim/world.h"

namespace blixard::sim {

// Lines over one socket.
class TestTalk {
 public:
  TestTalk(env::Env env, std::unique_ptr<env::Stream> stream)
      : env_(env), stream_(std::move(stream)) {}

  env::Stream& stream() { return *stream_; }
  env::Task<Result<void>> say(std::string bytes) { co_return co_await stream_->write_all(bytes); }
  // The next line; an error if none comes.
  env::Task<Result<std::string>> hear(Duration patience = 5s) {
    co_return co_await env::with_deadline(env_.executor, env_.clock,
                                          env_.clock.monotonic() + patience, read_line());
  }
  // To the first line that begins like this.
  env::Task<Result<std::string>> hear_until(std::string begin, Duration patience = 5s) {
    for (;;) {
      BLX_CO_TRY(std::string line, co_await hear(patience));
      if (line.starts_with(begin)) co_return line;
    }
  }

 private:
  env::Task<Result<std::string>> read_line() {
    std::array<char, 512> buffer;
    for (;;) {
      const std::size_t end = text_.find('\n');
      if (end != std::string::npos) {
        std::string line = text_.substr(0, end);
        text_.erase(0, end + 1);
        co_return line;
      }
      BLX_CO_TRY(const std::size_t count, co_await stream_->read_some(buffer));
      if (count == 0) co_return fail(Code::kUnavailable, "ended");
      text_.append(buffer.data(), count);
    }
  }

  env::Env env_;
  std::unique_ptr<env::Stream> stream_;
  std::string text_;
};

struct TestStart {
  std::string name;
  std::string memory = "memory-backend-ram,id=ram0,size=128M";
  bool is_incoming = false;
  std::string group = {};
  std::optional<env::Owner> run_as = {};
};

// One process.
class TestGuest {
 public:
  TestGuest(Machine& machine, std::string directory)
      : env_(machine.env()), machine_(machine), directory_(std::move(directory)) {}

  static std::string mac(std::string_view name) {
    return fmt::format("02:00:00:00:00:{:02x}", name.back());
  }

  // An error if the process ends before its monitor answers: with what it printed.
  env::Task<Result<void>> start(TestStart start) {
    BLX_CO_TRY(co_await env_.disk.make_directory(directory_));
    env::SpawnSpec spec{.executable = kQemuPath,
                        .arguments = arguments(start),
                        .working_directory = directory_,
                        .output_path = directory_ + "/output",
                        .run_as = start.run_as,
                        .group = start.group};
    BLX_CO_TRY(child_, co_await env_.process.spawn(std::move(spec)));
    for (;;) {
      BLX_CO_TRY(co_await env_.clock.sleep(5ms));
      if (!machine_.is_alive(child_->id())) co_return fail(Code::kInternal, "ended", output());
      auto stream = co_await dial("qmp");
      if (stream) {
        qmp_.emplace(env_, *std::move(stream));
        break;
      }
    }
    BLX_CO_TRY(co_await qmp_->hear());
    BLX_CO_TRY(co_await execute("qmp_capabilities"));
    co_return Result<void>();
  }

  // An error of QEMU's is one with its text.
  env::Task<Result<boost::json::value>> execute(std::string command, std::string arguments = "{}",
                                                std::unique_ptr<env::Stream> handed = {}) {
    const std::string line =
        fmt::format("{{\"execute\": \"{}\", \"arguments\": {}, \"id\": 1}}\n", command, arguments);
    if (handed) {
      BLX_CO_TRY(co_await qmp_->stream().write_with(line, std::move(handed)));
    } else {
      BLX_CO_TRY(co_await qmp_->say(line));
    }
    for (;;) {
      BLX_CO_TRY(const std::string said, co_await qmp_->hear());
      boost::json::value value = boost::json::parse(said);
      const boost::json::object& object = value.as_object();
      if (const auto* result = object.if_contains("return")) co_return *result;
      if (const auto* error = object.if_contains("error")) {
        co_return fail(Code::kInternal, "refused", std::string(error->at("desc").as_string()));
      }
    }
  }

  // What the agent says behind the nonce, "ok ..." or "error ..." without it.
  env::Task<Result<std::string>> ask(std::string verb, std::string words = "",
                                     Duration patience = 5s) {
    BLX_CO_TRY(auto stream, co_await dial("agent"));
    TestTalk talk(env_, std::move(stream));
    BLX_CO_TRY(
        co_await talk.say(fmt::format("\n{} abc{}{}\n", verb, words.empty() ? "" : " ", words)));
    for (;;) {
      BLX_CO_TRY(const std::string line, co_await talk.hear(patience));
      if (line.starts_with("ok abc")) co_return "ok" + line.substr(6);
      if (line.starts_with("error abc")) co_return "error" + line.substr(9);
    }
  }
  env::Task<Result<std::string>> random() {
    BLX_CO_TRY(const std::string said, co_await ask("random"));
    co_return said.substr(0, std::string_view("ok bytes=").size() + 64);
  }

  env::Task<Result<std::string>> status() {
    BLX_CO_TRY(const boost::json::value value, co_await execute("query-status"));
    co_return std::string(value.at("status").as_string());
  }
  env::Task<Result<void>> share_memory(bool is_on) {
    BLX_CO_TRY(co_await execute(
        "migrate-set-capabilities",
        fmt::format(R"({{"capabilities": [{{"capability": "x-ignore-shared", "state": {}}}]}})",
                    is_on)));
    co_return Result<void>();
  }

  // The whole state, read to its end.
  env::Task<Result<std::string>> save() {
    BLX_CO_TRY(env::StreamPair pair, co_await env_.network.pair());
    BLX_CO_TRY(co_await execute("getfd", R"({"fdname": "state"})", std::move(pair.theirs)));
    BLX_CO_TRY(co_await execute("migrate", R"({"uri": "fd:state"})"));
    std::string state;
    std::array<char, 1000> buffer;
    for (;;) {
      BLX_CO_TRY(const std::size_t count, co_await pair.ours->read_some(buffer));
      if (count == 0) co_return state;
      state.append(buffer.data(), count);
    }
  }
  // The bytes are fed and the stream is closed; how that ended is told by status().
  env::Task<Result<void>> load(std::string state) {
    BLX_CO_TRY(auto stream, co_await begin_load());
    BLX_CO_TRY(co_await stream->write_all(state));
    stream->close();
    co_return Result<void>();
  }
  env::Task<Result<std::unique_ptr<env::Stream>>> begin_load() {
    BLX_CO_TRY(env::StreamPair pair, co_await env_.network.pair());
    BLX_CO_TRY(co_await execute("getfd", R"({"fdname": "state"})", std::move(pair.theirs)));
    BLX_CO_TRY(co_await execute("migrate-incoming", R"({"uri": "fd:state"})"));
    co_return std::move(pair.ours);
  }
  // Until the state is another one than this; the process' end is an error.
  env::Task<Result<std::string>> wait_while(std::string state) {
    for (;;) {
      BLX_CO_TRY(std::string now, co_await status());
      if (now != state) co_return now;
      BLX_CO_TRY(co_await env_.clock.sleep(1ms));
    }
  }
  env::Task<Result<void>> load_and_run(std::string state) {
    BLX_CO_TRY(co_await load(std::move(state)));
    BLX_CO_TRY(co_await wait_while("inmigrate"));
    BLX_CO_TRY(co_await execute("cont"));
    co_return Result<void>();
  }

  env::Task<Result<std::unique_ptr<env::Stream>>> dial(std::string name) {
    co_return co_await env_.network.dial(
        env::Endpoint::unix_socket(env::join_path(directory_, name)), env_.clock.monotonic() + 1s);
  }
  env::Child& child() { return *child_; }
  [[nodiscard]] std::string output() const {
    return machine_.content(directory_ + "/output").value_or("");
  }

 private:
  static std::vector<std::string> arguments(const TestStart& start) {
    std::vector<std::string> line = {
        "-nodefaults",
        "-name",
        "blx-" + start.name,
        "-uuid",
        fmt::format("00000000-0000-4000-8000-0000000000{:02x}", start.name.back()),
        "-M",
        "microvm,memory-backend=ram0",
        "-object",
        start.memory,
        "-accel",
        "tcg",
        "-m",
        "128",
        "-append",
        "quiet blx.name=" + start.name,
        "-qmp",
        "unix:qmp,server=on,wait=off",
        "-device",
        "virtio-net-device,netdev=n0,mac=" + mac(start.name),
        "-chardev",
        "ringbuf,id=console,size=65536",
        "-chardev",
        "socket,path=agent,server=on,wait=off,id=ag",
        "-action",
        "shutdown=pause,panic=pause"};
    if (start.is_incoming) line.insert(line.end(), {"-incoming", "defer"});
    return line;
  }

  env::Env env_;
  Machine& machine_;
  std::string directory_;
  std::unique_ptr<env::Child> child_;
  std::optional<TestTalk> qmp_;
};

class TestGuests : public testing::Test {
 public:
  using Body = std::function<env::Task<Result<void>>()>;

  TestGuests() : machine_(world_.add_machine("a")) {
    qemu_.install(machine_);
    qemu_.on_guest = [this](Machine&, const GuestView& guest, bool lives) {
      told_.push_back(guest.name + (lives ? " lives" : " ended"));
    };
  }

  void run(Body body) {
    Result<void> result;
    // NOLINTNEXTLINE(cppcoreguidelines-avoid-capturing-lambda-coroutines): it ends before run()
    const auto main = [&]() -> env::Task<void> { result = co_await body(); };
    EXPECT_TRUE(world_.run(main())) << world_.log_lines().back();
    EXPECT_TRUE(result) << result.error().message();
  }

  env::Env env() { return machine_.env(); }
  std::unique_ptr<TestGuest> make(std::string_view name) {
    return std::make_unique<TestGuest>(machine_, fmt::format("/var/lib/{}-{}", name, ++made_));
  }
  env::Task<Result<std::unique_ptr<TestGuest>>> start(TestStart how) {
    auto guest = make(how.name);
    BLX_CO_TRY(co_await guest->start(std::move(how)));
    co_return std::move(guest);
  }
  [[nodiscard]] std::optional<GuestView> view(const TestGuest& guest) const {
    for (GuestView& each : qemu_.guests()) {
      if (each.process == const_cast<TestGuest&>(guest).child().id()) return std::move(each);
    }
    return std::nullopt;
  }

  // A file for a guest's memory.
  env::Task<Result<void>> make_ram(std::string path, Bytes size = mib(128)) {
    BLX_CO_TRY(co_await env().disk.make_directory("/var/lib/templates"));
    BLX_CO_TRY(auto file, co_await env().disk.open(std::move(path), env::OpenMode::kCreate));
    co_return co_await file->resize(size.value);
  }
  static std::string in_file(std::string_view share, std::string_view path = "../templates/ram") {
    return fmt::format("memory-backend-file,id=ram0,size=128M,mem-path={},share={}", path, share);
  }
  // Boots, saves and ends it; its memory is in kRam then. The state.
  env::Task<Result<std::string>> make_template() {
    BLX_CO_TRY(co_await make_ram(kRam));
    BLX_CO_TRY(const auto guest, co_await start({.name = "template", .memory = in_file("on")}));
    BLX_CO_TRY(co_await guest->ask("ping"));
    BLX_CO_TRY(co_await guest->share_memory(true));
    BLX_CO_TRY(co_await guest->execute("stop"));
    BLX_CO_TRY(std::string state, co_await guest->save());
    BLX_CO_TRY(co_await guest->execute("quit"));
    BLX_CO_TRY(co_await guest->child().wait());
    told_.clear();
    co_return state;
  }
  env::Task<Result<std::unique_ptr<TestGuest>>> start_clone(std::string name) {
    BLX_CO_TRY(
        auto guest,
        co_await start({.name = std::move(name), .memory = in_file("off"), .is_incoming = true}));
    BLX_CO_TRY(co_await guest->share_memory(true));
    co_return std::move(guest);
  }
  env::Task<Result<std::unique_ptr<TestGuest>>> clone(std::string name, std::string state) {
    BLX_CO_TRY(auto guest, co_await start_clone(std::move(name)));
    BLX_CO_TRY(co_await guest->load_and_run(std::move(state)));
    co_return std::move(guest);
  }
  // A guest that does not come to run: exit code 1, with this in what it printed, and nobody heard.
  env::Task<Result<void>> expect_end(TestGuest& guest, std::string_view text) {
    BLX_CO_TRY(const env::ExitStatus status, co_await guest.child().wait());
    EXPECT_EQ(status.exit_code, 1);
    EXPECT_TRUE(guest.output().contains(text)) << guest.output();
    EXPECT_EQ(told_, std::vector<std::string>());
    co_return Result<void>();
  }

  static constexpr const char* kRam = "/var/lib/templates/ram";
  std::vector<std::string> told_;
  int made_ = 0;
  ScriptedQemu qemu_;
  World world_{17};
  Machine& machine_;
};

}  // namespace blixard::sim

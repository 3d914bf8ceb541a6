// What every side of the seam must do: cases written once against env::Env. This one object file
// runs them on Linux and in virtual time.

#include "test/conformance/seam/seam.h"

#include <stdlib.h>

#include <array>
#include <charconv>
#include <filesystem>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "env/env.h"
#include "env/scope.h"
#include "env/sync.h"
#include "linux/runtime.h"
#include "sim/world.h"

namespace blixard::seam {

env::Task<Result<std::string>> read_to_end(env::Stream& stream) {
  std::string bytes;
  while (true) {
    std::array<char, 1000> buffer{};
    BLX_CO_TRY(const std::size_t count, co_await stream.read_some(buffer));
    if (count == 0) co_return bytes;
    bytes.append(buffer.data(), count);
  }
}

namespace {

using env::Endpoint;
using env::Env;
using env::OpenMode;
using env::Task;

struct Pair {
  std::unique_ptr<env::Listener> listener;
  std::unique_ptr<env::Stream> dialled;
  std::unique_ptr<env::Stream> accepted;
};

Task<Result<Pair>> connect(Env env, Endpoint endpoint) {
  Pair pair;
  BLX_CO_TRY(pair.listener, co_await env.network.listen(std::move(endpoint)));
  BLX_CO_TRY(pair.dialled, co_await env.network.dial(pair.listener->local(), soon(env)));
  BLX_CO_TRY(pair.accepted, co_await pair.listener->accept());
  co_return std::move(pair);
}

Task<Result<Pair>> connect(Env env) {
  co_return co_await connect(env, Endpoint::tcp("127.0.0.1", 0));
}

Task<void> echo_until_end(env::Stream& stream) {
  std::array<char, 3000> buffer{};
  while (true) {
    const auto count = co_await stream.read_some(buffer);
    EXPECT_TRUE(count);
    if (!count || *count == 0) break;
    EXPECT_TRUE(co_await stream.write_all({buffer.data(), *count}));
  }
}

Task<void> read_exactly(env::Stream& stream, std::size_t count, std::string& bytes) {
  while (bytes.size() < count) {
    std::array<char, 7000> buffer{};
    const auto got = co_await stream.read_some(buffer);
    EXPECT_TRUE(got);
    if (!got || *got == 0) break;
    bytes.append(buffer.data(), *got);
  }
}

Task<void> echo_between(Env env, env::Stream& one, env::Stream& other) {
  env::Scope scope(env.executor, co_await env::this_cancellation());
  scope.spawn(echo_until_end(other));
  const std::string sent = env.random.hex(500'000);  // more than any socket buffers
  std::string received;
  scope.spawn(read_exactly(one, sent.size(), received));
  const std::string_view all = sent;
  const std::array<std::string_view, 4> parts{all.substr(0, 1), "", all.substr(1, 70'000),
                                              all.substr(70'001)};
  EXPECT_TRUE(co_await one.write(parts));
  while (received.size() < sent.size() && co_await env.clock.sleep(1ms)) {
  }
  EXPECT_EQ(received, sent);
  one.close();
  co_await scope.join();
}

Task<void> echo_over(Env env, Endpoint endpoint) {
  auto pair = co_await connect(env, std::move(endpoint));
  EXPECT_TRUE(pair) << reason(pair);
  if (pair) co_await echo_between(env, *pair->dialled, *pair->accepted);
}

Task<void> tcp_echo(Env env, Site /*site*/) {
  co_await echo_over(env, Endpoint::tcp("127.0.0.1", 0));
}
Task<void> unix_echo(Env env, Site site) {
  co_await echo_over(env, Endpoint::unix_socket(site.directory + "/socket"));
}

Task<void> pair_echo(Env env, Site /*site*/) {
  auto pair = co_await env.network.pair();
  EXPECT_TRUE(pair) << reason(pair);
  if (pair) co_await echo_between(env, *pair->ours, *pair->theirs);
}

Task<void> only_local_streams_are_handed_over(Env env, Site site) {
  auto tcp = co_await connect(env);
  auto local = co_await connect(env, Endpoint::unix_socket(site.directory + "/socket"));
  auto pair = co_await env.network.pair();
  EXPECT_TRUE(tcp && local && pair);
  if (!tcp || !local || !pair) co_return;
  EXPECT_EQ(reason(co_await tcp->dialled->write_with("x", std::move(pair->theirs))), "not_local");
  EXPECT_EQ(reason(co_await local->dialled->write_with("x", std::move(tcp->accepted))),
            "not_local");
}

Task<void> end_of_stream(Env env, Site /*site*/) {
  auto pair = co_await connect(env);
  EXPECT_TRUE(pair);
  if (!pair) co_return;
  EXPECT_EQ(pair->dialled->peer().uid, -1);
  EXPECT_EQ(pair->dialled->peer().address, pair->listener->local().text());
  EXPECT_TRUE(co_await pair->accepted->write_all("goodbye"));
  pair->accepted->close();
  pair->accepted->close();
  const auto bytes = co_await read_to_end(*pair->dialled);
  EXPECT_TRUE(bytes);
  if (bytes) EXPECT_EQ(*bytes, "goodbye");
  EXPECT_EQ(reason(co_await pair->accepted->write_all("x")), "closed");
  EXPECT_EQ(reason(co_await read_to_end(*pair->accepted)), "closed");
  // The peer is gone: writing fails, sooner or later.
  Result<void> written;
  while (written)
    written = co_await pair->dialled->write_all("anyone?");
  EXPECT_EQ(code(written), Code::kUnavailable);
}

Task<void> port_in_use(Env env, Site /*site*/) {
  auto first = co_await env.network.listen(Endpoint::tcp("127.0.0.1", 0));
  EXPECT_TRUE(first);
  if (!first) co_return;
  const Endpoint chosen = (*first)->local();
  EXPECT_NE(chosen.port, 0);
  const auto second = co_await env.network.listen(chosen);
  EXPECT_EQ(code(second), Code::kAlreadyExists);
  EXPECT_EQ(reason(second), "address_in_use");
  (*first)->close();
  EXPECT_EQ(reason(co_await (*first)->accept()), "closed");
  EXPECT_TRUE(co_await env.network.listen(chosen));
  EXPECT_EQ(reason(co_await env.network.listen(Endpoint::tcp("203.0.113.7", 1))),
            "address_not_local");
}

Task<void> refused_dial(Env env, Site site) {
  auto listener = co_await env.network.listen(Endpoint::tcp("127.0.0.1", 0));
  EXPECT_TRUE(listener);
  if (!listener) co_return;
  const Endpoint closed = (*listener)->local();
  listener->reset();
  const Instant deadline = soon(env);
  EXPECT_EQ(reason(co_await env.network.dial(closed, deadline)), "connection_refused");
  EXPECT_LT(env.clock.monotonic(), deadline);
  const auto missing =
      co_await env.network.dial(Endpoint::unix_socket(site.directory + "/none"), deadline);
  EXPECT_EQ(reason(missing), "socket_missing");
  EXPECT_EQ(code(missing), Code::kUnavailable);
}

Task<void> stale_socket(Env env, Site site) {
  const Endpoint first = Endpoint::unix_socket(site.directory + "/first");
  const Endpoint stale = Endpoint::unix_socket(site.directory + "/stale");
  auto listener = co_await env.network.listen(first);
  EXPECT_TRUE(listener);
  if (!listener) co_return;
  EXPECT_EQ(reason(co_await env.network.listen(first)), "address_in_use");
  // Under another name it stays behind when its listener goes, as after a crash.
  EXPECT_TRUE(co_await env.disk.rename(first.host, stale.host));
  listener->reset();
  EXPECT_EQ(reason(co_await env.network.dial(stale, soon(env))), "connection_refused");
  auto again = co_await connect(env, stale);
  EXPECT_TRUE(again) << reason(again);
  if (again) EXPECT_GE(again->accepted->peer().uid, 0);
  // A file that is no socket is never replaced.
  EXPECT_TRUE(co_await env.disk.replace_file(first.host, "a file"));
  EXPECT_EQ(code(co_await env.network.listen(first)), Code::kAlreadyExists);
  if (again) again->listener->close();
  const auto names = co_await env.disk.list(site.directory);
  EXPECT_TRUE(names);
  if (names) EXPECT_EQ(names->size(), 1u);  // closing took its name away
}

Task<void> files(Env env, Site site) {
  const std::string path = site.directory + "/file";
  EXPECT_EQ(code(co_await env.disk.open(path, OpenMode::kRead)), Code::kNotFound);
  EXPECT_EQ(code(co_await env.disk.open(path, OpenMode::kReadWrite)), Code::kNotFound);
  EXPECT_EQ(code(co_await env.disk.open(site.directory + "/a/b", OpenMode::kCreate)),
            Code::kNotFound);
  auto file = co_await env.disk.open(path, OpenMode::kCreateNew);
  EXPECT_TRUE(file);
  if (!file) co_return;
  EXPECT_EQ(code(co_await env.disk.open(path, OpenMode::kCreateNew)), Code::kAlreadyExists);
  const std::array<std::string_view, 3> parts{"one", "", "two"};
  EXPECT_TRUE(co_await (*file)->write_at(4, parts));
  EXPECT_TRUE(co_await (*file)->sync());
  std::array<char, 20> buffer{};
  EXPECT_EQ(co_await (*file)->read_at(2, buffer), 8u);
  EXPECT_EQ(std::string_view(buffer.data(), 8), std::string_view("\0\0onetwo", 8));
  EXPECT_EQ(co_await (*file)->read_at(10, buffer), 0u);
  EXPECT_EQ(co_await (*file)->size(), 10u);
  EXPECT_TRUE(co_await (*file)->resize(5));
  EXPECT_TRUE(co_await (*file)->preallocate(8));
  EXPECT_EQ(co_await env.disk.read_file(path, 100), std::string("\0\0\0\0o\0\0\0", 8));
  EXPECT_EQ(reason(co_await env.disk.read_file(path, 7)), "file_too_large");
  EXPECT_TRUE(co_await (*file)->write_and_sync(2, parts));
  EXPECT_EQ(co_await env.disk.read_file(path, 100), std::string("\0\0onetwo", 8));
  auto reader = co_await env.disk.open(path, OpenMode::kRead);
  EXPECT_TRUE(reader);
  if (reader) EXPECT_FALSE(co_await (*reader)->write_at(0, parts));
  if (reader) EXPECT_FALSE(co_await (*reader)->write_and_sync(0, parts));
  // An open file outlives its name.
  EXPECT_TRUE(co_await env.disk.remove(path));
  EXPECT_EQ(co_await (*file)->size(), 8u);
  EXPECT_EQ(code(co_await env.disk.remove(path)), Code::kNotFound);
}

Task<void> directories(Env env, Site site) {
  const std::string inner = site.directory + "/a/b";
  EXPECT_TRUE(co_await env.disk.make_directory(inner));
  EXPECT_TRUE(co_await env.disk.make_directory(inner));
  EXPECT_TRUE(co_await env.disk.replace_file(inner + "/z", "zz"));
  EXPECT_TRUE(co_await env.disk.replace_file(inner + "/z", "zzz"));
  EXPECT_TRUE(co_await env.disk.replace_file(inner + "/y", "y"));
  EXPECT_TRUE(co_await env.disk.make_directory(inner + "/x"));
  const auto entries = co_await env.disk.list(inner);
  EXPECT_TRUE(entries);
  if (!entries || entries->size() != 3) {
    ADD_FAILURE() << "not three entries";
    co_return;
  }
  EXPECT_EQ((*entries)[0].name, "x");
  EXPECT_TRUE((*entries)[0].is_directory);
  EXPECT_EQ((*entries)[1].name, "y");
  EXPECT_EQ((*entries)[2].size, 3u);
  EXPECT_TRUE(co_await env.disk.rename(inner + "/y", inner + "/z"));
  EXPECT_EQ(co_await env.disk.read_file(inner + "/z", 10), "y");
  EXPECT_EQ(code(co_await env.disk.rename(inner + "/y", inner + "/q")), Code::kNotFound);
  EXPECT_EQ(reason(co_await env.disk.remove(inner)), "directory_not_empty");
  EXPECT_EQ(reason(co_await env.disk.read_file(inner, 10)), "path_invalid");
  EXPECT_EQ(code(co_await env.disk.list(inner + "/none")), Code::kNotFound);
  EXPECT_TRUE(co_await env.disk.sync_directory(inner));
  const auto space = co_await env.disk.space(site.directory);
  EXPECT_TRUE(space);
  if (space) EXPECT_LE(space->available, space->total);
  EXPECT_TRUE(co_await env.disk.remove_tree(site.directory + "/a"));
  EXPECT_TRUE(co_await env.disk.remove_tree(site.directory + "/a"));
  EXPECT_EQ(code(co_await env.disk.list(site.directory + "/a")), Code::kNotFound);
}

Task<void> directory_lock(Env env, Site site) {
  auto lock = co_await env.disk.lock(site.directory);
  EXPECT_TRUE(lock);
  if (!lock) co_return;
  const auto second = co_await env.disk.lock(site.directory);
  EXPECT_EQ(code(second), Code::kFailedPrecondition);
  EXPECT_EQ(reason(second), "directory_in_use");
  lock->reset();
  EXPECT_TRUE(co_await env.disk.lock(site.directory));
}

Task<void> note_after(Env env, Duration duration, std::string& order) {
  EXPECT_TRUE(co_await env.clock.sleep(duration));
  order += std::to_string(duration / 1ms) + " ";
}

Task<void> timers(Env env, Site /*site*/) {
  const Instant begin = env.clock.monotonic();
  EXPECT_TRUE(co_await env.clock.sleep_until(begin - 1s));
  std::string order;
  env::Scope scope(env.executor, co_await env::this_cancellation());
  for (const Duration duration : {60ms, 20ms, 40ms})
    scope.spawn(note_after(env, duration, order));
  co_await scope.join();
  EXPECT_EQ(order, "20 40 60 ");
  EXPECT_GE(env.clock.monotonic() - begin, 60ms);
  EXPECT_GT(env.clock.wall().unix_ms, 1'700'000'000'000);
  const auto late = co_await env::with_deadline(env.executor, env.clock,
                                                env.clock.monotonic() + 5ms, env.clock.sleep(1h));
  EXPECT_EQ(code(late), Code::kDeadlineExceeded);
}

template <class T>
Task<void> keep_code(Task<Result<T>> task, std::vector<Code>& codes) {
  codes.push_back(code(co_await std::move(task)));
}

Task<Result<void>> write_forever(env::Stream& stream) {
  const std::string block(100'000, 'x');
  while (true)
    BLX_CO_TRY(co_await stream.write_all(block));
}

Task<void> cancelled_waits(Env env, Site site) {
  auto pair = co_await connect(env);
  auto child =
      co_await env.process.spawn({.executable = site.shell, .arguments = {"-c", "sleep 600"}});
  EXPECT_TRUE(pair);
  EXPECT_TRUE(child) << reason(child);
  if (!pair || !child) co_return;
  std::vector<Code> codes;
  std::array<char, 10> buffer{};
  env::Scope scope(env.executor, co_await env::this_cancellation());
  scope.spawn(keep_code(env.clock.sleep(1h), codes));
  scope.spawn(keep_code(pair->accepted->read_some(buffer), codes));
  scope.spawn(keep_code(pair->listener->accept(), codes));
  scope.spawn(keep_code(write_forever(*pair->accepted), codes));
  scope.spawn(keep_code((*child)->wait(), codes));
  EXPECT_TRUE(co_await env.clock.sleep(20ms));
  EXPECT_TRUE(codes.empty());
  scope.cancel();
  co_await scope.join();
  EXPECT_THAT(codes, testing::AllOf(testing::SizeIs(5), testing::Each(Code::kCancelled)));
  // In a cancelled scope every wait ends at once.
  codes.clear();
  scope.spawn(keep_code(env.clock.sleep(1h), codes));
  scope.spawn(keep_code(pair->listener->accept(), codes));
  co_await scope.join();
  EXPECT_THAT(codes, testing::AllOf(testing::SizeIs(2), testing::Each(Code::kCancelled)));
  EXPECT_TRUE((*child)->kill(env::Kill::kNow));
  EXPECT_TRUE(co_await (*child)->wait());
}

Task<void> closing_ends_waits(Env env, Site /*site*/) {
  auto pair = co_await connect(env);
  EXPECT_TRUE(pair);
  if (!pair) co_return;
  std::vector<Code> codes;
  std::array<char, 10> buffer{};
  env::Scope scope(env.executor, co_await env::this_cancellation());
  scope.spawn(keep_code(pair->accepted->read_some(buffer), codes));
  scope.spawn(keep_code(write_forever(*pair->accepted), codes));
  scope.spawn(keep_code(pair->listener->accept(), codes));
  EXPECT_TRUE(co_await env.clock.sleep(20ms));
  pair->accepted->close();
  pair->listener->close();
  co_await scope.join();
  EXPECT_THAT(codes, testing::AllOf(testing::SizeIs(3), testing::Each(Code::kUnavailable)));
}

Task<void> processes(Env env, Site site) {
  const auto shell = [&site](std::string script) {
    return env::SpawnSpec{.executable = site.shell, .arguments = {"-c", std::move(script)}};
  };
  auto exits = co_await env.process.spawn(shell("exit 3"));
  EXPECT_TRUE(exits) << reason(exits);
  if (!exits) co_return;
  const auto exited = co_await (*exits)->wait();
  EXPECT_TRUE(exited);
  if (exited) EXPECT_EQ(exited->text(), "exit code 3");
  EXPECT_TRUE(co_await (*exits)->wait());  // again, at once
  EXPECT_EQ(code((*exits)->kill(env::Kill::kNow)), Code::kNotFound);
  EXPECT_EQ(code((*exits)->usage()), Code::kNotFound);
  EXPECT_EQ(reason(co_await env.process.adopt((*exits)->id())), "process_gone");

  for (const auto& [how, text] :
       {std::pair{env::Kill::kNow, "signal 9"}, std::pair{env::Kill::kTerminate, "signal 15"}}) {
    auto sleeps = co_await env.process.spawn(shell("sleep 600"));
    EXPECT_TRUE(sleeps);
    if (!sleeps) co_return;
    env::ProcessId other = (*sleeps)->id();
    EXPECT_TRUE(co_await env.process.adopt(other));
    ++other.start_ticks;
    EXPECT_EQ(reason(co_await env.process.adopt(other)), "process_gone");
    EXPECT_TRUE((*sleeps)->usage());
    EXPECT_TRUE((*sleeps)->kill(how));
    const auto killed = co_await (*sleeps)->wait();
    EXPECT_TRUE(killed);
    if (killed) EXPECT_EQ(killed->text(), text);
  }
  EXPECT_EQ(reason(co_await env.process.spawn({.executable = "/no/such"})), "program_missing");
  EXPECT_EQ(reason(co_await env.process.find_program("no-such-program")), "program_missing");
}

Task<void> program_output(Env env, Site site) {
  const std::string path = site.directory + "/output";
  const env::SpawnSpec echo{
      .executable = site.shell, .arguments = {"-c", "echo hello"}, .output_path = path};
  for (int i = 0; i < 2; ++i) {
    auto child = co_await env.process.spawn(echo);
    EXPECT_TRUE(child);
    if (child) EXPECT_TRUE(co_await (*child)->wait());
  }
  EXPECT_EQ(co_await env.disk.read_file(path, 100), "hello\nhello\n");
  env::SpawnSpec captured = echo;
  captured.output_path.clear();
  const auto result = co_await env.process.run(captured, soon(env), 4);
  EXPECT_TRUE(result);
  if (result) {
    EXPECT_EQ(result->output, "hell");
    EXPECT_EQ(result->status.exit_code, 0);
  }
  captured.arguments[1] = "sleep 600";
  const auto late = co_await env.process.run(captured, env.clock.monotonic() + 50ms, 10);
  EXPECT_EQ(code(late), Code::kDeadlineExceeded);
}

constexpr std::array kCases{
    Case{"TcpEcho", tcp_echo},
    Case{"UnixEcho", unix_echo},
    Case{"PairEcho", pair_echo},
    Case{"OnlyLocalStreamsAreHandedOver", only_local_streams_are_handed_over},
    Case{"EndOfStream", end_of_stream},
    Case{"PortInUse", port_in_use},
    Case{"RefusedDial", refused_dial},
    Case{"StaleSocket", stale_socket},
    Case{"Files", files},
    Case{"Directories", directories},
    Case{"DirectoryLock", directory_lock},
    Case{"Timers", timers},
    Case{"CancelledWaits", cancelled_waits},
    Case{"ClosingEndsWaits", closing_ends_waits},
    Case{"Processes", processes},
    Case{"ProgramOutput", program_output},
};

Task<Result<void>> whole(Env env, Case one, Site site) {
  co_await one.body(env, std::move(site));
  co_return Result<void>();
}

Task<void> limited(Env env, Case one, Site site, Result<void>& result) {
  const Instant deadline = env.clock.monotonic() + 60s;
  result = co_await env::with_deadline(env.executor, env.clock, deadline,
                                       whole(env, one, std::move(site)));
}

class Seam : public testing::TestWithParam<Case> {};

TEST_P(Seam, OnLinux) {
  std::string directory = (std::filesystem::temp_directory_path() / "seam-XXXXXX").string();
  ASSERT_NE(mkdtemp(directory.data()), nullptr);
  Result<void> result;
  {
    linux_side::Runtime runtime(
        {.group_root =
             "blx-seam-" + std::to_string(testing::UnitTest::GetInstance()->random_seed())});
    runtime.run(limited(runtime.env(), GetParam(), {directory, "/bin/sh"}, result));
  }
  EXPECT_TRUE(result) << "hung: " << result.error().message();
  std::filesystem::remove_all(directory);
}

Task<void> play_shell(sim::ProcessContext self) {
  const std::string_view script = self.spec().arguments.at(1);
  const auto space = script.find(' ');
  const std::string_view command = script.substr(0, space);
  const std::string_view argument = script.substr(space + 1);
  int number = 0;
  std::from_chars(argument.data(), argument.data() + argument.size(), number);
  if (command == "exit") self.exit(number);
  if (command == "echo") self.print(std::string(argument) + "\n");
  if (command == "sleep") {
    ignore(co_await self.env().clock.sleep(std::chrono::seconds(number)), "killed: nothing to do");
  }
}

Task<void> make_site(Env env) { EXPECT_TRUE(co_await env.disk.make_directory("/tmp/seam")); }

TEST_P(Seam, InVirtualTime) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    sim::World world(seed);
    sim::Machine& machine = world.add_machine("a");
    machine.install_program("/bin/sh", play_shell);
    ASSERT_TRUE(world.run(make_site(machine.env())));
    Result<void> result;
    EXPECT_TRUE(
        world.run(limited(machine.env(), GetParam(), {"/tmp/seam", "/bin/sh"}, result), 2min))
        << "seed " << seed << ": " << world.log_lines().back();
    EXPECT_TRUE(result) << "seed " << seed << ": hung, " << result.error().message();
    if (HasFailure()) return;
  }
}

std::string name_of(const testing::TestParamInfo<Case>& info) { return info.param.name; }
INSTANTIATE_TEST_SUITE_P(, Seam, testing::ValuesIn(kCases), name_of);
INSTANTIATE_TEST_SUITE_P(Security, Seam,
                         testing::ValuesIn(security_cases().begin(), security_cases().end()),
                         name_of);

}  // namespace
}  // namespace blixard::seam

int main(int argc, char** argv) {
  if (const int code = blixard::linux_side::run_hidden_command(argc, argv); code >= 0) return code;
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}

#include <unistd.h>

#include <vector>

#include "env/scope.h"
#include "linux/runtime.h"
#include "test/e2e/log_crash/commands.h"

namespace blixard::log_crash {
namespace {

constexpr std::uint64_t kCommandsMax = 100'000;  // the parent kills long before

// One write: the parent sees the line whole or not at all.
void say(const std::string& line) {
  const std::string text = line + "\n";
  if (write(STDOUT_FILENO, text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    _exit(3);
  }
}

struct Stream {
  replica::Replica& replica;
  std::uint64_t next;
};

env::Task<void> propose(Stream& stream) {
  while (stream.next < kCommandsMax) {
    const std::uint64_t number = stream.next++;
    const auto answer = co_await stream.replica.propose(command(number));
    if (!answer && answer.error().code() == Code::kUnavailable) {
      say("error " + answer.error().message());
      co_return;
    }
    say("answer " + std::to_string(number) + " " + describe(answer));
  }
}

// The oldest command without an answer, twice: the second time nothing may happen.
env::Task<void> propose_twice(replica::Replica& replica, std::uint64_t number) {
  const auto first = co_await replica.propose(command(number));
  const std::uint64_t revision = replica.state().revision();
  const auto second = co_await replica.propose(command(number));
  const bool same = describe(first) == describe(second) &&
                    (!first || first->index == second->index) &&
                    revision == replica.state().revision();
  if (!same) say("error command " + std::to_string(number) + " acted twice");
}

env::Task<void> serve(env::Env env, std::string directory, std::uint64_t first) {
  auto opened = co_await open(env, directory);
  if (!opened) {
    say("error " + opened.error().message());
    co_return;
  }
  replica::Replica& replica = **opened;
  say("open " + replica.state().hash());
  co_await propose_twice(replica, first);
  Stream stream{.replica = replica, .next = first};
  env::Scope scope(env.executor, co_await env::this_cancellation());
  for (std::size_t i = 0; i < kOutstanding; ++i)
    scope.spawn(propose(stream));
  co_await scope.join();
  co_await replica.stop();
}

}  // namespace

int run_child(const std::string& directory, std::uint64_t first) {
  linux_side::Runtime runtime({});
  runtime.run(serve(runtime.env(), directory, first));
  return 2;
}

}  // namespace blixard::log_crash

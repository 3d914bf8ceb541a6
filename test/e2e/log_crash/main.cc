// 200 rounds on one directory: start a program that opens the replica and proposes commands, kill
// it with SIGKILL after a random number of answers (or at once), then open the directory here and
// compare the state with what the first so many commands make of an empty one. Must hold:
//   * every answered command is in it, each with the answer that was given, and none acted twice
//     (names, ids, fields and the revision, which counts changes, are equal);
//   * what a round has shown, no later round takes back;
//   * the next start reads the same state, hash for hash.
//
//   blx_log_crash [rounds [seed]]

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <random>
#include <sstream>
#include <string>

#include "linux/runtime.h"
#include "test/e2e/log_crash/commands.h"

extern char** environ;

namespace blixard::log_crash {
namespace {

constexpr int kAnswerTimeoutMs = 30'000;

[[noreturn]] void die(const std::string& what) {
  std::fprintf(stderr, "FAILED: %s\n", what.c_str());
  std::exit(1);
}

// The program to be killed, and what it says.
class Child {
 public:
  Child(const std::string& directory, std::uint64_t first) {
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC) != 0) die("pipe");
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    std::array<std::string, 4> words{"log_crash", "child", directory, std::to_string(first)};
    std::array<char*, 5> arguments{words[0].data(), words[1].data(), words[2].data(),
                                   words[3].data(), nullptr};
    if (posix_spawn(&pid_, "/proc/self/exe", &actions, nullptr, arguments.data(), environ) != 0) {
      die("spawn");
    }
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    output_ = ends[0];
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() { close(output_); }

  // The next whole line; false when the program has ended.
  bool next_line(std::string& line) {
    for (;;) {
      if (const auto end = text_.find('\n'); end != std::string::npos) {
        line = text_.substr(0, end);
        text_.erase(0, end + 1);
        return true;
      }
      pollfd waiting{.fd = output_, .events = POLLIN};
      if (poll(&waiting, 1, kAnswerTimeoutMs) == 0) die("the program says nothing any more");
      std::array<char, 4096> buffer;
      const ssize_t count = read(output_, buffer.data(), buffer.size());
      if (count <= 0) return false;
      text_.append(buffer.data(), static_cast<std::size_t>(count));
    }
  }

  void kill_hard() {
    kill(pid_, SIGKILL);
    int status = 0;
    waitpid(pid_, &status, 0);
    if (!WIFSIGNALED(status)) die("the program ended by itself");
  }

 private:
  pid_t pid_ = 0;
  int output_ = -1;
  std::string text_;
};

class Rounds {
 public:
  Rounds(std::string directory, std::uint64_t seed)
      : directory_(std::move(directory)), random_(seed) {}

  void one() {
    Child child(directory_, answered_ + 1);
    const std::uint64_t wanted = random_() % 10 == 0 ? 0 : 1 + random_() % 120;
    std::uint64_t seen = 0;
    std::string line;
    while (seen < wanted && child.next_line(line))
      seen += take(line) ? 1 : 0;
    child.kill_hard();
    while (child.next_line(line))
      take(line);
    check();
  }

  // Two openings in a row, nothing between them.
  void last() {
    check();
    check();
  }

  void print() const {
    std::printf(
        "answered %llu commands; %llu more were durable without an answer when the "
        "program was killed\n",
        static_cast<unsigned long long>(answered_),
        static_cast<unsigned long long>(unanswered_found_));
    std::printf("at the end: %zu VMs, %zu images, revision %llu, log index %llu, snapshot %llu\n",
                expected_.vms().size(), expected_.images().size(),
                static_cast<unsigned long long>(expected_.revision()),
                static_cast<unsigned long long>(status_.last.value),
                static_cast<unsigned long long>(status_.snapshot.value));
    std::printf("state hash %s\n", hash_.c_str());
  }

 private:
  bool take(const std::string& line) {
    std::istringstream words(line);
    std::string word;
    words >> word;
    if (word == "open") {
      words >> word;
      if (!hash_.empty() && word != hash_) die("opened again, the state has another hash");
      return false;
    }
    if (word != "answer") die(line);
    std::uint64_t number = 0;
    words >> number >> std::ws;
    std::getline(words, word);
    if (number != answered_ + 1) die("answer out of order: " + line);
    answered_ = number;
    answers_[number] = word;
    return true;
  }

  // Carries out the next command on the expected state.
  void advance() {
    ++done_;
    const auto answer =
        expected_.apply(LogIndex(done_), command(done_), [](const cluster::Change&) {});
    expected_answers_[done_] = describe(answer);
  }

  [[nodiscard]] bool matches(const cluster::State& found) const {
    if (found.revision() != expected_.revision() || found.vms().size() != expected_.vms().size() ||
        found.images().size() != expected_.images().size()) {
      return false;
    }
    for (const auto& [id, vm] : expected_.vms()) {
      const cluster::Vm* other = found.find_vm(id);
      if (other == nullptr || other->name != vm.name || other->uuid != vm.uuid ||
          other->spec != vm.spec || other->desired != vm.desired || other->state != vm.state) {
        return false;
      }
    }
    for (const auto& [id, image] : expected_.images()) {
      const cluster::Image* other = found.find_image(image.name);
      if (other == nullptr || other->id != id || other->files != image.files) return false;
    }
    return true;
  }

  void check() {
    linux_side::Runtime runtime({});
    runtime.run(check_state(runtime.env()));
    for (auto answer = answers_.begin(); answer != answers_.end();
         answer = answers_.erase(answer)) {
      if (answer->second != expected_answers_.at(answer->first)) {
        die("command " + std::to_string(answer->first) + " was answered " + answer->second +
            ", expected " + expected_answers_.at(answer->first));
      }
    }
    expected_answers_.erase(expected_answers_.begin(), expected_answers_.upper_bound(answered_));
  }

  env::Task<void> check_state(env::Env env) {
    auto opened = co_await open(env, directory_);
    if (!opened) die("cannot open: " + opened.error().message());
    const cluster::State& found = (*opened)->state();
    const std::uint64_t before = std::max(done_, answered_);
    while (done_ < answered_)
      advance();
    while (!matches(found)) {
      if (done_ >= before + kOutstanding) {
        die("no number of commands from " + std::to_string(before) + " on gives this state");
      }
      advance();
    }
    unanswered_found_ += done_ - before;
    hash_ = found.hash();
    status_ = (*opened)->status();
    co_await (*opened)->stop();
  }

  std::string directory_;
  std::mt19937_64 random_;
  cluster::State expected_;
  std::uint64_t done_ = 0;      // commands that expected_ holds
  std::uint64_t answered_ = 0;  // and that were answered, by the last line
  std::uint64_t unanswered_found_ = 0;
  std::map<std::uint64_t, std::string> answers_;
  std::map<std::uint64_t, std::string> expected_answers_;
  std::string hash_;
  replica::Status status_;
};

int run_parent(int rounds, std::uint64_t seed) {
  std::string directory = BLX_BINARY_DIR "/log_crash.XXXXXX";
  if (mkdtemp(directory.data()) == nullptr) die("no directory");
  const auto begin = std::chrono::steady_clock::now();
  Rounds test(directory + "/log", seed);
  for (int round = 0; round < rounds; ++round)
    test.one();
  test.last();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  std::printf("%d rounds of kill -9 in %.1f s, seed %llu\n", rounds, took.count(),
              static_cast<unsigned long long>(seed));
  test.print();
  std::filesystem::remove_all(directory);
  return 0;
}

}  // namespace
}  // namespace blixard::log_crash

int main(int argc, char** argv) {
  using namespace blixard;  // NOLINT(google-build-using-namespace)
  if (const int code = linux_side::run_hidden_command(argc, argv); code >= 0) return code;
  const auto number = [&](int at, std::uint64_t otherwise) {
    return argc > at ? std::strtoull(argv[at], nullptr, 10) : otherwise;
  };
  if (argc == 4 && std::string(argv[1]) == "child") {
    return log_crash::run_child(argv[2], number(3, 1));
  }
  return log_crash::run_parent(static_cast<int>(number(1, 200)), number(2, 1));
}

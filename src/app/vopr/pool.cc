#include "app/vopr/pool.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>

#include <fmt/format.h>

namespace blixard::app {
namespace {

using std::chrono::steady_clock;

constexpr std::uint32_t kDone = 0xffff'ffff;  // in place of a message's length
constexpr std::size_t kMessageBytes = std::size_t{256} << 20;
constexpr std::size_t kComplaintBytes = 2'000;
constexpr rlim_t kChildMemory = rlim_t{6} << 30;
constexpr rlim_t kChildErrorBytes = rlim_t{64} << 20;
constexpr int kTickMs = 200;

volatile std::sig_atomic_t interrupted = 0;

// Ctrl-C once ends in order, twice at once.
class CatchInterrupts {
 public:
  CatchInterrupts() {
    interrupted = 0;
    struct sigaction action{};
    action.sa_handler = [](int) { interrupted = 1; };
    action.sa_flags = static_cast<int>(SA_RESETHAND);
    sigaction(SIGINT, &action, &int_before_);
    sigaction(SIGTERM, &action, &term_before_);
  }
  ~CatchInterrupts() {
    sigaction(SIGINT, &int_before_, nullptr);
    sigaction(SIGTERM, &term_before_, nullptr);
  }
  CatchInterrupts(const CatchInterrupts&) = delete;
  CatchInterrupts& operator=(const CatchInterrupts&) = delete;

 private:
  struct sigaction int_before_{};
  struct sigaction term_before_{};
};

bool write_all(int socket, const void* bytes, std::size_t count) {
  const auto* at = static_cast<const char*>(bytes);
  while (count > 0) {
    const ssize_t written = ::send(socket, at, count, MSG_NOSIGNAL);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    at += written;
    count -= static_cast<std::size_t>(written);
  }
  return true;
}

bool read_all(int socket, void* bytes, std::size_t count) {
  auto* at = static_cast<char*>(bytes);
  while (count > 0) {
    const ssize_t got = ::recv(socket, at, count, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    at += got;
    count -= static_cast<std::size_t>(got);
  }
  return true;
}

void limit(int resource, rlim_t most) {
  const rlimit limits{.rlim_cur = most, .rlim_max = most};
  setrlimit(static_cast<__rlimit_resource>(resource), &limits);
}

struct Child {
  pid_t pid = 0;
  int socket = -1;
  int errors = -1;  // a file in memory that is its standard error
  std::optional<std::uint64_t> piece;
  steady_clock::time_point since;
  std::vector<std::string> messages;
  std::string received;
  bool hung = false;
};

class Pool {
 public:
  explicit Pool(const PoolOrders& orders) : orders_(orders) {}

  bool run() {
    const CatchInterrupts catching;
    while (interrupted == 0) {
      hand_out();
      if (children_.empty()) break;
      wait();
      kill_who_hangs();
      orders_.tick();
    }
    for (Child& child : children_) {
      kill(child.pid, SIGKILL);
      reap(child);
    }
    children_.clear();
    return interrupted == 0;
  }

 private:
  // Who has nothing to do and gets nothing ends.
  void hand_out() {
    for (auto child = children_.begin(); child != children_.end();) {
      if (!child->piece && !give(*child)) {
        shutdown(child->socket, SHUT_RDWR);
        reap(*child);
        child = children_.erase(child);
      } else {
        ++child;
      }
    }
    while (!no_more_ && children_.size() < orders_.jobs) {
      const auto piece = orders_.next();
      no_more_ = !piece;
      if (no_more_) return;
      start(*piece);
    }
  }

  bool give(Child& child) {
    const auto piece = no_more_ ? std::nullopt : orders_.next();
    no_more_ = !piece;
    if (no_more_) return false;
    begin(child, *piece);
    return true;
  }

  // A child that does not take its piece is dead, which is seen when it is read from.
  static void begin(Child& child, std::uint64_t piece) {
    child.piece = piece;
    child.since = steady_clock::now();
    child.messages.clear();
    write_all(child.socket, &piece, sizeof piece);
  }

  void start(std::uint64_t piece) {
    std::array<int, 2> ends{-1, -1};
    Child child{.errors = memfd_create("errors", MFD_CLOEXEC)};
    std::fflush(nullptr);
    const bool paired = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) == 0;
    child.pid = paired ? fork() : -1;
    if (child.pid == 0) {
      close(ends[0]);
      for (const Child& other : children_)
        close(other.socket);
      serve(ends[1], child.errors);
    }
    if (paired) close(ends[1]);
    child.socket = ends[0];
    if (child.pid < 0) {
      if (paired) close(ends[0]);
      close(child.errors);
      orders_.finished(
          {.piece = piece,
           .death = fmt::format("no process could be started: {}",
                                std::strerror(errno))});  // NOLINT(concurrency-mt-unsafe)
      return;
    }
    fcntl(child.socket, F_SETFL, O_NONBLOCK);
    begin(child, piece);
    children_.push_back(std::move(child));
  }

  // The child's whole life.
  [[noreturn]] void serve(int socket, int errors) const {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    std::signal(SIGINT, SIG_IGN);
    std::signal(SIGTERM, SIG_DFL);
    dup2(errors, STDERR_FILENO);
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_FSIZE, kChildErrorBytes);
#if !__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer)
    limit(RLIMIT_AS, kChildMemory);
#endif
    const auto send = [&](std::string_view message) {
      const auto size = static_cast<std::uint32_t>(message.size());
      if (!write_all(socket, &size, sizeof size) ||
          !write_all(socket, message.data(), message.size())) {
        _exit(1);
      }
    };
    std::uint64_t piece = 0;
    while (read_all(socket, &piece, sizeof piece)) {
      orders_.work(piece, send);
      write_all(socket, &kDone, sizeof kDone);
    }
    _exit(0);
  }

  void wait() {
    std::vector<pollfd> polled;
    for (const Child& child : children_)
      polled.push_back({.fd = child.socket, .events = POLLIN, .revents = 0});
    if (poll(polled.data(), polled.size(), kTickMs) <= 0) return;
    for (std::size_t i = polled.size(); i-- > 0;) {
      if (polled[i].revents != 0) read_from(i);
    }
  }

  void read_from(std::size_t index) {
    Child& child = children_[index];
    std::array<char, 64 * 1024> bytes{};
    while (true) {
      const ssize_t got = recv(child.socket, bytes.data(), bytes.size(), 0);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
      if (got <= 0) return bury(index);
      child.received.append(bytes.data(), static_cast<std::size_t>(got));
      if (child.received.size() > kMessageBytes) return bury(index);
      take_messages(child);
    }
  }

  void take_messages(Child& child) {
    std::size_t at = 0;
    while (child.received.size() - at >= sizeof(std::uint32_t)) {
      std::uint32_t size = 0;
      std::memcpy(&size, child.received.data() + at, sizeof size);
      if (size == kDone) {
        at += sizeof size;
        if (!child.piece) continue;
        Finished finished{.piece = *child.piece,
                          .took = steady_clock::now() - child.since,
                          .messages = std::move(child.messages)};
        child.piece.reset();
        child.messages.clear();
        orders_.finished(std::move(finished));
        continue;
      }
      if (child.received.size() - at - sizeof size < size) break;
      child.messages.push_back(child.received.substr(at + sizeof size, size));
      at += sizeof size + size;
    }
    child.received.erase(0, at);
  }

  void bury(std::size_t index) {
    Child child = std::move(children_[index]);
    children_.erase(children_.begin() + static_cast<std::ptrdiff_t>(index));
    kill(child.pid, SIGKILL);  // nothing, if it is dead
    Finished finished{.piece = child.piece.value_or(0),
                      .took = steady_clock::now() - child.since,
                      .messages = std::move(child.messages),
                      .hung = child.hung,
                      .complaint = complaint_of(child)};
    finished.death = reap(child);
    if (child.piece) orders_.finished(std::move(finished));
  }

  static std::string complaint_of(const Child& child) {
    const off_t size = lseek(child.errors, 0, SEEK_END);
    if (size <= 0) return {};
    std::string text(std::min<std::size_t>(static_cast<std::size_t>(size), kComplaintBytes), '\0');
    const ssize_t got =
        pread(child.errors, text.data(), text.size(), size - static_cast<off_t>(text.size()));
    text.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
    return text;
  }

  // Waits for its end, which is near, and says what it was.
  static std::string reap(Child& child) {
    int status = 0;
    while (waitpid(child.pid, &status, 0) < 0 && errno == EINTR) {
    }
    close(child.socket);
    close(child.errors);
    if (WIFSIGNALED(status)) {
      const int number = WTERMSIG(status);
      return fmt::format("signal {} ({})", number, sigdescr_np(number));
    }
    return fmt::format("exit code {}", WEXITSTATUS(status));
  }

  void kill_who_hangs() {
    const auto now = steady_clock::now();
    for (Child& child : children_) {
      if (!child.piece || child.hung || now - child.since < orders_.piece_limit) continue;
      child.hung = true;
      kill(child.pid, SIGKILL);  // its socket closes, and it is buried
    }
  }

  const PoolOrders& orders_;
  std::vector<Child> children_;
  bool no_more_ = false;
};

}  // namespace

bool run_pool(const PoolOrders& orders) { return Pool(orders).run(); }

}  // namespace blixard::app

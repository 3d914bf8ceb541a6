#include "agent.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "clock.h"
#include "console.h"
#include "verbs.h"

enum { kReadsPerTurn = 64 };

static const char kPortName[] = "org.blixard.agent";

void agent_start(struct Agent* agent, struct Network* network, enum TestMode test) {
  *agent = (struct Agent){.network = network, .test = test, .port = -1, .signal_fd = -1};
  if (test == kTestNoAgent) return;
  // Blocked before the port is opened, so that no SIGIO is lost between opening and waiting.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGIO);
  if (sigprocmask(SIG_BLOCK, &signals, NULL) == 0) {
    agent->signal_fd = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
  }
  if (agent->signal_fd < 0) console_say("agent: no signalfd: %s", strerror(errno));
}

static bool has_our_name(const char* port) {
  char path[128];
  char name[sizeof kPortName + 1] = {0};
  (void)snprintf(path, sizeof path, "/sys/class/virtio-ports/%.64s/name", port);
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const ssize_t length = read(fd, name, sizeof name - 1);
  close(fd);
  if (length <= 0) return false;
  name[strcspn(name, "\n")] = '\0';
  return strcmp(name, kPortName) == 0;
}

static int open_port(void) {
  DIR* folder = opendir("/sys/class/virtio-ports");
  if (folder == NULL) return -1;
  int port = -1;
  for (const struct dirent* entry = readdir(folder); entry != NULL && port < 0;
       entry = readdir(folder)) {
    char path[128];
    if (entry->d_name[0] == '.' || !has_our_name(entry->d_name)) continue;
    (void)snprintf(path, sizeof path, "/dev/%.64s", entry->d_name);
    port = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
  }
  closedir(folder);
  if (port < 0) return -1;
  if (fcntl(port, F_SETOWN, getpid()) != 0 ||
      fcntl(port, F_SETFL, O_RDWR | O_NONBLOCK | O_ASYNC) != 0) {
    console_say("agent: no SIGIO from the port: %s", strerror(errno));
  }
  return port;
}

static void forget_all(struct Agent* agent) {
  agent->watched = false;
  agent->greeted = false;
  agent->line_too_long = false;
  explicit_bzero(agent->line, sizeof agent->line);
  agent->line_length = 0;
  explicit_bzero(agent->input, sizeof agent->input);
  agent->input_at = agent->input_length = 0;
  agent->output_length = 0;
}

// Neither the answers nor an unfinished line are dropped: the next host's bytes may be here before
// the driver knows that it connected, and then they belong to it.
static void await_host(struct Agent* agent) {
  agent->watched = false;
  agent->greeted = false;
}

static void close_port(struct Agent* agent) {
  console_say("agent: the port is gone: %s", strerror(errno));
  close(agent->port);
  agent->port = -1;
  agent->scan_ms = clock_ms();
  forget_all(agent);
}

static size_t room(const struct Agent* agent) { return kAgentOutputMax - agent->output_length; }

static void say(struct Agent* agent, const char* text, size_t length) {
  if (length > room(agent)) return;
  memcpy(agent->output + agent->output_length, text, length);
  agent->output_length += length;
}

static void flush(struct Agent* agent) {
  if (agent->output_length == 0 || agent->port < 0) return;
  const ssize_t written = write(agent->port, agent->output, agent->output_length);
  if (written < 0) {
    if (errno != EAGAIN && errno != EINTR) close_port(agent);
    return;
  }
  agent->output_length -= (size_t)written;
  memmove(agent->output, agent->output + written, agent->output_length);
}

static void end_line(struct Agent* agent) {
  static const char kTooLong[] = "error - line too long\n";
  if (agent->line_too_long) {
    say(agent, kTooLong, sizeof kTooLong - 1);
  } else {
    const size_t length =
        verbs_answer(agent->line, agent->line_length, agent->network, &agent->shutdown_wanted,
                     agent->output + agent->output_length, room(agent));
    agent->output_length += length;
  }
  explicit_bzero(agent->line, sizeof agent->line);
  agent->line_length = 0;
  agent->line_too_long = false;
}

// A line may hold a secret, a seed for example, and the memory of a guest may be saved: neither the
// input nor the line keeps what was dealt with.
static void take_byte(struct Agent* agent) {
  const char byte = agent->input[agent->input_at];
  explicit_bzero(&agent->input[agent->input_at++], 1);
  if (byte == '\n') {
    end_line(agent);
  } else if (agent->line_length == kAgentLineMax - 1) {
    agent->line_too_long = true;
  } else {
    agent->line[agent->line_length++] = byte;
  }
}

enum Reading { kReadMore, kReadLater, kReadEnd, kReadFailed };

// Takes lines until there is nothing to read (kReadLater), or there is no room for another answer
// or it is the turn of the other parts of the program (kReadMore).
static enum Reading read_lines(struct Agent* agent) {
  for (int turn = 0; turn < kReadsPerTurn; ++turn) {
    while (agent->input_at < agent->input_length) {
      if (room(agent) < kAgentLineMax) return kReadMore;
      take_byte(agent);
    }
    const ssize_t length = read(agent->port, agent->input, sizeof agent->input);
    if (length == 0) return kReadEnd;
    if (length < 0) return errno == EAGAIN || errno == EINTR ? kReadLater : kReadFailed;
    agent->input_at = 0;
    agent->input_length = (size_t)length;
  }
  return kReadMore;
}

static void greet(struct Agent* agent) {
  char line[kAgentLineMax];
  agent->greeted = true;
  agent->watched = true;
  say(agent, line, verbs_ready(line, sizeof line));
}

static short port_state(const struct Agent* agent) {
  struct pollfd state = {.fd = agent->port, .events = POLLIN | POLLOUT};
  return poll(&state, 1, 0) > 0 ? state.revents : 0;
}

// Serves what the port has. A host may ask for something and go away at once, so what it left is
// read although it hung up; the answers wait for the next host, which ignores them.
static void serve_port(struct Agent* agent) {
  if (agent->test == kTestHangAgent) return;
  const bool hung_up = (port_state(agent) & POLLHUP) != 0;
  if (hung_up) {
    agent->greeted = false;
    if (room(agent) < kAgentLineMax) agent->output_length = 0;
  } else if (!agent->greeted) {
    greet(agent);
  }
  flush(agent);
  if (agent->port < 0) return;
  const enum Reading reading = read_lines(agent);
  if (reading == kReadFailed) {
    close_port(agent);
  } else if (reading == kReadEnd) {
    await_host(agent);
  } else if (reading == kReadMore) {
    agent->watched = true;
  } else if (hung_up) {
    greet(agent);  // not the end: another host connected meanwhile
  }
  flush(agent);
}

// Input that was read and not yet looked at, because there was no room for an answer, wakes no
// poll: it has to be remembered.
static bool has_work(const struct Agent* agent) {
  return agent->port >= 0 && agent->input_at < agent->input_length && room(agent) >= kAgentLineMax;
}

static void scan_if_due(struct Agent* agent) {
  const int64_t now_ms = clock_ms();
  if (agent->test == kTestNoAgent || now_ms < agent->scan_ms) return;
  agent->port = open_port();
  agent->scan_ms = now_ms + watch_rescan_delay_ms(now_ms);
  if (agent->port >= 0) serve_port(agent);
}

void agent_watch(const struct Agent* agent, struct Watch* watch) {
  if (agent->test == kTestNoAgent || agent->test == kTestHangAgent) {
    if (agent->test == kTestHangAgent && agent->port < 0) watch_wake_at(watch, agent->scan_ms);
    return;
  }
  if (agent->signal_fd >= 0) watch_add(watch, agent->signal_fd, POLLIN);
  if (agent->port < 0) {
    watch_wake_at(watch, agent->scan_ms);
  } else if (agent->watched) {
    const bool more = room(agent) >= kAgentLineMax;
    watch_add(watch, agent->port,
              (short)((more ? POLLIN : 0) | (agent->output_length > 0 ? POLLOUT : 0)));
    if (has_work(agent)) watch_wake_at(watch, 0);
  }
}

void agent_serve(struct Agent* agent, const struct Watch* watch) {
  bool look = false;
  if (agent->signal_fd >= 0 && watch_events(watch, agent->signal_fd) != 0) {
    struct signalfd_siginfo signal;
    while (read(agent->signal_fd, &signal, sizeof signal) > 0)
      look = true;
  }
  if (agent->port < 0) {
    scan_if_due(agent);
    return;
  }
  if (look || watch_events(watch, agent->port) != 0 || has_work(agent)) serve_port(agent);
}

#include "http.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "clock.h"
#include "console.h"
#include "entropy.h"
#include "hex.h"
#include "identity.h"

enum { kBacklog = 64, kDrainMs = 1000, kBodyMax = 512, kRandomBytes = 32 };

void http_start(struct Http* http) {
  memset(http, 0, sizeof *http);
  http->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(kHttpPort)};
  const int yes = 1;
  if (http->listener >= 0 &&
      setsockopt(http->listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0 &&
      bind(http->listener, (const struct sockaddr*)&any, sizeof any) == 0 &&
      listen(http->listener, kBacklog) == 0) {
    return;
  }
  console_say("http: cannot listen: %s", strerror(errno));
  if (http->listener >= 0) close(http->listener);
  http->listener = -1;
}

static void end_connection(struct Http* http, struct HttpConnection* connection) {
  close(connection->fd);
  connection->step = kHttpFree;
  http->open_count -= 1;
}

static void answer(struct HttpConnection* connection, const char* status, bool head,
                   const char* body) {
  const size_t length = strlen(body);
  const int written =
      snprintf(connection->answer, sizeof connection->answer,
               "HTTP/1.1 %s\r\nContent-Type: text/plain; charset=utf-8\r\n"
               "Content-Length: %zu\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n%s",
               status, length, head ? "" : body);
  const size_t full = written < 0 ? 0 : (size_t)written;
  connection->answer_length = full < kHttpAnswerMax ? full : kHttpAnswerMax - 1;
  connection->answer_sent = 0;
  connection->step = kHttpWriting;
}

// What tells one clone of a guest from another, also the random bytes: with the same generator, the
// same bytes.
static void write_identity(char* body, size_t room) {
  struct Identity is;
  unsigned char random[kRandomBytes] = {0};
  char digits[2 * sizeof random + 1];
  identity_read(&is);
  (void)entropy_draw(random, sizeof random);
  hex_write(random, sizeof random, digits);
  (void)snprintf(body, room,
                 "name: %s\nmac: %s\naddress: %s\nmachine: %s\nboot: %s\nrandom: %s\n"
                 "time_ms: %lld\n",
                 is.name, is.mac, is.address, is.machine, is.boot, digits, (long long)is.time_ms);
}

static void answer_page(struct HttpConnection* connection, const char* path, bool head) {
  char body[kBodyMax];
  if (strcmp(path, "/health") == 0) {
    answer(connection, "200 OK", head, "ok\n");
  } else if (strcmp(path, "/") == 0) {
    struct utsname system = {0};
    (void)uname(&system);
    (void)snprintf(body, sizeof body, "hello from %s\nkernel %s\nuptime %lld s\n", system.nodename,
                   system.release, (long long)(clock_ms() / 1000));
    answer(connection, "200 OK", head, body);
  } else if (strcmp(path, "/identity") == 0) {
    write_identity(body, sizeof body);
    answer(connection, "200 OK", head, body);
  } else {
    answer(connection, "404 Not Found", head, "not found\n");
  }
}

// The request ends with an empty line; only its first line matters here. A question mark ends the
// path: probes may append what they like.
static void answer_request(struct HttpConnection* connection) {
  connection->request[strcspn(connection->request, "\r\n")] = '\0';
  char* rest = NULL;
  const char* method = strtok_r(connection->request, " ", &rest);
  char* path = strtok_r(NULL, " ", &rest);
  const char* version = strtok_r(NULL, " ", &rest);
  if (version == NULL || strtok_r(NULL, " ", &rest) != NULL || path[0] != '/' ||
      strncmp(version, "HTTP/1.", 7) != 0) {
    answer(connection, "400 Bad Request", false, "bad request\n");
    return;
  }
  const bool head = strcmp(method, "HEAD") == 0;
  if (!head && strcmp(method, "GET") != 0) {
    answer(connection, "405 Method Not Allowed\r\nAllow: GET, HEAD", false, "method not allowed\n");
    return;
  }
  path[strcspn(path, "?")] = '\0';
  answer_page(connection, path, head);
}

static void read_request(struct Http* http, struct HttpConnection* connection) {
  const ssize_t length = read(connection->fd, connection->request + connection->request_length,
                              kHttpRequestMax - connection->request_length);
  if (length < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (length <= 0) {
    end_connection(http, connection);
    return;
  }
  connection->request_length += (size_t)length;
  connection->request[connection->request_length] = '\0';
  if (memchr(connection->request, '\0', connection->request_length) != NULL) {
    answer(connection, "400 Bad Request", false, "bad request\n");
  } else if (strstr(connection->request, "\r\n\r\n") != NULL ||
             strstr(connection->request, "\n\n") != NULL) {
    answer_request(connection);
  } else if (connection->request_length == kHttpRequestMax) {
    answer(connection, "431 Request Header Fields Too Large", false, "request too large\n");
  }
}

static void write_answer(struct Http* http, struct HttpConnection* connection) {
  const ssize_t sent = send(connection->fd, connection->answer + connection->answer_sent,
                            connection->answer_length - connection->answer_sent, MSG_NOSIGNAL);
  if (sent < 0) {
    if (errno != EAGAIN && errno != EINTR) end_connection(http, connection);
    return;
  }
  connection->answer_sent += (size_t)sent;
  if (connection->answer_sent < connection->answer_length) return;
  // Closing with unread bytes would reset the connection and could destroy the answer on its way,
  // so the rest of what the client sends is read and dropped for a moment.
  (void)shutdown(connection->fd, SHUT_WR);
  connection->step = kHttpDraining;
  connection->deadline_ms = clock_ms() + kDrainMs;
}

static void drain(struct Http* http, struct HttpConnection* connection) {
  const ssize_t length = read(connection->fd, connection->request, kHttpRequestMax);
  if (length < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (length <= 0) end_connection(http, connection);
}

static void accept_some(struct Http* http) {
  for (size_t i = 0; i < kHttpConnectionMax; ++i) {
    struct HttpConnection* connection = &http->connections[i];
    if (connection->step != kHttpFree) continue;
    const int fd = accept4(http->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    connection->step = kHttpReading;
    connection->fd = fd;
    connection->deadline_ms = clock_ms() + kHttpTimeoutMs;
    connection->request_length = 0;
    http->open_count += 1;
  }
}

void http_watch(const struct Http* http, struct Watch* watch) {
  if (http->listener >= 0 && http->open_count < kHttpConnectionMax) {
    watch_add(watch, http->listener, POLLIN);
  }
  for (size_t i = 0; i < kHttpConnectionMax; ++i) {
    const struct HttpConnection* connection = &http->connections[i];
    if (connection->step == kHttpFree) continue;
    watch_add(watch, connection->fd, connection->step == kHttpWriting ? POLLOUT : POLLIN);
    watch_wake_at(watch, connection->deadline_ms);
  }
}

void http_serve(struct Http* http, const struct Watch* watch) {
  const int64_t now_ms = clock_ms();
  for (size_t i = 0; i < kHttpConnectionMax; ++i) {
    struct HttpConnection* connection = &http->connections[i];
    if (connection->step == kHttpFree) continue;
    if (now_ms >= connection->deadline_ms) {
      end_connection(http, connection);
      continue;
    }
    if (watch_events(watch, connection->fd) == 0) continue;
    if (connection->step == kHttpReading) {
      read_request(http, connection);
    } else if (connection->step == kHttpDraining) {
      drain(http, connection);
    }
    if (connection->step == kHttpWriting) write_answer(http, connection);
  }
  if (http->listener >= 0 && watch_events(watch, http->listener) != 0) accept_some(http);
}

// A web server just large enough to prove that a guest serves: "/" greets, "/health" is a probe,
// "/identity" says who the guest is. One request per connection. Every number a client could push
// is bounded: connections, bytes of a request, and the time a connection may take from accept to
// close. At the limit of connections the listener is left out of the poll, so further clients wait
// in the kernel's backlog until the time of the slow ones has run out.

#pragma once

#include <stddef.h>
#include <stdint.h>

#include "watch.h"

enum {
  kHttpPort = 80,
  kHttpConnectionMax = 32,
  kHttpRequestMax = 2048,
  kHttpAnswerMax = 1024,
  kHttpTimeoutMs = 5000,
};

enum HttpStep { kHttpFree, kHttpReading, kHttpWriting, kHttpDraining };

struct HttpConnection {
  enum HttpStep step;
  int fd;
  int64_t deadline_ms;
  size_t request_length;
  char request[kHttpRequestMax + 1];
  size_t answer_length, answer_sent;
  char answer[kHttpAnswerMax];
};

struct Http {
  int listener;  // -1: none
  size_t open_count;
  struct HttpConnection connections[kHttpConnectionMax];
};

void http_start(struct Http* http);
void http_watch(const struct Http* http, struct Watch* watch);
void http_serve(struct Http* http, const struct Watch* watch);

#pragma once

// HTTP client over env streams: one request on one connection, for the command line and tests.

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include "base/limits.h"
#include "base/result.h"
#include "base/units.h"
#include "env/env.h"
#include "env/network.h"
#include "env/task.h"
#include "node/http/message.h"

namespace blixard::http {

struct ClientRequest {
  Method method = Method::kGet;
  std::string target = "/";  // as sent: escaped
  Headers headers;
  std::string content_type;
  std::string body;
};

struct Answer {
  int status = 0;
  Headers headers;
  std::string body;

  [[nodiscard]] const std::string* header(std::string_view name) const {
    return find_header(headers, name);
  }
};

class Client {
 public:
  // `body_bytes_max` bounds the answer of send(), and of a stream's error answer.
  Client(env::Env env, env::Endpoint server, std::size_t body_bytes_max = std::size_t{8} << 20)
      : env_(env), server_(std::move(server)), body_bytes_max_(body_bytes_max) {}

  // Errors: the dial's; kDeadlineExceeded; kUnavailable "connection_lost"; kDataLoss
  // "response_malformed"; kResourceExhausted "response_too_large".
  env::Task<Result<Answer>> send(ClientRequest request, Instant deadline);

  // Gives each piece of a 2xx answer's body to `piece`, which returns false to end it. The
  // answer has no body then; an answer that is no success has its own. `quiet_max` bounds the
  // time without a byte.
  env::Task<Result<Answer>> stream(ClientRequest request, Duration quiet_max,
                                   std::function<bool(std::string_view)> piece);

 private:
  env::Task<Result<std::unique_ptr<env::Stream>>> open(const ClientRequest& request,
                                                       Instant deadline);
  env::Task<Result<Answer>> exchange(ClientRequest request, Instant deadline);

  env::Env env_;
  env::Endpoint server_;
  std::size_t body_bytes_max_;
};

}  // namespace blixard::http

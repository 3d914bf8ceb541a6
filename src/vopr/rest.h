#pragma once

// The node's API as tests use it: a request, and what came back as JSON.

#include <string>
#include <string_view>
#include <utility>

#include <boost/json.hpp>

#include "node/http/client.h"

namespace blixard::rest {

struct Reply {
  int status = 0;
  boost::json::object body;

  [[nodiscard]] std::string text(std::string_view key) const {
    const auto* value = body.if_contains(key);
    return value != nullptr && value->is_string() ? std::string(value->get_string()) : "";
  }
  [[nodiscard]] std::int64_t number(std::string_view key) const {
    const auto* value = body.if_contains(key);
    return value != nullptr && value->is_int64() ? value->get_int64() : 0;
  }
};

struct Request {
  http::Method method = http::Method::kGet;
  std::string target;
  std::string body;
  std::string token;  // over TCP
  std::string key;    // Idempotency-Key
};

inline env::Task<Result<Reply>> send(env::Env env, env::Endpoint server, Request request,
                                     Duration patience) {
  http::Client client(env, std::move(server));
  http::ClientRequest sent{.method = request.method, .target = request.target};
  sent.body = request.body;
  if (!request.body.empty()) sent.content_type = "application/json";
  if (!request.token.empty()) {
    sent.headers.push_back({"Authorization", "Bearer " + request.token});
  }
  if (!request.key.empty()) sent.headers.push_back({"Idempotency-Key", request.key});
  BLX_CO_TRY(const http::Answer answer,
             co_await client.send(std::move(sent), env.clock.monotonic() + patience));
  Reply reply{.status = answer.status, .body = {}};
  boost::system::error_code error;
  auto value = boost::json::parse(answer.body, error);
  if (!error && value.is_object()) reply.body = std::move(value.get_object());
  co_return reply;
}

}  // namespace blixard::rest

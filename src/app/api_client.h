#pragma once

// The command line's side of the API: one request, one JSON answer or one problem. A command that
// asks more than once does so over one connection.

#include <functional>
#include <string>

#include <boost/json/value.hpp>

#include "app/cli.h"
#include "env/env.h"
#include "env/task.h"
#include "node/http/client.h"
#include "node/http/client_pool.h"
#include "observe/trace.h"

namespace blixard::app {

// Every request that changes something is traced: as part of the trace that the environment's
// TRACEPARENT names, or as one of its own, whose id is a member trace_id of the answer.
class ApiClient {
 public:
  ApiClient(env::Env env, Connection connection);

  // `target` is path and query, already encoded. Errors: kUnavailable "daemon_unreachable", with
  // what to do; a problem document becomes an Error with its detail and action.
  env::Task<Result<boost::json::value>> get(std::string target);
  env::Task<Result<boost::json::value>> post(std::string target, boost::json::value body,
                                             Duration patience);
  env::Task<Result<boost::json::value>> put(std::string target, boost::json::value body);
  env::Task<Result<boost::json::value>> remove(std::string target, Duration patience);
  env::Task<Result<std::string>> get_text(std::string target);
  // Gives every piece of an endless answer to `piece`, until that returns false.
  env::Task<Result<void>> follow(std::string target, std::function<bool(std::string_view)> piece);

  // Of the requests so far, also of those that failed.
  [[nodiscard]] const std::vector<observe::TraceId>& traces() const { return traces_; }

 private:
  struct Prepared {
    env::Endpoint endpoint;
    http::ClientRequest request;
  };
  env::Task<Result<Prepared>> prepare(http::Method method, std::string target, std::string body);
  void trace(http::ClientRequest& request);
  [[nodiscard]] Result<boost::json::value> traced(const std::string& body) const;
  env::Task<Result<std::string>> exchange(http::Method method, std::string target, std::string body,
                                          Duration patience);

  env::Env env_;
  Connection connection_;
  http::ClientPool pool_;
  std::optional<observe::TraceContext> parent_;  // from the environment
  std::vector<observe::TraceId> traces_;
};

}  // namespace blixard::app

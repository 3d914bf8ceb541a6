#pragma once

// One row of the route table: how a request is found its handler, and what the OpenAPI document
// says about it.

#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>

#include <google/protobuf/message.h>

#include "base/ids.h"
#include "base/result.h"
#include "base/units.h"
#include "env/task.h"
#include "node/http/message.h"
#include "observe/trace.h"

namespace blixard::api {

class Api;
struct Call;

enum class Access : std::uint8_t { kEveryone, kAuthorized };

// Query parameters a route takes, as a set.
enum Parameter : std::uint8_t {
  kNoParameters = 0,
  kWait = 1,  // wait= and timeout=
  kConsistency = 2,
  kTailBytes = 4,
  kSince = 8,
  kForce = 16,
  kPage = 32,  // limit= and after=
};

struct Route {
  http::Method method = http::Method::kGet;
  std::string_view pattern;  // "/v1/vms/{name}"
  std::string_view name;     // of the operation, also the label in metrics
  std::string_view summary;
  Access access = Access::kAuthorized;
  bool is_mutation = false;
  std::uint8_t parameters = kNoParameters;
  int status = 200;  // of success
  const google::protobuf::Message* request = nullptr;
  const google::protobuf::Message* response = nullptr;
  std::string_view content_type = "application/json";
  std::string_view errors;  // reasons, separated by spaces
  env::Task<Result<http::Response>> (Api::*handler)(const Call&) = nullptr;
};

// The last: of the snapshot that was asked for, if one was.
enum class WaitFor : std::uint8_t {
  kNothing,
  kRunning,
  kStopped,
  kDeleted,
  kPaused,
  kSuspended,
  kSnapshot,
};
std::string_view wait_name(WaitFor wait);

// The query, read and checked against what the route takes.
struct Query {
  WaitFor wait = WaitFor::kNothing;
  Duration timeout = 60s;
  bool stale = false;
  std::size_t tail_bytes = 64 * 1024;
  std::uint64_t since = 0;
  bool has_since = false;
  bool force = false;
  std::size_t limit = std::numeric_limits<std::size_t>::max();
  std::string after;
};

// Errors: kInvalidArgument "parameter_unknown", "parameter_invalid".
Result<Query> read_query(const http::Request& request, std::uint8_t parameters);
// "60s", "500ms", "2m".
Result<Duration> parse_duration(std::string_view text);

// A request on its way to a handler.
struct Call {
  const http::Request& request;
  const Route& route;
  std::string name;  // of the object, from the path
  Query query;
  Uuid request_id;              // of a mutation
  observe::TraceContext trace;  // of its span; what is done for it is below
};

struct ParameterDescription {
  Parameter parameter = kNoParameters;
  std::string_view name;
  std::string_view description;
  std::string_view schema;  // JSON
};
std::span<const ParameterDescription> parameter_descriptions();

}  // namespace blixard::api

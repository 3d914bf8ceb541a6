#pragma once

// HTTP requests and responses as plain values, the same for a unix socket, TCP and simulation.
//
// A Request that reaches a Handler is whole, within its limits and decoded: the path and the query
// are percent-decoded, no header of a kind that may come once came twice. What a handler returns
// is a Response with a body, or one that goes on: `stream` is then called with a BodyWriter after
// the head was sent, and the response ends when it returns.

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "env/network.h"
#include "env/task.h"

namespace blixard::http {

enum class Method : std::uint8_t { kGet, kHead, kPost, kPut, kPatch, kDelete, kOptions, kOther };
std::string_view method_name(Method method);  // "GET"

enum class Transport : std::uint8_t { kUnix, kTcp };

struct Header {
  std::string name;
  std::string value;
};
using Headers = std::vector<Header>;

// The first one of this name, upper and lower case alike; null when there is none.
const std::string* find_header(const Headers& headers, std::string_view name);

struct Request {
  Method method = Method::kGet;
  std::string path;                          // decoded, begins with '/'
  std::map<std::string, std::string> query;  // decoded
  Headers headers;
  std::string body;
  env::PeerIdentity peer;
  Transport transport = Transport::kTcp;

  [[nodiscard]] const std::string* header(std::string_view name) const {
    return find_header(headers, name);
  }
};

// Where a streaming response puts its pieces, one write at a time.
class BodyWriter {
 public:
  virtual ~BodyWriter() = default;
  // Errors: kUnavailable when the client is gone, kDeadlineExceeded when it does not read,
  // kCancelled.
  virtual env::Task<Result<void>> write(std::string_view piece) = 0;
};

struct Response {
  int status = 200;
  std::string content_type;  // "": no body
  std::string body;
  Headers headers;
  // Cancelled when the client goes away or the server stops. An error breaks the connection off,
  // so that the client sees that something is missing.
  std::function<env::Task<Result<void>>(BodyWriter&)> stream;
};

class Handler {
 public:
  virtual ~Handler() = default;
  // Cancelled when the client goes away. The request lives until the response was sent.
  virtual env::Task<Response> handle(const Request& request) = 0;
  // The server itself answered, with this status, something that is no request to handle.
  virtual void refused(int /*status*/) {}
};

// The error document of every answer that is not a success (RFC 9457), with two more members:
// `code` is stable, for programs; `action` says to people what to do.
struct Problem {
  int status = 500;
  std::string code;
  std::string title;
  std::string detail;
  std::string action;
};
Response problem_response(const Problem& problem);

std::string json_quoted(std::string_view text);  // with quotes; invalid UTF-8 becomes U+FFFD
std::string_view status_text(int status);        // "Not Found"
std::string http_date(WallTime time);            // "Sun, 06 Nov 1994 08:49:37 GMT"

}  // namespace blixard::http

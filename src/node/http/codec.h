#pragma once

// HTTP/1.1 as bytes: parsers that are fed pieces of any size, and writers of heads. Boost.Beast's
// parser and serializer do the work; only codec.cc sees them, for their weight in the build.
//
// A parser takes from the front of what it is given and says how much. What it leaves must be
// given again, with more behind it.

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/units.h"
#include "node/http/message.h"

namespace blixard::http {

struct ParserLimits {
  std::size_t header_bytes = 0;
  std::size_t body_bytes = 0;
};

// What a refused request is answered with; the error comes from RequestParser.
Problem refusal(const Error& error);

class RequestParser {
 public:
  explicit RequestParser(ParserLimits limits);
  ~RequestParser();

  // Bytes taken. Errors: kInvalidArgument "request_malformed", "target_invalid", "host_missing",
  // "header_repeated", kUnimplemented "version_unsupported", "transfer_coding_unsupported",
  // kFailedPrecondition "expectation_failed", kResourceExhausted "header_too_large",
  // "target_too_long", "body_too_large". After one the parser is of no further use.
  Result<std::size_t> put(std::string_view input);

  [[nodiscard]] bool header_done() const;
  [[nodiscard]] bool done() const;
  [[nodiscard]] bool expects_continue() const;  // precondition: header_done()
  [[nodiscard]] bool keep_alive() const;        // precondition: header_done()
  [[nodiscard]] bool is_http_10() const;        // precondition: header_done()

  // Precondition: done(), once. Without peer and transport.
  Request take();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

// The head of an answer, as clients see it.
struct ResponseHead {
  int status = 0;
  Headers headers;
};

class ResponseParser {
 public:
  // `is_head`: the answer to a HEAD request has no body, whatever its headers say.
  ResponseParser(ParserLimits limits, bool is_head);
  ~ResponseParser();

  // Errors: kDataLoss "response_malformed", kResourceExhausted "response_too_large".
  Result<std::size_t> put(std::string_view input);
  // The peer ended its side: completes a body that ends with the connection.
  Result<void> put_end();

  [[nodiscard]] bool header_done() const;
  [[nodiscard]] bool done() const;
  [[nodiscard]] ResponseHead head() const;  // precondition: header_done()
  // Whether the peer takes another request on this connection. Precondition: header_done().
  [[nodiscard]] bool keep_alive() const;
  // What came of the body since the last call.
  std::string take_body();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

enum class Framing : std::uint8_t { kLength, kChunked, kUntilClose };

struct ResponseForm {
  Framing framing = Framing::kLength;
  bool keep_alive = true;
  bool http_10 = false;
  bool with_body = true;  // false: only the head of it, as HEAD wants
  WallTime date;
};

// The head, and the body if the framing is kLength. Errors: kInternal "header_invalid" when a
// header of ours cannot be sent.
Result<std::string> encode_response(const Response& response, const ResponseForm& form);
std::string encode_chunk(std::string_view piece);  // precondition: not empty
std::string_view last_chunk();

// Whether the connection is kept for another request.
enum class Keeping : std::uint8_t { kEnds, kStays };

struct ClientRequest;
Result<std::string> encode_request(const ClientRequest& request, const env::Endpoint& server,
                                   Keeping keeping);

}  // namespace blixard::http

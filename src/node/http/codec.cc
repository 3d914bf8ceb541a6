#include "node/http/codec.h"

#include <array>
#include <exception>
#include <optional>
#include <utility>

#include <boost/beast/core/string.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/rfc7230.hpp>
#include <boost/beast/http/serializer.hpp>
#include <boost/beast/http/string_body.hpp>
#include <fmt/format.h>

#include "base/assert.h"
#include "base/limits.h"
#include "node/http/client.h"
#include "node/http/target.h"

namespace blixard::http {
namespace {

namespace beast = boost::beast::http;
using BeastError = boost::beast::error_code;

std::string_view view(boost::beast::string_view text) { return {text.data(), text.size()}; }
boost::beast::string_view view_of(std::string_view text) { return {text.data(), text.size()}; }

Method method_of(beast::verb verb) {
  switch (verb) {
    case beast::verb::get:
      return Method::kGet;
    case beast::verb::head:
      return Method::kHead;
    case beast::verb::post:
      return Method::kPost;
    case beast::verb::put:
      return Method::kPut;
    case beast::verb::patch:
      return Method::kPatch;
    case beast::verb::delete_:
      return Method::kDelete;
    case beast::verb::options:
      return Method::kOptions;
    default:
      return Method::kOther;
  }
}

Headers headers_of(const beast::fields& fields) {
  Headers headers;
  for (const auto& field : fields) {
    headers.push_back({std::string(view(field.name_string())), std::string(view(field.value()))});
  }
  return headers;
}

std::unexpected<Error> request_error(BeastError code) {
  if (code == beast::error::header_limit) {
    return fail(Code::kResourceExhausted, "header_too_large");
  }
  if (code == beast::error::body_limit || code == beast::error::buffer_overflow) {
    return fail(Code::kResourceExhausted, "body_too_large");
  }
  if (code == beast::error::bad_version) return fail(Code::kUnimplemented, "version_unsupported");
  return fail(Code::kInvalidArgument, "request_malformed", code.message());
}

// The shortest rest of a chunked body, "0\r\n\r\n". Beast 1.81 asserts that it has this much when
// it comes back to the last chunk, so it is never given less.
constexpr std::size_t kChunkedRestMin = 5;

template <class Parser>
bool is_too_little(const Parser& parser, std::string_view input) {
  return parser.is_header_done() && parser.chunked() && input.size() < kChunkedRestMin;
}

// Feeds a Beast parser until it is done or needs more. Beast may throw where memory or a field's
// size runs out; nothing of it leaves here.
template <class Parser>
Result<std::size_t> feed(Parser& parser, std::string_view input, BeastError& error) {
  std::size_t taken = 0;
  try {
    while (taken < input.size() && !parser.is_done()) {
      const std::size_t count =
          parser.put(boost::asio::buffer(input.data() + taken, input.size() - taken), error);
      taken += count;
      if (error || count == 0) break;
    }
  } catch (const std::exception& caught) {
    return fail(Code::kResourceExhausted, "header_too_large", caught.what());
  }
  if (error == beast::error::need_more) error = {};
  return taken;
}

// Fields that steer how a request is read or who sent it: two of them may be read differently by
// two programs, so there may be one.
constexpr std::array kSingleFields{
    beast::field::host,   beast::field::authorization,     beast::field::content_type,
    beast::field::expect, beast::field::transfer_encoding, beast::field::content_length,
};
constexpr std::array<std::string_view, 2> kSingleNames{"Idempotency-Key", "Last-Event-ID"};

Result<void> check_header(const beast::request_header<>& header) {
  if (header.version() != 10 && header.version() != 11) {
    return fail(Code::kUnimplemented, "version_unsupported");
  }
  for (const beast::field field : kSingleFields) {
    if (header.count(field) > 1) {
      return fail(Code::kInvalidArgument, "header_repeated",
                  std::string(view(beast::to_string(field))));
    }
  }
  for (const std::string_view name : kSingleNames) {
    if (header.count(view_of(name)) > 1) {
      return fail(Code::kInvalidArgument, "header_repeated", std::string(name));
    }
  }
  if (header.version() == 11 && header.count(beast::field::host) == 0) {
    return fail(Code::kInvalidArgument, "host_missing");
  }
  if (const auto coding = header.find(beast::field::transfer_encoding);
      coding != header.end() && !boost::beast::iequals(coding->value(), "chunked")) {
    return fail(Code::kUnimplemented, "transfer_coding_unsupported");
  }
  if (const auto expect = header.find(beast::field::expect);
      expect != header.end() && !boost::beast::iequals(expect->value(), "100-continue")) {
    return fail(Code::kFailedPrecondition, "expectation_failed");
  }
  if (static_cast<std::size_t>(std::distance(header.begin(), header.end())) >
      limits::kHttpHeaders) {
    return fail(Code::kResourceExhausted, "header_too_large", "too many header fields");
  }
  return {};
}

}  // namespace

Problem refusal(const Error& error) {
  struct Row {
    std::string_view reason;
    int status;
    std::string_view title;
    std::string_view action;
  };
  static constexpr auto kRows = std::to_array<Row>({
      {"request_malformed", 400, "The request is not valid HTTP/1.1",
       "Send the request with an HTTP client such as curl or the blixard command."},
      {"target_invalid", 400, "The request's target cannot be read",
       "Correct the path or the query; escape special characters as %XX."},
      {"host_missing", 400, "The Host header is missing", "Send one Host header."},
      {"header_repeated", 400, "A header comes more than once", "Send this header once."},
      {"version_unsupported", 505, "This version of HTTP is not spoken here", "Use HTTP/1.1."},
      {"transfer_coding_unsupported", 501, "The transfer coding is not supported",
       "Send the body with a Content-Length or chunked."},
      {"expectation_failed", 417, "The expectation cannot be met",
       "Expect nothing, or 100-continue."},
      {"header_too_large", 431, "The request's headers are too large",
       "Send fewer or shorter headers; 16 KiB is the limit for all."},
      {"target_too_long", 414, "The request's target is too long", "Shorten the path or query."},
      {"body_too_large", 413, "The request's body is too large", "Send at most 256 KiB."},
      {"request_timeout", 408, "The request did not arrive whole in time",
       "Send the whole request within 15 seconds of its first byte."},
      {"too_many_connections", 503, "The server has all the connections it takes",
       "Close connections that are not used, then try again."},
  });
  for (const Row& row : kRows) {
    if (row.reason != error.reason()) continue;
    return {row.status, std::string(row.reason), std::string(row.title),
            std::string(error.detail()), std::string(row.action)};
  }
  return {500, "internal", "The server failed", error.message(), "Report this as a fault."};
}

class RequestParser::Impl {
 public:
  beast::request_parser<beast::string_body> parser;
  bool header_checked = false;
  Target target;
};

RequestParser::RequestParser(ParserLimits limits) : impl_(std::make_unique<Impl>()) {
  impl_->parser.header_limit(static_cast<std::uint32_t>(limits.header_bytes));
  impl_->parser.body_limit(limits.body_bytes);
  impl_->parser.eager(true);
}

RequestParser::~RequestParser() = default;

Result<std::size_t> RequestParser::put(std::string_view input) {
  auto& parser = impl_->parser;
  if (is_too_little(parser, input)) return 0;
  BeastError error;
  BLX_TRY(const std::size_t taken, feed(parser, input, error));
  // A refused body still has a header that was read; its own faults come first.
  if (parser.is_header_done() && !impl_->header_checked) {
    BLX_TRY(check_header(parser.get().base()));
    BLX_TRY(impl_->target, parse_target(view(parser.get().target())));
    impl_->header_checked = true;
  }
  if (error) return request_error(error);
  return taken;
}

bool RequestParser::header_done() const { return impl_->header_checked; }
bool RequestParser::done() const { return impl_->header_checked && impl_->parser.is_done(); }
bool RequestParser::keep_alive() const { return impl_->parser.keep_alive(); }
bool RequestParser::is_http_10() const { return impl_->parser.get().version() == 10; }

bool RequestParser::expects_continue() const {
  return !is_http_10() && impl_->parser.get().count(beast::field::expect) > 0;
}

Request RequestParser::take() {
  BLX_ASSERT(done());
  auto message = impl_->parser.release();
  Request request;
  request.method = method_of(message.method());
  request.path = std::move(impl_->target.path);
  request.query = std::move(impl_->target.query);
  request.headers = headers_of(message);
  request.body = std::move(message.body());
  return request;
}

class ResponseParser::Impl {
 public:
  beast::response_parser<beast::string_body> parser;
};

ResponseParser::ResponseParser(ParserLimits limits, bool is_head)
    : impl_(std::make_unique<Impl>()) {
  impl_->parser.header_limit(static_cast<std::uint32_t>(limits.header_bytes));
  impl_->parser.body_limit(limits.body_bytes);
  impl_->parser.eager(true);
  impl_->parser.skip(is_head);
}

ResponseParser::~ResponseParser() = default;

namespace {

std::unexpected<Error> response_error(BeastError code) {
  const bool is_too_large = code == beast::error::header_limit ||
                            code == beast::error::body_limit ||
                            code == beast::error::buffer_overflow;
  if (is_too_large) return fail(Code::kResourceExhausted, "response_too_large");
  return fail(Code::kDataLoss, "response_malformed", code.message());
}

}  // namespace

Result<std::size_t> ResponseParser::put(std::string_view input) {
  if (is_too_little(impl_->parser, input)) return 0;
  BeastError error;
  BLX_TRY(const std::size_t taken, feed(impl_->parser, input, error));
  if (error) return response_error(error);
  return taken;
}

Result<void> ResponseParser::put_end() {
  BeastError error;
  impl_->parser.put_eof(error);
  if (error) return response_error(error);
  return {};
}

bool ResponseParser::header_done() const { return impl_->parser.is_header_done(); }
bool ResponseParser::done() const { return impl_->parser.is_done(); }
bool ResponseParser::keep_alive() const { return impl_->parser.keep_alive(); }

ResponseHead ResponseParser::head() const {
  const auto& message = impl_->parser.get();
  return {static_cast<int>(message.result_int()), headers_of(message)};
}

std::string ResponseParser::take_body() { return std::exchange(impl_->parser.get().body(), {}); }

namespace {

bool is_sendable(std::string_view text) {
  for (const char c : text) {
    if ((static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7F) return false;
  }
  return text.size() <= limits::kHttpHeaderBytes / 4;
}

template <class Message>
Result<void> add_headers(Message& message, const Headers& headers) {
  for (const Header& header : headers) {
    if (!is_sendable(header.name) || !is_sendable(header.value)) {
      return fail(Code::kInternal, "header_invalid", header.name);
    }
    message.insert(view_of(header.name), view_of(header.value));
  }
  return {};
}

template <bool is_request>
Result<std::string> serialized(beast::message<is_request, beast::string_body>& message,
                               bool with_body) {
  std::string bytes;
  beast::serializer<is_request, beast::string_body> serializer(message);
  serializer.split(true);
  BeastError error;
  while (!serializer.is_done() && (with_body || !serializer.is_header_done())) {
    serializer.next(error, [&](BeastError&, const auto& buffers) {
      std::size_t count = 0;
      for (auto part = boost::asio::buffer_sequence_begin(buffers);
           part != boost::asio::buffer_sequence_end(buffers); ++part) {
        const boost::asio::const_buffer piece = *part;
        bytes.append(static_cast<const char*>(piece.data()), piece.size());
        count += piece.size();
      }
      serializer.consume(count);
    });
    if (error) return fail(Code::kInternal, "header_invalid", error.message());
  }
  return bytes;
}

}  // namespace

Result<std::string> encode_response(const Response& response, const ResponseForm& form) {
  try {
    beast::response<beast::string_body> message;
    message.version(form.http_10 ? 10 : 11);
    message.result(static_cast<unsigned>(response.status));
    message.reason(view_of(status_text(response.status)));
    message.set(beast::field::date, http_date(form.date));
    if (!response.content_type.empty()) {
      message.set(beast::field::content_type, response.content_type);
    }
    BLX_TRY(add_headers(message, response.headers));
    message.keep_alive(form.keep_alive);
    if (form.framing == Framing::kChunked) message.set(beast::field::transfer_encoding, "chunked");
    if (form.framing == Framing::kLength && response.status != 204) {
      message.content_length(response.body.size());
    }
    const bool with_body = form.with_body && form.framing == Framing::kLength;
    if (with_body) message.body() = response.body;
    return serialized(message, with_body);
  } catch (const std::exception& caught) {
    return fail(Code::kInternal, "header_invalid", caught.what());
  }
}

std::string encode_chunk(std::string_view piece) {
  BLX_ASSERT(!piece.empty());
  return fmt::format("{:x}\r\n{}\r\n", piece.size(), piece);
}

std::string_view last_chunk() { return "0\r\n\r\n"; }

Result<std::string> encode_request(const ClientRequest& request, const env::Endpoint& server,
                                   Keeping keeping) {
  try {
    const std::string host =
        server.kind == env::Endpoint::Kind::kUnix ? "localhost" : server.text();
    beast::request<beast::string_body> message;
    message.version(11);
    message.method_string(view_of(method_name(request.method)));
    message.target(view_of(request.target));
    message.set(beast::field::host, view_of(host));
    if (keeping == Keeping::kEnds) message.set(beast::field::connection, "close");
    if (!request.content_type.empty()) {
      message.set(beast::field::content_type, request.content_type);
    }
    if (!is_sendable(request.target) || request.target.contains(' ')) {
      return fail(Code::kInvalidArgument, "request_invalid", "the target cannot be sent");
    }
    BLX_TRY(add_headers(message, request.headers));
    const bool is_bodyless = request.method == Method::kGet || request.method == Method::kHead;
    if (!is_bodyless || !request.body.empty()) message.content_length(request.body.size());
    message.body() = request.body;
    return serialized(message, true);
  } catch (const std::exception& caught) {
    return fail(Code::kInvalidArgument, "request_invalid", caught.what());
  }
}

}  // namespace blixard::http
